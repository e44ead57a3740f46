// @ts-check
// What the pointer and the keyboard do on the canvas.

/** @import { Canvas, GraphNode, Point } from './types' */
/** @import { ClickParameters } from './vis' */

import {
  choose,
  explain,
  hover,
  makeGroup,
  pin,
  redo,
  select,
  showPath,
  startGrouping,
  stopGrouping,
  undo,
} from './actions.js'
import { keyOf } from './dom.js'
import { say } from './events.js'
import { nodeAt, targetAt } from './hits.js'
import { focusedEdges, nodeOf, shownNodes } from './state.js'
import { neighbour } from './ways.js'

/** @param {Canvas} canvas */
export function listenToInput(canvas) {
  const { net, main, box } = canvas.ui
  net.addEventListener('mousemove', (event) => onMove(canvas, event))
  main.addEventListener('mouseleave', () => {
    leaveNode(canvas)
    setWheel(canvas, false)
  })
  main.addEventListener('mousedown', () => setWheel(canvas, true))
  box.addEventListener('keydown', (event) => onKey(canvas, event))
  box.addEventListener('keyup', (event) => {
    const isOurs = event.target === box && keyOf(event) === 'g'
    if (isOurs && canvas.state.chosen) makeGroup(canvas)
  })
}

// --- pointer -------------------------------------------------------------------------------------

/** @param {Canvas} canvas @param {MouseEvent} event */
function onMove(canvas, event) {
  const { network, ui, state } = canvas
  if (!network || event.buttons) return
  const frame = ui.net.getBoundingClientRect()
  const at = { x: event.clientX - frame.left, y: event.clientY - frame.top }
  const node = nodeAt(shownNodes(state), network.DOMtoCanvas(at), network.getScale())
  ui.net.style.cursor = node ? 'pointer' : 'grab'
  if ((node ? node.id : null) === state.hovered) return
  if (node) enterNode(canvas, node)
  else leaveNode(canvas)
}

/** @param {Canvas} canvas @param {GraphNode} node */
function enterNode(canvas, node) {
  hover(canvas, node.id)
  say(canvas, `${node.label}, ${node.detail}`)
}

/** @param {Canvas} canvas */
function leaveNode(canvas) {
  hover(canvas, null)
}

/** @param {Canvas} canvas @param {ClickParameters} parameters */
export function onClick(canvas, { pointer, event }) {
  canvas.ui.box.focus({ preventScroll: true })
  const pins = event.srcEvent.ctrlKey || event.srcEvent.metaKey
  const { node, edge } = clickTarget(canvas, pointer.DOM, pins)
  if (canvas.state.chosen) {
    if (node) choose(canvas, node)
  } else if (edge) explain(canvas, edge)
  else if (!node) selectNothing(canvas)
  else if (pins) pin(canvas, node.id)
  else select(canvas, node.id)
}

/**
 * @param {Canvas} canvas
 * @param {Point} at In pixels of the drawing area.
 * @param {boolean} pins Whether the click pins what it meets: then a node is meant, and no edge.
 */
function clickTarget({ network, state, options }, at, pins) {
  if (!network) return { node: null, edge: null }
  const answers = options.explain && state.selected !== null && !state.chosen && !pins
  const shown = {
    nodes: shownNodes(state),
    edges: answers ? focusedEdges(state) : [],
    bent: state.picture.bent,
  }
  return targetAt(shown, network.DOMtoCanvas(at), network.getScale())
}

/** @param {Canvas} canvas */
function selectNothing(canvas) {
  if (canvas.state.selected !== null || canvas.state.way) select(canvas, null)
}

/** @param {Canvas} canvas @param {boolean} on */
function setWheel({ network, options }, on) {
  if (options.wheel !== 'always') network?.setOptions({ interaction: { zoomView: on } })
}

// --- keyboard ------------------------------------------------------------------------------------

/**
 * What keys do with the node that is pointed at or selected. A key that does nothing here returns
 * false and is left to the page.
 *
 * @type {Record<string, (canvas: Canvas, node: GraphNode | undefined, event: KeyboardEvent) => boolean>}
 */
const KEYS = {
  ArrowLeft: (canvas, node) => travel(canvas, node, -1, 0),
  ArrowRight: (canvas, node) => travel(canvas, node, 1, 0),
  ArrowUp: (canvas, node) => travel(canvas, node, 0, -1),
  ArrowDown: (canvas, node) => travel(canvas, node, 0, 1),
  Enter: enter,
  Escape: leave,
  g: beginGrouping,
  p: (canvas, node) => {
    if (node) pin(canvas, node.id)
    return Boolean(node)
  },
}

/** @param {Canvas} canvas @param {KeyboardEvent} event */
function onKey(canvas, event) {
  const { state, network, ui } = canvas
  if (!network || event.target !== ui.box || event.altKey) return
  const key = keyOf(event)
  if (event.ctrlKey || event.metaKey) {
    if (undoKey(canvas, key, event.shiftKey)) event.preventDefault()
    return
  }
  const node = nodeOf(state, state.hovered || state.selected)
  if (Object.hasOwn(KEYS, key) && KEYS[key](canvas, node, event)) event.preventDefault()
}

/** @param {Canvas} canvas @param {string} key @param {boolean} shift */
function undoKey(canvas, key, shift) {
  if (key !== 'z' && key !== 'y') return false
  if (key === 'y' || shift) redo(canvas)
  else undo(canvas)
  return true
}

/**
 * Go to the next node in a direction, from an output at first.
 *
 * @param {Canvas} canvas
 * @param {GraphNode | undefined} from
 * @param {number} dx
 * @param {number} dy
 */
function travel(canvas, from, dx, dy) {
  const shown = shownNodes(canvas.state)
  const next = from ? neighbour(shown, from, dx, dy) : shown.find((node) => node.kind === 'logit')
  if (next) enterNode(canvas, next)
  return true
}

/** @param {Canvas} canvas @param {GraphNode | undefined} node */
function enter(canvas, node) {
  if (!node) return false
  if (canvas.state.chosen) choose(canvas, node)
  else select(canvas, node.id)
  return true
}

/** @param {Canvas} canvas @param {GraphNode | undefined} _node @param {KeyboardEvent} event */
function beginGrouping(canvas, _node, event) {
  if (!canvas.options.edit) return false
  if (!event.repeat && !canvas.state.chosen) startGrouping(canvas)
  return true
}

/** @param {Canvas} canvas */
function leave(canvas) {
  if (canvas.state.chosen) {
    stopGrouping(canvas)
    return true
  }
  leaveNode(canvas)
  if (canvas.state.selected !== null) select(canvas, null)
  else showPath(canvas, null)
  return true
}
