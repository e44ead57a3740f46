// @ts-check
// A small graph: two tokens, an error and three features in two layers, one output.

/**
 * @import {
 *   Card, GraphData, GraphNode, Picture, RawPicture
 * } from '../../circuitscope_core/canvas/types'
 */

/** @param {Partial<GraphNode> & {id: string}} node @returns {GraphNode} */
export function node(node) {
  const plain = { x: 0, y: 0, layer: 0, position: 0, influence: 0.5, dropped: 0, error_share: 0 }
  const unknown = { activation: null, percentile: null, probability: null, card: null }
  const { id } = node
  return {
    kind: 'feature',
    label: id,
    detail: `at ${id}`,
    members: [],
    ...plain,
    ...unknown,
    ...node,
  }
}

/** @param {Partial<Card>} [card] @returns {Card} */
export function card(card) {
  const texts = { title: 'a title', label: 'a label', by_hand: false }
  const numbers = { frequency: 0.02, max_activation: 2, histogram: [4, 1] }
  const lists = { promoted: [], suppressed: [], examples: [], inputs: [], outputs: [] }
  return { ...texts, ...numbers, ...lists, ...card }
}

const NODES = [
  node({ id: 'tok0', kind: 'token', layer: -1, position: 0, x: 50, y: 350, label: '“a”' }),
  node({ id: 'tok1', kind: 'token', layer: -1, position: 1, x: 150, y: 350, label: '“b”' }),
  node({ id: 'err', kind: 'error', layer: 0, position: 1, x: 180, y: 250 }),
  node({ id: 'f0', layer: 0, position: 0, x: 50, y: 250, influence: 0.3, card: '0/1' }),
  node({ id: 'f1', layer: 0, position: 1, x: 150, y: 250, influence: 0.6, card: '0/1' }),
  node({ id: 'f2', layer: 1, position: 1, x: 150, y: 150, influence: 0.4, card: '1/2' }),
  node({
    id: 'out',
    kind: 'logit',
    layer: 2,
    position: 1,
    x: 150,
    y: 50,
    label: '“D”',
    probability: 0.9,
  }),
]

/** @param {number} count @param {string[]} labels */
function bands(count, labels) {
  return labels.slice(0, count).map((label, i) => ({ start: 100 * i, end: 100 * (i + 1), label }))
}

/** @returns {RawPicture} */
export function fullPicture() {
  return {
    nodes: NODES,
    edges: [
      [0, 3, 0.5, 0.5],
      [1, 4, 0.4, 0.4],
      [2, 5, 0.1, 0.1],
      [3, 5, -0.3, -0.3],
      [4, 5, 0.6, 0.6],
      [3, 6, 0.2, 0.2],
      [5, 6, 0.8, 0.8],
    ],
    n_edges_left_out: 0,
    others: [],
    rows: bands(4, ['Output', 'L1', 'L0', 'Tokens']),
    columns: bands(2, ['a', 'b']),
  }
}

/** @returns {RawPicture} The same with the first two features as a supernode. */
export function groupedPicture() {
  const group = { kind: /** @type {const} */ ('group'), layer: 0, members: ['f0', 'f1'], x: 100 }
  const nodes = [
    NODES[0],
    node({ id: 'group_0', ...group, y: 250 }),
    { ...NODES[5], members: ['f2'] },
    NODES[6],
  ]
  return {
    ...fullPicture(),
    nodes,
    edges: [
      [0, 1, 0.9, 0.9],
      [1, 2, 0.3, 0.3],
      [2, 3, 0.8, 0.8],
    ],
  }
}

/** @param {Partial<GraphData>} [data] @returns {GraphData} */
export function graphData(data) {
  return {
    prompt: 'ab',
    full: fullPicture(),
    groups: groupedPicture(),
    cards: { '0/1': card({ frequency: 0.2 }), '1/2': card({ frequency: 0.001 }) },
    paths: [{ nodes: ['tok1', 'f1', 'f2', 'out'], strength: 0.2, text: 'a path' }],
    facts: [],
    ...data,
  }
}

/** @param {Picture} picture @param {string} id @returns {GraphNode} */
export function find(picture, id) {
  const found = picture.nodes.find((node) => node.id === id)
  if (!found) throw new Error(`The sample has no node ${id}.`)
  return found
}
