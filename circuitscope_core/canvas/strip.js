// @ts-check
// The strip below the canvas: what is pinned, as a small graph from left to right.

/** @import { Canvas, Edge, GraphNode, Point, State } from './types' */

import { hover, openStrip, pin, select } from './actions.js'
import { button, contextOf, el } from './dom.js'
import { drawEdge } from './draw_edges.js'
import { drawNode } from './draw_nodes.js'
import { counted } from './format.js'
import { isPinned, TILE } from './picture.js'
import { marksOf } from './state.js'
import { themeOf } from './theme.js'

const TILES_APART = { x: 44, y: 10 }
const STRIP_MARGIN = 14
const LARGEST_TILE = 1.15 // tiles are drawn no larger than this
const NOTHING =
  'Nothing is pinned yet. Ctrl-click nodes, or press P, to gather them here with the edges between them.'

/** @typedef {{nodes: GraphNode[], edges: Edge[], width: number, height: number}} StripPicture */

/** @param {Canvas} canvas */
export function buildStrip(canvas) {
  const { strip } = canvas.ui
  const head = el('div', 'cs-strip-head', null, strip)
  const look = { className: 'cs-strip-toggle', text: 'Pinned subgraph', title: '' }
  const toggle = button(head, look, () => openStrip(canvas, !canvas.state.stripOpen))
  toggle.setAttribute('aria-expanded', 'false')
  const said = el('span', 'cs-strip-said', '', head)
  const stage = el('div', 'cs-strip-stage', null, strip)
  const surface = el('canvas', '', null, stage)
  surface.setAttribute('role', 'img')
  const at = (/** @type {MouseEvent} */ event) => nodeUnder(canvas, event)
  surface.addEventListener('mousemove', (event) => {
    const node = at(event)
    surface.style.cursor = node ? 'pointer' : 'default'
    if ((node ? node.id : null) !== canvas.state.hovered) hover(canvas, node ? node.id : null)
  })
  surface.addEventListener('mouseleave', () => hover(canvas, null))
  surface.addEventListener('click', (event) => {
    const node = at(event)
    if (!node) return
    if (event.ctrlKey || event.metaKey) pin(canvas, node.id)
    else select(canvas, node.id)
  })
  new ResizeObserver(() => paintStrip(canvas)).observe(stage)
  return { toggle, said, stage, surface, shown: /** @type {StripPicture | null} */ (null) }
}

/** @param {Canvas} canvas */
export function fillStrip(canvas) {
  const { strip, state, ui } = canvas
  const picture = stripPicture(state)
  strip.shown = picture
  const n = picture.nodes.filter((node) => isPinned(node, state.pinned)).length
  strip.said.textContent = n ? `${counted(n)} ${n === 1 ? 'node' : 'nodes'}` : NOTHING
  const { pinnedScores } = state
  if (n && pinnedScores) strip.said.textContent += ` · ${pinnedScores}`
  strip.toggle.setAttribute('aria-expanded', String(state.stripOpen))
  ui.strip.toggleAttribute('data-open', state.stripOpen)
  strip.surface.setAttribute('aria-label', describe(picture))
  paintStrip(canvas)
}

/** @param {StripPicture} picture */
function describe({ nodes, edges }) {
  const names = nodes.map((node) => node.label).join(', ')
  return `Pinned subgraph of ${nodes.length} nodes and ${edges.length} edges: ${names}`
}

/**
 * The outputs and what is pinned, in columns by layer, tokens at the left.
 *
 * @param {State} state
 * @returns {StripPicture}
 */
export function stripPicture(state) {
  const kept = state.picture.nodes.filter(
    (node) => node.kind === 'logit' || isPinned(node, state.pinned),
  )
  const layers = [...new Set(kept.map((node) => node.layer))].sort((a, b) => a - b)
  const columns = layers.map((layer) =>
    kept.filter((node) => node.layer === layer).sort((a, b) => a.position - b.position),
  )
  const most = Math.max(1, ...columns.map((column) => column.length))
  const height = most * (TILE.height + TILES_APART.y) + TILES_APART.y
  const nodes = columns.flatMap((column, number) => placeColumn(column, number, height))
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const edges = state.picture.listed.flatMap((edge) => {
    const [from, to] = [byId.get(edge.from.id), byId.get(edge.to.id)]
    return from && to ? [{ ...edge, from, to }] : []
  })
  return {
    nodes,
    edges,
    width: columns.length * (TILE.width + TILES_APART.x) - TILES_APART.x,
    height,
  }
}

/** @param {GraphNode[]} column @param {number} number @param {number} height @returns {GraphNode[]} */
function placeColumn(column, number, height) {
  const step = height / column.length
  return column.map((node, row) => ({
    ...node,
    members: node.members.length ? node.members : [node.id],
    folded: false,
    x: number * (TILE.width + TILES_APART.x) + TILE.width / 2,
    y: (row + 0.5) * step,
  }))
}

/**
 * The scale and the corner of the strip's picture in its stage.
 *
 * @param {Canvas} canvas
 */
function fitStrip({ strip }) {
  const { shown, stage } = strip
  if (!shown) return { scale: 1, left: 0, top: 0 }
  const room = {
    width: stage.clientWidth - 2 * STRIP_MARGIN,
    height: stage.clientHeight - STRIP_MARGIN,
  }
  const scale = Math.min(LARGEST_TILE, room.width / shown.width, room.height / shown.height)
  const left = (stage.clientWidth - scale * shown.width) / 2
  return { scale, left, top: (stage.clientHeight - scale * shown.height) / 2 }
}

/** @param {Canvas} canvas */
export function paintStrip(canvas) {
  const { strip, state } = canvas
  const { shown, stage, surface } = strip
  const ratio = globalThis.devicePixelRatio || 1
  const { clientWidth, clientHeight } = stage
  if (!shown || !state.stripOpen || !clientWidth || !clientHeight) return
  surface.width = Math.round(clientWidth * ratio)
  surface.height = Math.round(clientHeight * ratio)
  const { scale, left, top } = fitStrip(canvas)
  const ctx = contextOf(surface)
  ctx.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * left, ratio * top)
  const look = { theme: themeOf(state.dark), dark: state.dark, big: 1 }
  for (const edge of shown.edges) {
    drawEdge(ctx, edge, { bent: true, sideways: true, dark: state.dark, alpha: 0.75 })
  }
  for (const node of shown.nodes) drawNode(ctx, node, marksOf(state, node), look)
}

/** @param {Canvas} canvas @param {MouseEvent} event @returns {GraphNode | null} */
function nodeUnder(canvas, event) {
  const { strip } = canvas
  const frame = strip.surface.getBoundingClientRect()
  const { scale, left, top } = fitStrip(canvas)
  /** @type {Point} */
  const at = {
    x: (event.clientX - frame.left - left) / scale,
    y: (event.clientY - frame.top - top) / scale,
  }
  const half = { width: TILE.width / 2, height: Math.max(TILE.height / 2, 12 / scale) }
  const under = (/** @type {GraphNode} */ node) =>
    Math.abs(node.x - at.x) <= half.width && Math.abs(node.y - at.y) <= half.height
  return strip.shown?.nodes.find(under) ?? null
}
