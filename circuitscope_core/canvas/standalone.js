// @ts-check
// Starts the canvas in an exported page: one graph, or the steps of a walk-through.

/** @import { Arguments, Change, Opening } from './types' */

import { mount } from './graph.js'

/**
 * @typedef {object} WalkStep
 * @property {string} caption
 * @property {number} view Number of the graph that it shows.
 * @property {Opening} opening
 * @property {Record<string, Change>} [changes]
 */

export function startPage() {
  const root = document.getElementById('root')
  if (!root) throw new Error('This page has no element to draw in.')
  const dark = globalThis.matchMedia('(prefers-color-scheme: dark)').matches
  const first = textOf('graph-data')
  if (!first) throw new Error('This page holds no graph.')
  /** @type {{graphs: string[], steps: WalkStep[]}} */
  const { graphs, steps } = JSON.parse(textOf('graph-walk') || '{"graphs": [], "steps": []}')
  const texts = [first, ...graphs]
  let number = 0
  /** @param {number} at @returns {Partial<Arguments>} */
  const stepAt = (at) => {
    const { view: graph, opening, changes, caption } = steps[at]
    const walk = { caption, number: at, total: steps.length }
    return { text: texts[graph], opening: { ...opening, serial: at + 1 }, changes, walk }
  }
  const view = mount(root, {
    wheel: 'always',
    themeButton: true,
    walk: steps.length ? (by) => go(by) : undefined,
  })
  /** @param {number} by */
  function go(by) {
    number = Math.max(0, Math.min(steps.length - 1, number + by))
    view.update({ text: first, dark: view.dark(), ...stepAt(number) })
  }
  const chosen = textOf('graph-opening')
  const opening = chosen ? JSON.parse(chosen) : undefined
  view.update({ text: first, opening, dark, ...(steps.length ? stepAt(0) : null) })
  globalThis.CircuitScope = { view }
}

/** @param {string} id */
function textOf(id) {
  return document.getElementById(id)?.textContent || ''
}
