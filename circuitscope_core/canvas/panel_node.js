// @ts-check
// The side panel of the selected node: facts, tools, what feeds it and what it feeds, its card.

/** @import { Canvas, GraphNode } from './types' */

import { pin, select, showWay, unfold } from './actions.js'
import { fillCard, fillHeader } from './card.js'
import { button, el, setPressed } from './dom.js'
import { emit } from './events.js'
import { percent } from './format.js'
import { fillEdges, fillPartners } from './panel_edges.js'
import { fillSummary } from './panel_overview.js'
import { isPinned } from './picture.js'
import { nameOf } from './state.js'

const LONGEST_NAME = 120
const LEAST_SHARE = 0.0005 // smaller ones would read as 0.0 %
const EXAMPLES = 8
const COMPARED_INPUTS =
  'Change of weight, and of the share of the inputs kept: B less A. An edge that one graph does not keep has no share there.'

/**
 * The card of the node that is pointed at or selected: facts, tools, examples.
 *
 * @param {Canvas} canvas
 * @param {GraphNode} node
 */
export function fillCardTab(canvas, node) {
  const { state, ui } = canvas
  fillBar(canvas, node)
  fillHeader(ui.panel, node, state)
  if (node.kind === 'logit') {
    fillSummary(canvas)
    return
  }
  if (canvas.options.edit) fillTools(canvas, node)
  const card = el('div', 'cs-card-body', null, ui.panel)
  fillCard(card, node, state, { kinds: ['top', 'middle', 'low'], n: EXAMPLES })
  if (node.members.length > 1) el('div', 'cs-section', 'Members', ui.panel)
  for (const id of node.members.length > 1 ? node.members : []) {
    el('div', 'cs-member', nameOf(state, id), ui.panel)
  }
}

/**
 * Inputs and outputs of the selected node.
 *
 * @param {Canvas} canvas
 * @param {GraphNode} node
 */
export function fillLinksTab(canvas, node) {
  fillBar(canvas, node)
  el('h2', 'cs-title', node.label, canvas.ui.panel)
  el('div', 'cs-detail', node.detail, canvas.ui.panel)
  if (!node.side) fillWay(canvas, node)
  fillConnections(canvas, node)
}

/** @param {Canvas} canvas @param {GraphNode} node */
function fillBar(canvas, node) {
  const bar = el('div', 'cs-panel-bar', null, canvas.ui.panel)
  const look = isPinned(node, canvas.state.pinned)
    ? { text: 'Unpin', title: 'Unpin this node (P)' }
    : { text: 'Pin', title: 'Pin this node: keep its name visible (P)' }
  button(bar, { className: 'cs-button', ...look }, () => pin(canvas, node.id))
  const close = {
    className: 'cs-button',
    text: 'Close',
    title: 'Back to the whole graph (Escape)',
  }
  button(bar, close, () => select(canvas, null))
}

/** @param {Canvas} canvas @param {GraphNode} node */
function fillWay(canvas, node) {
  const isOn = Boolean(canvas.state.way)
  const look = {
    className: 'cs-button cs-wide',
    text: isOn ? 'Hide the strongest way' : 'Strongest way through here',
    title: 'From a token through this node to an output, by the product of the shares',
  }
  setPressed(
    button(canvas.ui.panel, look, () => showWay(canvas, node)),
    isOn,
  )
}

/** @param {Canvas} canvas @param {GraphNode} node */
function fillConnections(canvas, node) {
  const { listed } = canvas.state.picture
  const inputs = listed.filter((edge) => edge.to === node)
  const outputs = listed.filter((edge) => edge.from === node)
  if (node.kind !== 'token' && node.kind !== 'error') {
    fillEdges(canvas, node, inputs, 'inputs')
    if (inputs.length) el('p', 'cs-note', inputNote(node), canvas.ui.panel)
  }
  if (node.kind !== 'logit') fillEdges(canvas, node, outputs, 'outputs')
  if (node.kind === 'feature') fillPartners(canvas, node, { inputs, outputs })
}

/** @param {GraphNode} node */
export function inputNote(node) {
  if (node.side) return COMPARED_INPUTS
  const parts = ['Percentages are shares of the inputs kept.']
  if (node.dropped >= LEAST_SHARE) {
    parts.push(`Pruning left out ${percent(node.dropped)} of its input.`)
  }
  if (node.error_share >= LEAST_SHARE) {
    parts.push(`${percent(node.error_share)} of what is kept comes from errors.`)
  }
  return parts.join(' ')
}

// --- edits by hand -------------------------------------------------------------------------------

/** @param {Canvas} canvas @param {GraphNode} node */
function fillTools(canvas, node) {
  if (node.kind === 'group') fillGroupTools(canvas, node)
  if (node.folded) fillUnfold(canvas, node)
  if (node.kind === 'feature' && node.card) fillLabelTool(canvas, node, node.card)
}

/** @param {Canvas} canvas @param {GraphNode} node */
function fillUnfold(canvas, node) {
  const line = el('div', 'cs-tools', null, canvas.ui.panel)
  const look = {
    className: 'cs-button',
    text: 'Unfold into tokens',
    title: 'Give each token of this word a column of its own (double click)',
  }
  button(line, look, () => unfold(canvas, node))
}

/** @param {Canvas} canvas @param {GraphNode} node */
function fillGroupTools(canvas, node) {
  const line = el('div', 'cs-tools', null, canvas.ui.panel)
  const { members } = node
  fillName(line, node.label, 'Name of the supernode', (label) => {
    emit(canvas, { event: 'rename', members, label })
  })
  const look = { className: 'cs-button', text: 'Ungroup', title: 'Take the supernode apart' }
  button(line, look, () => emit(canvas, { event: 'split', members }))
}

/** @param {Canvas} canvas @param {GraphNode} node @param {string} card */
function fillLabelTool(canvas, node, card) {
  const line = el('div', 'cs-tools', null, canvas.ui.panel)
  const look = {
    className: 'cs-button',
    text: 'Edit label',
    title: 'Name this feature yourself; an empty name brings the automatic one back',
  }
  const open = button(line, look, () => {
    open.remove()
    const name = fillName(line, node.label, 'Label of the feature', (label) => {
      const [layer, feature] = card.split('/').map(Number)
      emit(canvas, { event: 'label', layer, feature, label })
    })
    name.focus()
    name.select()
  })
}

/**
 * @param {Element} line
 * @param {string} value
 * @param {string} meaning
 * @param {(name: string) => void} keep
 */
function fillName(line, value, meaning, keep) {
  const name = el('input', 'cs-name', null, line)
  name.value = value
  name.maxLength = LONGEST_NAME
  name.setAttribute('aria-label', meaning)
  name.addEventListener('change', () => keep(name.value))
  name.addEventListener('keydown', (event) => event.stopPropagation())
  return name
}
