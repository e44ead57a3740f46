// @ts-check
// The graph as a part of a Streamlit page; frame_host.js and page_host.js put parts into pages.

/** @import { Arguments, CanvasEvent, Part } from './types' */

import { mount } from './graph.js'

/** @typedef {Arguments & {answers: boolean, edits: boolean, height: number}} GraphArguments */

/**
 * @param {HTMLElement} root
 * @param {GraphArguments} first Say whether the page answers questions and edits.
 * @param {(events: CanvasEvent[]) => void} emit
 * @returns {Part<GraphArguments>}
 */
export function graphPart(root, { answers, edits }, emit) {
  performance.mark('cs-data')
  const view = mount(root, { wheel: 'focus', explain: answers, edit: edits, emit })
  globalThis.CircuitScope = { view }
  return {
    update(next, dark) {
      view.update({ ...next, dark })
      return next.height
    },
    destroy: view.destroy,
  }
}
