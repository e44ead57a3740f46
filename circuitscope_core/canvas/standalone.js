// Starts the canvas in an exported page.
(function (cs) {
  'use strict'
  const dark = globalThis.matchMedia('(prefers-color-scheme: dark)').matches
  const view = cs.mount(document.getElementById('root'), { wheel: 'always', themeButton: true })
  view.update({ text: document.getElementById('graph-data').textContent, dark })
  cs.view = view
})(globalThis.CircuitScope)
