// @ts-check
// The frame around the canvas: the drawing area with what floats over it, the column beside it, and
// the strip below it.

/** @import { Ui } from './types' */

import { el } from './dom.js'

const HINT =
  'Attribution graph. Arrow keys move between nodes, Enter selects, P pins, hold G and press Enter on nodes to group them, Escape clears.'

/** @param {HTMLElement} root @returns {Ui} */
export function buildFrame(root) {
  root.replaceChildren()
  const box = el('div', 'cs', null, root)
  box.tabIndex = 0
  box.setAttribute('role', 'application')
  box.setAttribute('aria-label', HINT)
  const left = el('div', 'cs-left', null, box)
  const main = el('div', 'cs-main', null, left)
  const net = el('div', 'cs-net', null, main)
  const top = el('div', 'cs-top', null, main)
  const bar = el('div', 'cs-bar', null, top)
  const story = el('div', 'cs-story', null, top)
  story.hidden = true
  const empty = el('div', 'cs-empty', null, main)
  const status = el('div', 'cs-status', null, main)
  status.setAttribute('aria-hidden', 'true') // the live region says the same
  const strip = el('div', 'cs-strip', null, left)
  const grip = el('div', 'cs-grip', null, box)
  const side = el('div', 'cs-side', null, box)
  const tabs = el('div', 'cs-tabs', null, side)
  tabs.setAttribute('role', 'tablist')
  tabs.setAttribute('aria-label', 'Details')
  const panel = el('div', 'cs-panel', null, side)
  panel.setAttribute('role', 'tabpanel')
  panel.tabIndex = 0
  const legend = el('div', 'cs-legend', null, side)
  const live = el('div', 'cs-live', null, box)
  live.setAttribute('aria-live', 'polite')
  return {
    root,
    box,
    top,
    bar,
    story,
    main,
    net,
    empty,
    status,
    strip,
    grip,
    side,
    tabs,
    panel,
    legend,
    live,
  }
}
