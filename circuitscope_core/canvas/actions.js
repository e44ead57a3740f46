// @ts-check
// What can be done on the canvas: every step changes the state, and tells the page and screen
// readers what they need to know of it.

/** @import { Canvas, Edge, Filter, GraphNode, LinkType, Story, Tab, View } from './types' */

import { emit, say } from './events.js'
import { percent } from './format.js'
import { placeName } from './picture.js'
import { isIdPinned, nameOf, nodeOf } from './state.js'
import { wayThrough } from './ways.js'

/** @param {Canvas} canvas @param {string | null} id */
export function select(canvas, id) {
  canvas.dispatch({ type: 'select', id })
  const { state } = canvas
  const node = nodeOf(state, state.selected)
  const said = node && `${node.label} selected, ${state.links.size} connections listed`
  say(canvas, said || 'Nothing selected')
  emit(canvas, { event: 'select', id: state.selected })
}

/** @param {Canvas} canvas @param {string | null} id */
export function hover(canvas, id) {
  canvas.dispatch({ type: 'hover', id })
}

/** @param {Canvas} canvas @param {string} id */
export function pin(canvas, id) {
  const { selected } = canvas.state
  const name = nodeOf(canvas.state, id)?.label ?? nameOf(canvas.state, id)
  const wasPinned = isIdPinned(canvas.state, id)
  canvas.dispatch({ type: 'pin', id })
  say(canvas, `${name} ${wasPinned ? 'unpinned' : 'pinned'}`)
  tellSelection(canvas, selected)
  emit(canvas, { event: 'pin', pinned: [...canvas.state.pinned].sort() })
}

/**
 * Ask which heads carried an edge of the selected node; the page answers in the column beside.
 *
 * @param {Canvas} canvas
 * @param {Edge} edge
 */
export function explain(canvas, edge) {
  canvas.dispatch({ type: 'explain', edge })
  const { from, to } = edge
  say(canvas, `Edge from ${from.label} to ${to.label}: its heads are shown beside the graph`)
  canvas.dispatch({ type: 'tab', tab: 'heads' })
  emit(canvas, { event: 'edge', source: from.id, target: to.id })
}

/**
 * Show one of the overview's paths, by its number, or none.
 *
 * @param {Canvas} canvas
 * @param {number | null} number
 */
export function showPath(canvas, number) {
  canvas.dispatch({ type: 'path', number })
}

/**
 * Show the strongest way through the selected node, or none where it is shown already.
 *
 * @param {Canvas} canvas
 * @param {GraphNode} node
 */
export function showWay(canvas, node) {
  const way = canvas.state.way ? null : wayThrough(canvas.state.visible, node)
  canvas.dispatch({ type: 'way', way: way ? way.nodes : null })
  if (!way) return
  const names = way.nodes.map((step) => step.label).join(', then ')
  say(canvas, way.ends ? `Strongest way: ${names}` : 'Nothing kept leads from here to an output')
}

/** @param {Canvas} canvas @param {View} view */
export function openView(canvas, view) {
  const { selected } = canvas.state
  canvas.dispatch({ type: 'open', view })
  tellSelection(canvas, selected)
}

/**
 * Open a view because the person asked for it: the page hears of it.
 *
 * @param {Canvas} canvas
 * @param {View} view
 */
export function chooseView(canvas, view) {
  openView(canvas, view)
  emit(canvas, { event: 'view', view: canvas.state.view })
}

/**
 * Tell the page where another view has taken the selection away, or given it another name. That
 * follows from a step and is none of its own.
 *
 * @param {Canvas} canvas
 * @param {string | null} before
 */
export function tellSelection(canvas, before) {
  const { selected } = canvas.state
  if (selected !== before) emit(canvas, { event: 'select', id: selected, follows: true })
}

/** @param {Canvas} canvas @param {string} words */
export function search(canvas, words) {
  canvas.dispatch({ type: 'search', words })
}

/**
 * Select the next of the nodes that were found, or the one before; after the last comes the first.
 *
 * @param {Canvas} canvas
 * @param {number} by 1 or -1.
 */
export function walkMatches(canvas, by) {
  const found = [...(canvas.state.matches || [])]
  if (!found.length) return
  const at = found.indexOf(canvas.state.selected || '')
  const next =
    found[at < 0 ? (by > 0 ? 0 : found.length - 1) : (at + by + found.length) % found.length]
  if (next !== canvas.state.selected) select(canvas, next)
}

/** @param {Canvas} canvas @param {Tab} tab */
export function chooseTab(canvas, tab) {
  if (tab === canvas.state.tab) return
  canvas.dispatch({ type: 'tab', tab })
  emit(canvas, { event: 'tab', tab })
}

/** @param {Canvas} canvas @param {boolean} open */
export function openStrip(canvas, open) {
  canvas.dispatch({ type: 'strip', open })
}

/**
 * Say what became of the likeliest token when the story's input was switched off.
 *
 * @param {Canvas} canvas
 * @param {Story} story
 */
export function tellCheck(canvas, { outcomes: [first], switched_off }) {
  const numbers = `${percent(first.before)} before, ${percent(first.after)} after`
  say(canvas, `With ${switched_off} switched off, ${first.token} has ${numbers}`)
}

/** @param {Canvas} canvas @param {Partial<Filter>} change */
export function filter(canvas, change) {
  canvas.dispatch({ type: 'filter', change })
}

/** @param {Canvas} canvas @param {LinkType} linkType */
export function showLinks(canvas, linkType) {
  canvas.dispatch({ type: 'linkType', linkType })
}

/**
 * Remember where a tile was dragged to.
 *
 * @param {Canvas} canvas
 * @param {GraphNode} node
 */
export function move(canvas, node) {
  const place = { x: node.x, y: node.y }
  canvas.dispatch({ type: 'move', name: placeName(node), place })
  emit(canvas, { event: 'move', name: placeName(node), ...place })
}

/**
 * Ask the page for a column of its own for each token of a word.
 *
 * @param {Canvas} canvas
 * @param {GraphNode} node
 */
export function unfold(canvas, node) {
  say(canvas, `${node.label} is unfolded into ${node.members.length} tokens`)
  emit(canvas, { event: 'unfold', position: node.position })
}

/**
 * Ask the page for columns of words, or of tokens.
 *
 * @param {Canvas} canvas
 * @param {'auto' | 'words' | 'tokens'} words
 */
export function foldWords(canvas, words) {
  emit(canvas, { event: 'words', words })
}

// --- supernodes by hand --------------------------------------------------------------------------

/** @param {Canvas} canvas */
export function startGrouping(canvas) {
  canvas.dispatch({ type: 'grouping', on: true })
  say(canvas, 'Choose nodes for a supernode')
}

/** @param {Canvas} canvas */
export function stopGrouping(canvas) {
  canvas.dispatch({ type: 'grouping', on: false })
}

/** @param {Canvas} canvas */
export function toggleGrouping(canvas) {
  if (canvas.state.chosen) stopGrouping(canvas)
  else startGrouping(canvas)
}

/** @param {Canvas} canvas @param {GraphNode} node */
export function choose(canvas, node) {
  canvas.dispatch({ type: 'choose', id: node.id })
  const chosen = canvas.state.chosen || new Set()
  const done = chosen.has(node.id) ? 'chosen' : 'left out'
  say(canvas, `${node.label} ${done}, ${chosen.size} chosen`)
}

/** @param {Canvas} canvas */
export function makeGroup(canvas) {
  const ids = [...(canvas.state.chosen || [])]
  const nodes = ids.map((id) => nodeOf(canvas.state, id)).filter((node) => node !== undefined)
  if (nodes.length < 2) {
    stopGrouping(canvas)
    return
  }
  const members = nodes.flatMap((node) => (node.members.length ? node.members : [node.id]))
  canvas.dispatch({ type: 'group', members })
  emit(canvas, { event: 'group', members })
  say(canvas, `${members.length} nodes become a supernode`)
}

/** @param {Canvas} canvas */
export function undo(canvas) {
  if (canvas.state.canUndo) emit(canvas, { event: 'undo' })
}

/** @param {Canvas} canvas */
export function redo(canvas) {
  if (canvas.state.canRedo) emit(canvas, { event: 'redo' })
}
