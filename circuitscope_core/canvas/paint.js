// @ts-check
// What a state looks like: what is drawn below the nodes, the nodes, and what is drawn above them.

/** @import { Canvas, Edge, GraphNode, Look, State, Surface } from './types' */

import { saveAs } from './dom.js'
import { drawBackdrop, extentOf, textSize } from './draw_backdrop.js'
import { drawCompared, drawEdge, drawGhosts, drawPath } from './draw_edges.js'
import { drawNode } from './draw_nodes.js'
import { drawNames } from './labels.js'
import { edgesOfPaths, tellsStory } from './paths.js'
import { focusedEdges, isShown, marksOf } from './state.js'
import { pictureAsSvg } from './svg.js'
import { themeOf } from './theme.js'

const KEEP_ADDRESS = 60_000 // milliseconds until a saved file's address is given back

/**
 * How to paint now: text grows where the whole graph is small.
 *
 * @param {Canvas} canvas
 * @returns {Look}
 */
export function lookOf({ state, network }) {
  const big = network ? textSize(network.getScale()) : 1
  return { theme: themeOf(state.dark), dark: state.dark, big }
}

/** @param {Canvas} canvas @param {Surface} ctx */
export function paintBelow(canvas, ctx) {
  const { state } = canvas
  const { picture } = state
  const look = lookOf(canvas)
  drawBackdrop(ctx, picture, look)
  drawGhosts(ctx, state.visible, picture.bent, look)
  if (state.data.compared && state.selected === null) drawCompared(ctx, state.visible, look)
  const { edges, alpha } = colouredEdges(state)
  for (const edge of edges) drawEdge(ctx, edge, { bent: picture.bent, dark: state.dark, alpha })
  if (state.edge) drawPath(ctx, [state.edge.from, state.edge.to], picture, look)
  if (state.way) drawPath(ctx, state.way, picture, look)
}

/**
 * The edges to colour: the selected node's, or between tiles the strong ones.
 *
 * @param {State} state
 * @returns {{edges: Edge[], alpha: number}}
 */
export function colouredEdges(state) {
  const story = tellsStory(state) ? edgesOfPaths(state) : []
  if (state.selected !== null || story.length) {
    return { edges: [...new Set([...focusedEdges(state), ...story])], alpha: 0.9 }
  }
  if (!state.picture.bent || state.way) return { edges: [], alpha: 1 }
  const least = state.view === 'pinned' ? 0.01 : 0.04
  return { edges: state.visible.filter((edge) => Math.abs(edge.share) > least), alpha: 0.55 }
}

/** @param {Canvas} canvas @param {Surface} ctx @param {GraphNode} node */
export function paintNode(canvas, ctx, node) {
  const { state } = canvas
  if (isShown(state, node)) drawNode(ctx, node, marksOf(state, node), lookOf(canvas))
}

/** @param {Canvas} canvas @param {Surface} ctx */
export function paintAbove(canvas, ctx) {
  const { state } = canvas
  drawNames(ctx, state, lookOf(canvas))
}

// --- files ---------------------------------------------------------------------------------------

/**
 * Save the whole picture, sharp at every size.
 *
 * @param {Canvas} canvas
 */
export function saveSvg(canvas) {
  const { state } = canvas
  /** @param {Surface} ctx */
  const paint = (ctx) => {
    paintBelow(canvas, ctx)
    for (const node of state.picture.nodes) paintNode(canvas, ctx, node)
    paintAbove(canvas, ctx)
  }
  const page = { paper: themeOf(state.dark).paper, title: state.data.prompt }
  const text = pictureAsSvg(paint, extentOf(state.picture), page)
  const address = URL.createObjectURL(new Blob([text], { type: 'image/svg+xml' }))
  saveAs('circuitscope.svg', address)
  setTimeout(() => URL.revokeObjectURL(address), KEEP_ADDRESS)
}
