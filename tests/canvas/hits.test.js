// @ts-check
// Which node or edge a click means.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  distanceToEdge,
  edgeAt,
  isUnder,
  nodeAt,
  targetAt,
} from '../../circuitscope_core/canvas/hits.js'
import { node } from './samples.js'

const TOP = node({ id: 'top', kind: 'logit', x: 0, y: 0 })
const MIDDLE = node({ id: 'middle', x: 0, y: 100 })
const BOTTOM = node({ id: 'bottom', kind: 'token', x: 0, y: 200 })
const EDGE = { from: BOTTOM, to: TOP, weight: 1, share: 0.5 } // runs beneath the middle node
const SHOWN = { nodes: [TOP, MIDDLE, BOTTOM], edges: [EDGE], bent: false }

for (const scale of [0.5, 1, 1.8, 6]) {
  test(`a node under the pointer wins over the edge beneath it, at scale ${scale}`, () => {
    for (const [dx, dy] of [
      [0, 0],
      [3, 0],
      [0, -4],
      [-2, 2],
    ]) {
      const point = { x: MIDDLE.x + dx, y: MIDDLE.y + dy }
      assert.deepEqual(targetAt(SHOWN, point, scale), { node: MIDDLE, edge: null })
    }
  })
}

test('an edge wins over a node that is only near', () => {
  assert.deepEqual(targetAt(SHOWN, { x: 0, y: 80 }, 1), { node: null, edge: EDGE })
})

test('off the edge the nearest node is meant, and far from all nothing', () => {
  assert.deepEqual(targetAt(SHOWN, { x: 14, y: 90 }, 1), { node: MIDDLE, edge: null })
  assert.deepEqual(targetAt(SHOWN, { x: 200, y: 90 }, 1), { node: null, edge: null })
})

test('without edges that answer, a node near the pointer is meant', () => {
  const { node: meant } = targetAt({ ...SHOWN, edges: [] }, { x: 0, y: 80 }, 1)
  assert.equal(meant, MIDDLE)
})

test('a tile is under the pointer in all its width and height', () => {
  const tile = node({ id: 'tile', kind: 'group', members: ['a', 'b'], x: 0, y: 100 })
  assert.equal(isUnder(tile, { x: 47, y: 110 }, 1), true)
  assert.equal(isUnder(tile, { x: 49, y: 100 }, 1), false)
  assert.equal(isUnder(tile, { x: 0, y: 112 }, 1), false)
  const shown = { nodes: [TOP, tile, BOTTOM], edges: [EDGE], bent: true }
  assert.deepEqual(targetAt(shown, { x: 0, y: 105 }, 1), { node: tile, edge: null })
})

test('the reach of a node is in pixels', () => {
  assert.equal(nodeAt([MIDDLE], { x: 29, y: 100 }, 1), MIDDLE)
  assert.equal(nodeAt([MIDDLE], { x: 29, y: 100 }, 2), null)
  assert.equal(nodeAt([MIDDLE, BOTTOM], { x: 0, y: 155 }, 0.1), BOTTOM)
})

test('of edges that cross, the strongest is meant, whatever its sign', () => {
  const left = node({ id: 'left', x: -50, y: 100 })
  const right = node({ id: 'right', x: 50, y: 100 })
  const across = { from: left, to: right, weight: -1, share: -0.7 }
  assert.equal(edgeAt([EDGE, across], false, { x: 1, y: 101 }, 1), across)
  assert.equal(edgeAt([EDGE, across], false, { x: 0, y: 60 }, 1), EDGE)
})

test('distances to a straight edge end at its ends', () => {
  assert.equal(distanceToEdge(EDGE, false, { x: 3, y: 50 }), 3)
  assert.equal(distanceToEdge(EDGE, false, { x: 0, y: -4 }), 4)
  const dot = { ...EDGE, to: BOTTOM }
  assert.equal(distanceToEdge(dot, false, { x: 3, y: 204 }), 5)
})

test('a curve is hit where it is drawn and not on the straight line', () => {
  const target = node({ id: 'target', x: 100, y: 0 })
  const curve = { from: BOTTOM, to: target, weight: 1, share: 1 }
  const quarter = { x: 100 * (10 / 64), y: 200 - 100 * (38 / 64) } // by the curve's own formula
  assert.ok(distanceToEdge(curve, true, quarter) < 0.01)
  assert.ok(distanceToEdge(curve, true, { x: 50, y: 100 }) < 0.01)
  assert.ok(distanceToEdge(curve, true, { x: 25, y: 150 }) > 5)
  assert.ok(distanceToEdge(curve, false, { x: 25, y: 150 }) < 0.01)
})
