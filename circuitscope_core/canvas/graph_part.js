// The graph as a part of a Streamlit page; frame_host.js and page_host.js put parts into pages.
(function (cs) {
  'use strict'
  cs.parts = cs.parts || {}

  // The first arguments say what the page answers to; see the options of the canvas.
  cs.parts.graph = function graph(root, { answers }, emit) {
    globalThis.performance.mark('cs-data')
    const view = cs.mount(root, { wheel: 'focus', explain: answers, edit: answers, emit })
    cs.view = view
    return {
      update(args, dark) {
        view.update({ ...args, dark })
        return args.height
      },
      destroy: view.destroy,
    }
  }
})(globalThis.CircuitScope)
