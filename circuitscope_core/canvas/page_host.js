// Puts a part straight into the app's page (Streamlit's components of the second kind). What is
// returned here becomes, for one named part, the default export of a module.
(function (cs) {
  'use strict'

  // Streamlit tells its theme in style variables only. A change of one moves this element's colour,
  // which the browser reports as a transition.
  function watchTheme(parent, changed) {
    const probe = cs.el('div', '', null, parent)
    probe.style.cssText = 'position:absolute;width:0;height:0;background-color:var(--st-background-color);transition:background-color 1ms'
    probe.addEventListener('transitionend', () => changed())
    return () => {
      const [red, green, blue] = (getComputedStyle(probe).backgroundColor.match(/[\d.]+/g) || [255, 255, 255]).map(Number)
      return 0.3 * red + 0.59 * green + 0.11 * blue < 128
    }
  }

  cs.hostInPage = (name) => {
    const mounted = new WeakMap()
    return function ({ data, parentElement, setTriggerValue }) {
      let host = mounted.get(parentElement)
      if (!host) {
        const root = parentElement.querySelector('.cs-root')
        const part = cs.parts[name](root, data, (value) => setTriggerValue('event', value))
        host = { part, data }
        const isDark = watchTheme(parentElement, () => host.draw())
        host.draw = () => part.update(host.data, isDark())
        mounted.set(parentElement, host)
      }
      host.data = data
      host.draw()
      return () => {
        host.part.destroy()
        mounted.delete(parentElement)
      }
    }
  }
})(globalThis.CircuitScope)
