// @ts-check
// Pictures from plain data: linked nodes, and the subgraph of what is pinned.

/** @import { Band, GraphNode, Picture, Point, RawEdge, RawPicture } from './types' */

/** The size of a supernode, and of every node of the pinned view. */
export const TILE = { width: 96, height: 22 }
export const GLYPH_RADIUS = 4.6
const TILE_GAP = 16
const ROW_HEIGHT = 86
const LEAST_WIDTH = 560

/**
 * Tell whether a node is drawn as a tile; a word is a glyph like its tokens.
 *
 * @param {GraphNode} node
 */
export function isTile({ members, folded }) {
  return members.length > 0 && !folded
}

/**
 * A dragged supernode is found again by its first member: its own name is only a number.
 *
 * @param {GraphNode} node
 */
export function placeName(node) {
  return node.members[0] || node.id
}

/** @param {GraphNode} node @param {Set<string>} pinned */
export function isPinned(node, pinned) {
  return pinned.has(node.id) || node.members.some((member) => pinned.has(member))
}

/**
 * Link the nodes and edges of a picture.
 *
 * @param {RawPicture} raw
 * @param {boolean} bent Whether its nodes can be dragged.
 * @param {Map<string, Point>} places Where they were dragged to.
 * @returns {{picture: Picture, byId: Map<string, GraphNode>, homes: Map<string, GraphNode>}}
 */
export function preparePicture(raw, bent, places) {
  const nodes = raw.nodes.map((node) => ({
    ...node,
    ...(bent ? places.get(placeName(node)) : null),
  }))
  const listed = [...raw.others, ...raw.edges].map(
    ([source, target, weight, share, side, size]) => ({
      from: nodes[source],
      to: nodes[target],
      weight,
      share,
      ...(side ? { side, size } : null),
    }),
  )
  const links = raw.others.length ? listed.slice(raw.others.length) : listed
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const homes = new Map(byId)
  for (const node of nodes) for (const member of node.members) homes.set(member, node)
  return { picture: { ...raw, nodes, links, listed, bent }, byId, homes }
}

/**
 * The outputs and what is pinned, as tiles in layers, with the edges between them.
 *
 * @param {RawPicture} raw
 * @param {Set<string>} pinned
 * @returns {RawPicture}
 */
export function pinnedPicture(raw, pinned) {
  const numbers = [...raw.nodes.keys()].filter((number) => {
    const node = raw.nodes[number]
    return node.kind === 'logit' || isPinned(node, pinned)
  })
  const nodes = numbers.map((number) => asTile(raw.nodes[number]))
  const lines = linesOf(nodes)
  const width = Math.max(LEAST_WIDTH, ...lines.map((line) => line.length * (TILE.width + TILE_GAP)))
  const factor = width / raw.columns[raw.columns.length - 1].end
  const placed = new Map(lines.flatMap((line, row) => placeLine(line, row, factor, width)))
  return {
    nodes: nodes.map((node) => ({ ...node, ...placed.get(node.id) })),
    edges: edgesAmong([...raw.others, ...raw.edges], numbers),
    n_edges_left_out: 0,
    others: [],
    rows: rowsOf(lines, raw),
    columns: [{ start: 0, end: width, label: '' }],
  }
}

/** @param {GraphNode} node @returns {GraphNode} */
function asTile(node) {
  if (isTile(node)) return node
  return { ...node, members: node.members.length ? node.members : [node.id], folded: false }
}

/**
 * Nodes by layer, the highest first, from left to right.
 *
 * @param {GraphNode[]} nodes
 */
function linesOf(nodes) {
  const layers = [...new Set(nodes.map((node) => node.layer))].sort((a, b) => b - a)
  return layers.map((layer) =>
    nodes
      .filter((node) => node.layer === layer)
      .sort((a, b) => a.position - b.position || a.x - b.x),
  )
}

/**
 * @param {GraphNode[]} line
 * @param {number} row
 * @param {number} factor From the full picture's width to this one's.
 * @param {number} width
 * @returns {[string, Point][]}
 */
function placeLine(line, row, factor, width) {
  const wished = line.map((node) => node.x * factor)
  const centers = pushApart(wished, TILE.width + TILE_GAP, width)
  const y = (row + 0.5) * ROW_HEIGHT
  return line.map((node, index) => [node.id, { x: centers[index], y }])
}

/**
 * Centres from left to right without overlap, each near its wish and inside the width.
 *
 * @param {number[]} wished
 * @param {number} size
 * @param {number} width
 */
export function pushApart(wished, size, width) {
  /** @type {number[]} */
  const centers = []
  let edge = 0
  for (const wish of wished) {
    const center = Math.max(wish, edge + size / 2)
    centers.push(center)
    edge = center + size / 2
  }
  edge = width
  for (let i = centers.length - 1; i >= 0; i--) {
    centers[i] = Math.min(centers[i], edge - size / 2)
    edge = centers[i] - size / 2
  }
  return centers
}

/**
 * @param {RawEdge[]} edges
 * @param {number[]} numbers Of the nodes that are kept, in their new order.
 * @returns {RawEdge[]}
 */
function edgesAmong(edges, numbers) {
  const indices = new Map(numbers.map((number, index) => [number, index]))
  return edges.flatMap(([source, target, weight, share]) => {
    const from = indices.get(source)
    const to = indices.get(target)
    /** @type {RawEdge[]} */
    const kept = from === undefined || to === undefined ? [] : [[from, to, weight, share]]
    return kept
  })
}

/**
 * @param {GraphNode[][]} lines
 * @param {RawPicture} raw
 * @returns {Band[]}
 */
function rowsOf(lines, raw) {
  const top = Math.max(...raw.nodes.map((node) => node.layer))
  return lines.map(([first], row) => ({
    start: row * ROW_HEIGHT,
    end: (row + 1) * ROW_HEIGHT,
    label: raw.rows[top - first.layer].label,
  }))
}
