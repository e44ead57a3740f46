// @ts-check
// Ways through the graph, and the next node in a direction.

/** @import { Edge, GraphNode } from './types' */

const OFF_LINE = 2.5 // what lies off the line counts so many times as far

/**
 * The strongest way from a token through a node to an output, by the product of the shares.
 *
 * @param {Edge[]} links
 * @param {GraphNode} node
 * @returns {{nodes: GraphNode[], ends: boolean}} The way, and whether it ends at an output.
 */
export function wayThrough(links, node) {
  const after = edgesBy(links, 'from')
  const before = edgesBy(links, 'to')
  const up = follow(node, after, 'to', (end) => (end.kind === 'logit' ? end.probability || 1 : 0))
  const down = follow(node, before, 'from', (end) => (end.kind === 'token' ? 1 : 0))
  return { nodes: [...down.reverse(), ...up.slice(1)], ends: up[up.length - 1].kind === 'logit' }
}

/**
 * @param {Edge[]} links
 * @param {'from' | 'to'} end
 * @returns {Map<GraphNode, Edge[]>}
 */
function edgesBy(links, end) {
  const edges = new Map()
  for (const edge of links) {
    const known = edges.get(edge[end])
    if (known) known.push(edge)
    else edges.set(edge[end], [edge])
  }
  return edges
}

/**
 * The strongest way from a node, in one direction.
 *
 * @param {GraphNode} start
 * @param {Map<GraphNode, Edge[]>} edgesOf
 * @param {'from' | 'to'} end
 * @param {(node: GraphNode) => number} worth What a way is worth that ends at a node.
 */
function follow(start, edgesOf, end, worth) {
  /** @type {Map<GraphNode, {strength: number, next: GraphNode | null}>} */
  const known = new Map()

  /** @param {GraphNode} node @returns {{strength: number, next: GraphNode | null}} */
  function best(node) {
    const before = known.get(node)
    if (before) return before
    /** @type {{strength: number, next: GraphNode | null}} */
    const found = { strength: worth(node), next: null }
    known.set(node, found) // supernodes made by hand can lead back to where they came from
    if (found.strength > 0) return found
    for (const edge of edgesOf.get(node) || []) {
      const strength = Math.abs(edge.share) * best(edge[end]).strength
      if (strength > found.strength) Object.assign(found, { strength, next: edge[end] })
    }
    return found
  }

  /** @type {GraphNode[]} */
  const nodes = []
  /** @type {GraphNode | null} */
  let node = start
  while (node && !nodes.includes(node)) {
    nodes.push(node)
    node = best(node).next
  }
  return nodes
}

/**
 * The nearest node in a direction.
 *
 * @param {GraphNode[]} nodes
 * @param {GraphNode} from
 * @param {number} dx
 * @param {number} dy
 * @returns {GraphNode | null}
 */
export function neighbour(nodes, from, dx, dy) {
  let best = null
  let least = Infinity
  for (const node of nodes) {
    const ax = node.x - from.x
    const ay = node.y - from.y
    const along = ax * dx + ay * dy
    const away = along + OFF_LINE * Math.abs(ax * dy - ay * dx)
    if (along > 1 && away < least) {
      least = away
      best = node
    }
  }
  return best
}
