// @ts-check
// Pictures and ways through them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  pinnedPicture,
  preparePicture,
  pushApart,
  TILE,
} from '../../circuitscope_core/canvas/picture.js'
import { neighbour, wayThrough } from '../../circuitscope_core/canvas/ways.js'
import { find, fullPicture, groupedPicture, node } from './samples.js'

const { picture } = preparePicture(fullPicture(), false, new Map())

/** @param {{nodes: {id: string}[]}} found */
const ids = ({ nodes }) => nodes.map(({ id }) => id)

test('edges hold their nodes, and a member is found in its supernode', () => {
  const prepared = preparePicture(groupedPicture(), true, new Map())
  const [edge] = prepared.picture.links
  assert.deepEqual(
    [edge.from.id, edge.to.id, edge.weight, edge.share],
    ['tok0', 'group_0', 0.9, 0.9],
  )
  assert.equal(prepared.homes.get('f1'), prepared.byId.get('group_0'))
  assert.equal(prepared.byId.get('f1'), undefined)
})

test('the pinned picture holds outputs and pins with the edges between them', () => {
  const pinned = pinnedPicture(fullPicture(), new Set(['f0', 'f2']))
  assert.deepEqual(ids(pinned), ['f0', 'f2', 'out'])
  assert.deepEqual(pinned.edges, [
    [0, 1, -0.3, -0.3],
    [0, 2, 0.2, 0.2],
    [1, 2, 0.8, 0.8],
  ])
  assert.deepEqual(
    pinned.rows.map((row) => row.label),
    ['Output', 'L1', 'L0'],
  )
  assert.ok(pinned.nodes.every((tile) => tile.members.length > 0))
})

test('pinned tiles stand in the row of their layer and do not overlap', () => {
  const pinned = pinnedPicture(fullPicture(), new Set(['f0', 'f1', 'err']))
  const row = pinned.rows[1]
  const line = pinned.nodes.filter((tile) => tile.layer === 0)
  assert.equal(line.length, 3)
  assert.ok(line.every((tile) => row.start < tile.y && tile.y < row.end))
  const xs = line.map((tile) => tile.x).sort((a, b) => a - b)
  assert.ok(xs.slice(1).every((x, i) => x - xs[i] >= TILE.width))
})

test('a pin in a supernode brings the supernode', () => {
  assert.deepEqual(ids(pinnedPicture(groupedPicture(), new Set(['f1']))), ['group_0', 'out'])
})

test('centres are pushed apart inside the width, in their order', () => {
  assert.deepEqual(pushApart([50, 50, 50], 10, 100), [50, 60, 70])
  assert.deepEqual(pushApart([99, 99], 10, 100), [85, 95])
  assert.deepEqual(pushApart([0, 90], 10, 100), [5, 90])
  assert.deepEqual(pushApart([], 10, 100), [])
})

test('the strongest way goes from a token through the node to an output', () => {
  const way = wayThrough(picture.links, find(picture, 'f2'))
  assert.deepEqual(ids(way), ['tok1', 'f1', 'f2', 'out']) // 0.4 times 0.6, against 0.5 times 0.3
  assert.equal(way.ends, true)
})

test('a way without an output ends where it does, and says so', () => {
  const links = picture.links.filter((edge) => edge.to.id !== 'out')
  const way = wayThrough(links, find(picture, 'f0'))
  assert.deepEqual(ids(way), ['tok0', 'f0'])
  assert.equal(way.ends, false)
})

test('supernodes in a circle do not hold a way up', () => {
  const [a, b] = [node({ id: 'a' }), node({ id: 'b' })]
  const links = [
    { from: a, to: b, weight: 1, share: 1 },
    { from: b, to: a, weight: 1, share: 1 },
  ]
  assert.equal(wayThrough(links, a).ends, false)
})

test('arrow keys go to the nearest node in their direction, those in line first', () => {
  const from = find(picture, 'f1')
  assert.equal(neighbour(picture.nodes, from, 0, -1)?.id, 'f2')
  assert.equal(neighbour(picture.nodes, from, -1, 0)?.id, 'f0')
  assert.equal(neighbour(picture.nodes, from, 1, 0)?.id, 'err')
  assert.equal(neighbour(picture.nodes, find(picture, 'out'), 0, -1), null)
})
