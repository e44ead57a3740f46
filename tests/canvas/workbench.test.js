// @ts-check
// What stands around the graph: names without collisions, the strip of pins, the story.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { apart, isFree, namedNodes, placesOf } from '../../circuitscope_core/canvas/labels.js'
import { edgesOfPaths, tellsStory } from '../../circuitscope_core/canvas/paths.js'
import { isTile } from '../../circuitscope_core/canvas/picture.js'
import { brokenLines } from '../../circuitscope_core/canvas/save_picture.js'
import { firstState, reduce } from '../../circuitscope_core/canvas/state.js'
import { stripPicture } from '../../circuitscope_core/canvas/strip.js'
import { graphData, node } from './samples.js'

/** @import { Action, GraphData, State } from '../../circuitscope_core/canvas/types' */

const STORY = {
  text: 'D comes from a',
  output: 'out',
  source: 'tok0',
  heads: [],
  switched_off: 'the token “a”',
  outcomes: [],
}

/** @param {Partial<GraphData>} more @param {Action[]} actions @returns {State} */
function opened(more, ...actions) {
  const data = { ...graphData(), ...more }
  /** @type {Action} */
  const first = { type: 'receive', text: JSON.stringify(data), data, opening: { serial: 1 } }
  return [first, ...actions].reduce(reduce, firstState())
}

test('a graph with a story opens with its output selected, one without opens with nothing', () => {
  assert.equal(opened({ story: STORY }).selected, 'out')
  assert.equal(opened({}).selected, null)
})

test('the story is told until something else is selected', () => {
  assert.equal(tellsStory(opened({ story: STORY })), true)
  assert.equal(tellsStory(opened({ story: STORY }, { type: 'select', id: 'f0' })), false)
  assert.equal(tellsStory(opened({})), false)
})

test('the edges of the strongest paths are those between their steps', () => {
  const state = opened({ story: STORY })
  const steps = new Set(
    state.data.paths.flatMap(({ nodes }) => nodes.slice(1).map((id, at) => `${nodes[at]} ${id}`)),
  )
  const found = edgesOfPaths(state).map(({ from, to }) => `${from.id} ${to.id}`)
  assert.ok(found.length)
  for (const name of found) assert.ok(steps.has(name), name)
})

test('names are of outputs, of what is selected or pinned, and of the strongest features', () => {
  const state = opened({}, { type: 'pin', id: 'tok0' }, { type: 'select', id: 'f2' })
  const names = namedNodes(state).map(({ id }) => id)
  assert.ok(names.includes('out') && names.includes('tok0') && names.includes('f2'))
  assert.ok(!names.includes('tok1')) // its column bears its name
})

test('of outputs that would cover each other only the likeliest, or the selected one, is named', () => {
  const row = [0, 9, 18, 60].map((x, i) =>
    node({ id: `o${i}`, x, y: 0, kind: 'logit', label: '“ Cairo”', probability: 0.5 - i / 10 }),
  )
  /** @param {string | null} selected */
  const named = (selected, big = 1) =>
    apart({ ...opened({}), selected }, row, { big }).map(({ id }) => id)
  assert.deepEqual(named(null), ['o0', 'o3'])
  assert.deepEqual(named('o1'), ['o0', 'o1', 'o3'])
  assert.deepEqual(named(null, 0.5), ['o0', 'o2', 'o3'])
})

test('places of a name do not leave the picture, and one that is taken is not free', () => {
  const at = node({ id: 'x', x: 395, y: 100 })
  const size = { width: 90, height: 14 }
  const places = placesOf(at, size, 400)
  for (const { left, right } of places) {
    assert.ok(left >= 0)
    assert.equal(right - left, 90)
    assert.ok(right <= 424)
  }
  assert.equal(isFree(places[0], []), true)
  assert.equal(isFree(places[0], [places[0]]), false)
  assert.equal(isFree(places[0], [places[1]]), true) // above and below
})

test('the strip holds outputs and pins from left to right by layer, with the edges between', () => {
  const state = opened({}, { type: 'pin', id: 'f2' }, { type: 'pin', id: 'f0' })
  const { nodes, edges } = stripPicture(state)
  assert.deepEqual(
    nodes.map(({ id }) => id),
    ['f0', 'f2', 'out'],
  )
  assert.ok(nodes.every(isTile))
  const xs = nodes.map(({ x }) => x)
  assert.deepEqual(
    xs,
    [...xs].sort((a, b) => a - b),
  )
  const ids = new Set(nodes.map(({ id }) => id))
  const between = state.picture.listed.filter(({ from, to }) => ids.has(from.id) && ids.has(to.id))
  assert.equal(edges.length, between.length)
})

test('the first pin opens the strip, and closing it stays closed', () => {
  const open = opened({}, { type: 'pin', id: 'f0' })
  assert.equal(open.stripOpen, true)
  const closed = reduce(open, { type: 'strip', open: false })
  assert.equal(reduce(closed, { type: 'pin', id: 'f1' }).stripOpen, false)
})

test('a word is a glyph though it has members', () => {
  assert.equal(isTile(node({ id: 'w', members: ['a', 'b'], folded: true })), false)
  assert.equal(isTile(node({ id: 'g', members: ['a', 'b'] })), true)
  assert.equal(isTile(node({ id: 't' })), false)
})

test('text is broken into lines that fit, and a word that is too long keeps a line of its own', () => {
  const ctx = { measureText: (/** @type {string} */ text) => ({ width: 10 * text.length }) }
  const broken = brokenLines(/** @type {any} */ (ctx), 'aa bb cccccccc dd', 50)
  assert.deepEqual(broken, ['aa bb', 'cccccccc', 'dd'])
  assert.deepEqual(brokenLines(/** @type {any} */ (ctx), '', 50), [])
})
