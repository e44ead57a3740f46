// @ts-check
// The box that says which edges and nodes are drawn.

/** @import { Canvas, FilterBox, LinkType } from './types' */

import { filter, foldWords, showLinks } from './actions.js'
import { el } from './dom.js'

/** @typedef {[text: string, value: string]} Choice */

/** @type {Choice[]} */
const LINK_TYPES = [
  ['inputs and outputs', 'both'],
  ['inputs', 'input'],
  ['outputs', 'output'],
]
/** @type {Choice[]} */
const COLUMNS = [
  ['a word, where they are long', 'auto'],
  ['a word', 'words'],
  ['a token', 'tokens'],
]
/** @type {Choice[]} */
const DENSITIES = [
  ['any share of tokens', '1'],
  ['10 % of tokens', '0.1'],
  ['3 % of tokens', '0.03'],
  ['1 % of tokens', '0.01'],
  ['0.3 % of tokens', '0.003'],
  ['0.1 % of tokens', '0.001'],
]

/**
 * @param {Canvas} canvas
 * @param {Element} bar
 * @returns {FilterBox}
 */
export function buildFilterBox(canvas, bar) {
  const details = el('details', 'cs-filter', null, bar)
  const summary = el('summary', 'cs-button', 'Show', details)
  summary.title = 'Which edges and nodes are drawn'
  const box = el('div', 'cs-filter-box', null, details)
  addChoice(box, 'Edges of the selected node', LINK_TYPES, (value) => {
    showLinks(canvas, /** @type {LinkType} */ (value))
  })
  addChoice(box, 'Features that fire on at most', DENSITIES, (value) => {
    filter(canvas, { density: Number(value) })
  })
  const errors = addErrors(canvas, box)
  const words = addWords(canvas, box)
  const hidden = el('div', 'cs-note', '', box)
  closeOutside(canvas.ui.box, details, summary)
  return { filter: details, hidden, errors, words }
}

/**
 * @param {Element} box
 * @param {string} name
 * @param {Choice[]} choices The first is chosen at first.
 * @param {(value: string) => void} changed
 */
function addChoice(box, name, choices, changed) {
  const line = el('label', 'cs-filter-line', name, box)
  const select = el('select', '', null, line)
  for (const [text, value] of choices) el('option', '', text, select).value = value
  select.addEventListener('change', () => changed(select.value))
  return line
}

/** @param {Canvas} canvas @param {Element} box */
function addErrors(canvas, box) {
  const line = el('label', 'cs-filter-line', 'Errors', box)
  const errors = el('input', '', null, line)
  errors.type = 'checkbox'
  errors.checked = true
  errors.addEventListener('change', () => filter(canvas, { errors: errors.checked }))
  return line
}

/** @param {Canvas} canvas @param {Element} box */
function addWords(canvas, box) {
  return addChoice(box, 'A column stands for', COLUMNS, (value) => {
    foldWords(canvas, /** @type {'auto' | 'words' | 'tokens'} */ (value))
  })
}

/** @param {HTMLElement} frame @param {HTMLDetailsElement} details @param {HTMLElement} summary */
function closeOutside(frame, details, summary) {
  frame.addEventListener('mousedown', (event) => {
    if (!details.contains(/** @type {Node} */ (event.target))) details.open = false
  })
  details.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') return
    details.open = false
    summary.focus()
  })
}
