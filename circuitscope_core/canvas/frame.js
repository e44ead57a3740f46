// @ts-check
// The frame around the canvas: drawing area, details, legend.

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
  const bar = el('div', 'cs-bar', null, box)
  const body = el('div', 'cs-body', null, box)
  const main = el('div', 'cs-main', null, body)
  const net = el('div', 'cs-net', null, main)
  const empty = el('div', 'cs-empty', null, main)
  const card = el('div', 'cs-card', null, main)
  card.setAttribute('role', 'tooltip')
  const panel = el('div', 'cs-panel', null, body)
  panel.setAttribute('role', 'region')
  panel.setAttribute('aria-label', 'Details')
  const legend = el('div', 'cs-legend', null, box)
  const live = el('div', 'cs-live', null, box)
  live.setAttribute('aria-live', 'polite')
  return { root, box, bar, main, net, empty, card, panel, legend, live }
}
