// @ts-check
// Which node or edge is under the pointer. Points and reaches are in the graph's own coordinates.

/** @import { Edge, GraphNode, Point } from './types' */

import { GLYPH_RADIUS, isTile, TILE } from './picture.js'

const NODE_REACH = 30 // pixels within which the nearest node answers the pointer
const UNDER = 12 // pixels within which a node is under the pointer, and no edge is meant
const EDGE_REACH = 5 // pixels within which an edge answers
const PIECES = 32 // straight pieces that stand for a curve

/**
 * The nearest node within reach of the pointer.
 *
 * @param {GraphNode[]} nodes
 * @param {Point} point
 * @param {number} scale Pixels to a unit of the graph.
 * @returns {GraphNode | null}
 */
export function nodeAt(nodes, point, scale) {
  let best = null
  let least = NODE_REACH / scale
  for (const node of nodes) {
    const half = isTile(node) ? TILE.width / 2 : 0
    const away = Math.hypot(Math.max(0, Math.abs(node.x - point.x) - half), node.y - point.y)
    if (away < least) {
      least = away
      best = node
    }
  }
  return best
}

/**
 * Tell whether the pointer is on a node itself, not only near it.
 *
 * @param {GraphNode} node
 * @param {Point} point
 * @param {number} scale
 */
export function isUnder(node, point, scale) {
  const across = Math.abs(node.x - point.x)
  const down = Math.abs(node.y - point.y)
  if (isTile(node)) return across <= TILE.width / 2 && down <= TILE.height / 2
  return Math.hypot(across, down) < Math.max(GLYPH_RADIUS, UNDER / scale)
}

/**
 * What a click means: a node under the pointer, else an edge, else the nearest node.
 *
 * @param {{nodes: GraphNode[], edges: Edge[], bent: boolean}} shown What answers a click.
 * @param {Point} point
 * @param {number} scale
 * @returns {{node: GraphNode | null, edge: Edge | null}} At most one of them.
 */
export function targetAt({ nodes, edges, bent }, point, scale) {
  const node = nodeAt(nodes, point, scale)
  if (node && isUnder(node, point, scale)) return { node, edge: null }
  const edge = edgeAt(edges, bent, point, scale)
  return edge ? { node: null, edge } : { node, edge: null }
}

/**
 * The strongest edge under the pointer.
 *
 * @param {Edge[]} edges
 * @param {boolean} bent
 * @param {Point} point
 * @param {number} scale
 * @returns {Edge | null}
 */
export function edgeAt(edges, bent, point, scale) {
  const hits = edges.filter((edge) => distanceToEdge(edge, bent, point) <= EDGE_REACH / scale)
  return hits.sort((a, b) => Math.abs(b.share) - Math.abs(a.share))[0] || null
}

/**
 * @param {Edge} edge
 * @param {boolean} bent
 * @param {Point} point
 */
export function distanceToEdge({ from, to }, bent, point) {
  if (!bent) return distanceToPiece(from, to, point)
  let least = Infinity
  let last = /** @type {Point} */ (from)
  for (let piece = 1; piece <= PIECES; piece++) {
    const next = pointOnCurve(from, to, piece / PIECES)
    least = Math.min(least, distanceToPiece(last, next, point))
    last = next
  }
  return least
}

/**
 * A point of the curve that `route` draws, whose handles lie at half its height.
 *
 * @param {Point} from
 * @param {Point} to
 * @param {number} t 0 at the start, 1 at the end.
 * @returns {Point}
 */
function pointOnCurve(from, to, t) {
  const middle = (from.y + to.y) / 2
  const [a, b, c, d] = [(1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t ** 2, t ** 3]
  return { x: (a + b) * from.x + (c + d) * to.x, y: a * from.y + (b + c) * middle + d * to.y }
}

/**
 * @param {Point} start
 * @param {Point} end
 * @param {Point} point
 */
function distanceToPiece(start, end, point) {
  const dx = end.x - start.x
  const dy = end.y - start.y
  const along = (point.x - start.x) * dx + (point.y - start.y) * dy
  const t = Math.max(0, Math.min(1, along / (dx * dx + dy * dy || 1)))
  return Math.hypot(start.x + t * dx - point.x, start.y + t * dy - point.y)
}
