// @ts-check
// Puts a part straight into the app's page (Streamlit's components of the second kind).

/** @import { CanvasEvent, MakePart, Part } from './types' */

import { el } from './dom.js'

const HALF_BRIGHT = 128
const WATCHED =
  'position:absolute;width:0;height:0;background-color:var(--st-background-color);transition:background-color 1ms'

/**
 * Streamlit tells its theme in style variables only. A change of one moves this element's colour,
 * which the browser reports as a transition.
 *
 * @param {Element} parent
 * @param {() => void} changed
 * @returns {() => boolean} Whether the theme is dark now.
 */
function watchTheme(parent, changed) {
  const probe = el('div', '', null, parent)
  probe.style.cssText = WATCHED
  probe.addEventListener('transitionend', () => changed())
  return () => isDark(getComputedStyle(probe).backgroundColor)
}

/** @param {string} color */
export function isDark(color) {
  const [red, green, blue] = (color.match(/[\d.]+/g) || [255, 255, 255]).map(Number)
  return 0.3 * red + 0.59 * green + 0.11 * blue < HALF_BRIGHT
}

/**
 * @template Data
 * @typedef {{data: Data, parentElement: HTMLElement, setTriggerValue: (name: string, value: unknown) => void}} Call
 */

/**
 * What Streamlit calls at every run of the page, the default export of the component's module.
 *
 * @template Data
 * @param {MakePart<Data>} makePart
 * @returns {(call: Call<Data>) => () => void}
 */
export function hostInPage(makePart) {
  /** @type {WeakMap<Element, {part: Part<Data>, show: (data: Data) => void}>} */
  const mounted = new WeakMap()
  return (call) => {
    const { parentElement, data } = call
    const known = mounted.get(parentElement)
    const host = known || addPart(makePart, call)
    mounted.set(parentElement, host)
    host.show(data)
    return () => {
      host.part.destroy()
      mounted.delete(parentElement)
    }
  }
}

/**
 * @template Data
 * @param {MakePart<Data>} makePart
 * @param {Call<Data>} call
 */
function addPart(makePart, { data, parentElement, setTriggerValue }) {
  const root = /** @type {HTMLElement} */ (parentElement.querySelector('.cs-root'))
  /** @param {CanvasEvent[]} events */
  const emit = (events) => setTriggerValue('event', events)
  const part = makePart(root, data, emit)
  let last = data
  const draw = () => part.update(last, isThemeDark())
  const isThemeDark = watchTheme(parentElement, draw)
  return {
    part,
    /** @param {Data} next */
    show(next) {
      last = next
      draw()
    },
  }
}
