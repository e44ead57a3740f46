// @ts-check
// The side panel's lists of a node's inputs and outputs, and of what a feature works with over the
// corpus.

/** @import { Canvas, Edge, GraphNode, Partner } from './types' */

import { explain, hover, select } from './actions.js'
import { button, el, setPressed } from './dom.js'
import { signed, signedPercent } from './format.js'
import { linkColor, textOn } from './theme.js'

const ROWS_AT_FIRST = 12
/** @type {Record<string, string>} */
const ROW_NAMES = { token: 'Tok', logit: 'Out' }
const LISTS = {
  inputs: {
    name: 'Inputs',
    meaning: 'What raises or lowers this node: weight, and share of its kept input',
    none: 'None kept.',
  },
  outputs: {
    name: 'Outputs',
    meaning: 'What this node raises or lowers: weight, and share of the other node’s kept input',
    none: 'None kept: raise the thresholds to see more.',
  },
}
const TWERA =
  'Target-weighted expected residual attribution (TWERA): the mean effect at one token, weighted by how active the target is. Right: the effect at this token, on this prompt.'

/** @typedef {'inputs' | 'outputs'} Side */

/**
 * The node at the other end of an edge.
 *
 * @param {Edge} edge
 * @param {Side} side
 */
function otherEnd(edge, side) {
  return side === 'inputs' ? edge.from : edge.to
}

/**
 * @param {Canvas} canvas
 * @param {GraphNode} node
 * @param {Edge[]} edges
 * @param {Side} side
 */
export function fillEdges(canvas, node, edges, side) {
  const { panel } = canvas.ui
  const { name, meaning, none } = LISTS[side]
  const kind = node.side ? ': change of weight, of share' : ''
  el('div', 'cs-section', `${name} (${edges.length})${kind}`, panel).title = node.side
    ? 'B less A'
    : meaning
  const list = el('div', 'cs-list', null, panel)
  list.setAttribute('role', 'list')
  list.setAttribute('aria-label', `${name} of ${node.label}`)
  const sorted = edges.slice().sort((a, b) => Math.abs(b.share) - Math.abs(a.share))
  /** @param {Edge[]} part */
  const add = (part) => {
    for (const edge of part) fillRow(canvas, list, edge, { node, other: otherEnd(edge, side) })
  }
  add(sorted.slice(0, ROWS_AT_FIRST))
  if (!edges.length) el('div', 'cs-note', none, list)
  const rest = sorted.slice(ROWS_AT_FIRST)
  if (!rest.length) return
  const text = `Show ${rest.length} more`
  const title = `Show all ${sorted.length}`
  const more = button(panel, { className: 'cs-more', text, title }, () => {
    add(rest)
    more.remove()
  })
}

/**
 * @param {Canvas} canvas
 * @param {Element} list
 * @param {Edge} edge
 * @param {{node: GraphNode, other: GraphNode}} ends
 */
function fillRow(canvas, list, edge, { node, other }) {
  const item = el('div', 'cs-item', null, list)
  item.setAttribute('role', 'listitem')
  const row = button(item, rowLook(edge, node, other), () => select(canvas, other.id))
  const { dark } = canvas.state
  row.style.background = linkColor(edge.share, dark)
  row.style.color = textOn(edge.share, dark)
  el('span', 'cs-row-side', directionOf(node, other), row)
  el('span', 'cs-row-place', ROW_NAMES[other.kind] || `L${other.layer}`, row)
  el('span', 'cs-row-label', other.label, row)
  el('span', 'cs-row-number', signed(edge.weight), row)
  el('span', 'cs-row-number cs-row-share', signedPercent(edge.share), row)
  if (canvas.options.explain) fillExplain(canvas, item, edge)
  for (const name of ['mouseenter', 'focus']) {
    row.addEventListener(name, () => hover(canvas, other.id))
  }
  for (const name of ['mouseleave', 'blur']) row.addEventListener(name, () => hover(canvas, null))
}

/** @param {Edge} edge @param {GraphNode} node @param {GraphNode} other */
function rowLook(edge, node, other) {
  const change = node.side ? 'change of ' : ''
  const weight = `${change}weight ${signed(edge.weight)}`
  const share = `${change}share ${signedPercent(edge.share)}`
  const title = `${other.label}, ${other.detail}: ${weight}, ${share}`
  return { className: 'cs-row', text: null, title }
}

/** @param {GraphNode} node @param {GraphNode} other */
function directionOf(node, other) {
  if (other.position === node.position) return ' '
  return other.position < node.position ? '←' : '→'
}

/** @param {Canvas} canvas @param {Element} item @param {Edge} edge */
function fillExplain(canvas, item, edge) {
  const title = 'Which attention heads carried this edge'
  const why = button(item, { className: 'cs-why', text: 'heads', title }, () => {
    explain(canvas, edge)
  })
  why.setAttribute('aria-label', `heads of the edge from ${edge.from.label} to ${edge.to.label}`)
  setPressed(why, edge === canvas.state.edge)
}

// --- over the corpus -----------------------------------------------------------------------------

/**
 * What a feature works with over the corpus, and what the same features do here.
 *
 * @param {Canvas} canvas
 * @param {GraphNode} node
 * @param {{inputs: Edge[], outputs: Edge[]}} edges
 */
export function fillPartners({ ui, state }, node, { inputs, outputs }) {
  const card = node.card === null ? undefined : state.data.cards[node.card]
  if (!card || !(card.inputs.length + card.outputs.length)) return
  el('div', 'cs-section', 'Over the corpus', ui.panel).title = TWERA
  const head = el('div', 'cs-partner cs-partner-head', null, ui.panel)
  el('span', 'cs-partner-label', '', head)
  el('span', 'cs-row-number', 'corpus', head)
  el('span', 'cs-partner-here', 'here', head)
  for (const partner of card.inputs) {
    fillPartner(ui.panel, partner, edgeWith(partner, inputs, 'inputs', node), 'inputs')
  }
  for (const partner of card.outputs) {
    fillPartner(ui.panel, partner, edgeWith(partner, outputs, 'outputs', node), 'outputs')
  }
}

/** @param {Partner} partner @param {Edge[]} edges @param {Side} side @param {GraphNode} node */
function edgeWith(partner, edges, side, node) {
  return edges.find((edge) => {
    const other = otherEnd(edge, side)
    return other.card === partner.card && other.position === node.position
  })
}

/**
 * @param {Element} panel
 * @param {Partner} partner
 * @param {Edge | undefined} here
 * @param {Side} side
 */
function fillPartner(panel, partner, here, side) {
  const row = el('div', 'cs-partner', null, panel)
  const acts = side === 'inputs'
  const meaning = acts ? 'acts on this feature' : 'this feature acts on it'
  el('span', 'cs-row-side', acts ? '←' : '→', row).title = meaning
  el('span', 'cs-row-place', `L${partner.layer}`, row)
  el('span', 'cs-partner-label', partner.label, row).title = partner.label
  el('span', 'cs-row-number', signed(partner.twera), row)
  const weight = el('span', 'cs-partner-here', here ? signed(here.weight) : '–', row)
  weight.title = here ? '' : 'Not among the nodes and edges kept here'
}
