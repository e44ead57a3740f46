// @ts-check
// Edges and paths, in the graph's own coordinates.

/** @import { Edge, GraphNode, Look, Picture, Point, Surface } from './types' */

import { ghostOpacity, linkColor } from './theme.js'

const LEAST_COMPARED = 0.03 // weaker edges of compared graphs stay faint until a node is selected
const MOST_COMPARED = 300

/**
 * @param {Surface} ctx
 * @param {Point} from
 * @param {Point} to
 * @param {boolean} bent
 * @param {boolean} [sideways] Whether a bent one leaves to the right, as in the strip.
 */
function route(ctx, from, to, bent, sideways = false) {
  ctx.moveTo(from.x, from.y)
  if (bent && sideways) {
    const half = (to.x - from.x) / 2
    ctx.bezierCurveTo(from.x + half, from.y, to.x - half, to.y, to.x, to.y)
  } else if (bent) {
    const half = (to.y - from.y) / 2
    ctx.bezierCurveTo(from.x, from.y + half, to.x, to.y - half, to.x, to.y)
  } else ctx.lineTo(to.x, to.y)
}

/**
 * Every edge, faintly: one path and one stroke, so that thousands cost as little as ten.
 *
 * @param {Surface} ctx
 * @param {Edge[]} links
 * @param {boolean} bent
 * @param {Look} look
 */
export function drawGhosts(ctx, links, bent, { theme, dark }) {
  ctx.beginPath()
  for (const edge of links) route(ctx, edge.from, edge.to, bent)
  const crowding = Math.sqrt(1000 / Math.max(1, links.length))
  ctx.globalAlpha = ghostOpacity(dark) * Math.max(0.4, Math.min(1, crowding))
  ctx.strokeStyle = theme.ghost
  ctx.lineWidth = 0.8
  ctx.stroke()
  ctx.globalAlpha = 1
}

/**
 * Colour and width say how strong; dashes repeat the sign for those who do not see the colour.
 *
 * @param {Surface} ctx
 * @param {Edge} edge
 * @param {{bent: boolean, sideways?: boolean, dark: boolean, alpha: number}} look
 */
export function drawEdge(ctx, edge, { bent, sideways, dark, alpha }) {
  ctx.beginPath()
  route(ctx, edge.from, edge.to, bent, sideways)
  ctx.globalAlpha = alpha
  ctx.strokeStyle = linkColor(edge.share, dark)
  ctx.lineWidth = Math.max(0.7, 5 * Math.sqrt(Math.abs(edge.share)))
  ctx.setLineDash(edge.share < 0 ? [5, 3] : [])
  ctx.stroke()
  ctx.setLineDash([])
  ctx.globalAlpha = 1
}

/**
 * The strongest edges of two compared graphs: black where both keep one, in the colour of the one
 * that keeps it alone.
 *
 * @param {Surface} ctx
 * @param {Edge[]} links
 * @param {Look} look
 */
export function drawCompared(ctx, links, { theme, dark }) {
  const strong = links.filter((edge) => (edge.size ?? 0) >= LEAST_COMPARED)
  strong.sort((a, b) => (a.size ?? 0) - (b.size ?? 0))
  for (const { from, to, side, size = 0 } of strong.slice(-MOST_COMPARED)) {
    ctx.beginPath()
    route(ctx, from, to, false)
    ctx.globalAlpha = 0.75
    ctx.strokeStyle = side === 'both' ? theme.ink : linkColor(side === 'a' ? -1 : 1, dark)
    ctx.lineWidth = Math.max(0.7, 4 * Math.sqrt(size))
    ctx.setLineDash(side === 'a' ? [5, 3] : [])
    ctx.stroke()
  }
  ctx.setLineDash([])
  ctx.globalAlpha = 1
}

/**
 * @param {Surface} ctx
 * @param {GraphNode[]} nodes
 * @param {Picture} picture
 * @param {Look} look
 */
export function drawPath(ctx, nodes, { bent }, { theme }) {
  ctx.beginPath()
  for (let i = 1; i < nodes.length; i++) route(ctx, nodes[i - 1], nodes[i], bent)
  ctx.strokeStyle = theme.focus
  ctx.lineWidth = 2.4
  ctx.lineJoin = 'round'
  ctx.stroke()
}
