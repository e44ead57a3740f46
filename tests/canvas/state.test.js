// @ts-check
// The state: what every action makes of it, and that no action changes the state it was given.

/** @import { Action, Opening, State } from '../../circuitscope_core/canvas/types' */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  firstOf,
  firstState,
  focusedEdges,
  isShown,
  marksOf,
  reduce,
  shownNodes,
  wantedView,
} from '../../circuitscope_core/canvas/state.js'
import { find, graphData } from './samples.js'

/** @param {State} state @param {Action[]} actions */
function after(state, ...actions) {
  return actions.reduce(reduce, state)
}

/** @param {Opening} [opening] @returns {Action} */
function received(opening = {}) {
  return {
    type: 'receive',
    text: 'some text',
    data: graphData(),
    opening: { serial: 1, ...opening },
  }
}

/** @param {Action[]} actions */
function opened(...actions) {
  return after(firstState(), received(), ...actions)
}

/** @param {State} state */
const idsOf = (state) => shownNodes(state).map((node) => node.id)

/** @type {Action[]} */
const EVERY_ACTION = [
  { type: 'theme', dark: true },
  { type: 'changes', changes: new Map([['f0', [-1, -1]]]) },
  { type: 'told', told: { canUndo: true, canRedo: false, pinnedScores: '' } },
  { type: 'tab', tab: 'links' },
  { type: 'strip', open: true },
  { type: 'check', on: true },
  received({ serial: 2, selected: 'f1' }),
  { type: 'open', view: 'groups' },
  { type: 'select', id: 'f2' },
  { type: 'hover', id: 'f0' },
  { type: 'pin', id: 'f0' },
  { type: 'path', number: 0 },
  { type: 'way', way: [] },
  { type: 'search', words: 'out' },
  { type: 'filter', change: { errors: false } },
  { type: 'linkType', linkType: 'input' },
  { type: 'move', name: 'f2', place: { x: 1, y: 2 } },
  { type: 'grouping', on: true },
  { type: 'choose', id: 'f0' },
  { type: 'group', members: ['f0', 'f2'] },
]

for (const action of EVERY_ACTION) {
  test(`the action ${action.type} gives another state and leaves the one before as it was`, () => {
    const before = opened({ type: 'select', id: 'out' }, { type: 'grouping', on: true })
    const copy = structuredClone(before)
    const next = reduce(before, action)
    assert.notEqual(next, before)
    assert.deepEqual(before, copy)
  })
}

test('an action that changes nothing gives the same state, so that nothing is drawn', () => {
  const state = opened({ type: 'hover', id: 'f0' })
  assert.equal(reduce(state, { type: 'hover', id: 'f0' }), state)
  assert.equal(
    reduce(state, { type: 'told', told: { canUndo: false, canRedo: false, pinnedScores: '' } }),
    state,
  )
})

test('a selected node is tied to its inputs and outputs, or to those asked for', () => {
  const state = opened({ type: 'select', id: 'f2' })
  assert.deepEqual([...state.links.keys()].sort(), ['err', 'f0', 'f1', 'out'])
  assert.equal(state.links.get('f0'), -0.3)
  const inputs = after(state, { type: 'linkType', linkType: 'input' })
  assert.deepEqual([...inputs.links.keys()].sort(), ['err', 'f0', 'f1'])
  const outputs = after(state, { type: 'linkType', linkType: 'output' })
  assert.deepEqual(
    focusedEdges(outputs).map((edge) => edge.to.id),
    ['out'],
  )
})

test('a node that is selected again is selected no longer', () => {
  assert.equal(opened({ type: 'select', id: 'f2' }).selected, 'f2')
  const select = { type: /** @type {const} */ ('select'), id: 'f2' }
  assert.equal(opened(select, select).selected, null)
})

test('selecting closes the edge, the way and the path of before', () => {
  const state = opened({ type: 'path', number: 0 }, { type: 'select', id: 'f2' })
  assert.deepEqual([state.path, state.way, state.edge], [null, null, null])
})

test('pinning a supernode pins its members, and unpinning one of them all', () => {
  const pinned = opened({ type: 'open', view: 'groups' }, { type: 'pin', id: 'group_0' })
  assert.deepEqual([...pinned.pinned], ['f0', 'f1'])
  assert.deepEqual([...after(pinned, { type: 'pin', id: 'group_0' }).pinned], [])
})

test('the pinned view holds the outputs and what is pinned, also of what is pinned in it', () => {
  const bare = opened({ type: 'open', view: 'pinned' })
  assert.deepEqual(idsOf(bare), ['out'])
  const pinned = after(bare, { type: 'pin', id: 'f2' })
  assert.deepEqual(idsOf(pinned), ['f2', 'out'])
  assert.equal(pinned.picture.bent, true)
})

test('another view keeps the selection where it has the node, alone or in a supernode', () => {
  const full = opened({ type: 'select', id: 'f1' })
  const groups = after(full, { type: 'open', view: 'groups' })
  assert.equal(groups.selected, 'group_0')
  assert.equal(after(groups, { type: 'open', view: 'full' }).selected, 'f0')
  assert.equal(after(full, { type: 'open', view: 'pinned' }).selected, null)
})

test('without supernodes their view is the full one', () => {
  const data = graphData({ groups: null })
  const state = after(firstState(), {
    type: 'receive',
    text: 't',
    data,
    opening: { view: 'groups' },
  })
  assert.equal(state.view, 'full')
  assert.equal(state.picture.bent, false)
})

test('an opening is applied once; later on what the person chose stays', () => {
  const opening = {
    serial: 7,
    selected: 'f2',
    pinned: ['f0', 'gone'],
    view: /** @type {const} */ ('groups'),
  }
  const state = after(firstState(), received(opening))
  assert.equal(state.selected, 'f2')
  assert.equal(state.view, 'groups')
  assert.deepEqual([...state.pinned], ['f0']) // the graph has no other
  const chosen = after(
    state,
    { type: 'select', id: 'out' },
    { type: 'pin', id: 'f2' },
    received(opening),
  )
  assert.equal(chosen.selected, 'out')
  assert.deepEqual([...chosen.pinned].sort(), ['f0', 'f2'])
  assert.equal(after(chosen, received({ ...opening, serial: 8 })).selected, 'f2')
})

test('a supernode made by hand is shown and selected once the page has sent it', () => {
  const waiting = opened({ type: 'grouping', on: true }, { type: 'group', members: ['f0', 'f1'] })
  assert.equal(waiting.chosen, null)
  assert.equal(waiting.view, 'full')
  assert.equal(wantedView(waiting, { serial: 1 }), 'groups')
  const made = after(waiting, received())
  assert.equal(made.view, 'groups')
  assert.equal(made.selected, 'group_0')
  assert.equal(made.awaited, null)
})

test('what is selected while a supernode is waited for stays selected', () => {
  const state = opened(
    { type: 'group', members: ['f0', 'f1'] },
    { type: 'select', id: 'out' },
    received(),
  )
  assert.equal(state.view, 'groups')
  assert.equal(state.selected, 'out')
})

test('filters hide errors and common features, never the selected node', () => {
  const state = opened({ type: 'filter', change: { errors: false, density: 0.1 } })
  assert.deepEqual(idsOf(state), ['tok0', 'tok1', 'f2', 'out'])
  assert.deepEqual(
    state.visible.map(({ from, to }) => [from.id, to.id]),
    [['f2', 'out']],
  )
  const selected = after(state, { type: 'select', id: 'f0' })
  assert.equal(isShown(selected, find(selected.picture, 'f0')), true)
})

test('a search finds labels, details and ids in any case, and no words find nothing', () => {
  assert.deepEqual([...(opened({ type: 'search', words: ' “d” ' }).matches || [])], ['out'])
  assert.deepEqual([...(opened({ type: 'search', words: 'AT F1' }).matches || [])], ['f1'])
  assert.equal(opened({ type: 'search', words: ' ' }).matches, null)
})

test('dragged tiles stay where they are put', () => {
  const move = { type: /** @type {const} */ ('move'), name: 'f0', place: { x: 7, y: 8 } }
  const state = opened(move, { type: 'open', view: 'groups' })
  const { x, y } = find(state.picture, 'group_0') // found again by its first member
  assert.deepEqual([x, y], [7, 8])
  assert.equal(find(opened(move).picture, 'f0').x, 50) // the full picture does not move
})

test('nodes are marked as selected, linked, pinned, twins, and faint where nothing ties them', () => {
  const state = opened(
    { type: 'select', id: 'f2' },
    { type: 'pin', id: 'f1' },
    { type: 'hover', id: 'f0' },
  )
  /** @param {string} id */
  const marks = (id) => marksOf(state, find(state.picture, id))
  assert.equal(marks('f2').focused, true)
  assert.equal(marks('f2').faint, false)
  assert.deepEqual([marks('f1').link, marks('f1').pinned, marks('f1').twin], [0.6, true, true])
  assert.deepEqual([marks('f0').hovered, marks('f0').twin], [true, false])
  assert.equal(marks('tok0').faint, true)
})

test('a way, and above it a search, decide what is faint', () => {
  const onWay = opened({ type: 'path', number: 0 })
  assert.equal(marksOf(onWay, find(onWay.picture, 'f1')).faint, false)
  assert.equal(marksOf(onWay, find(onWay.picture, 'f0')).faint, true)
  const found = after(onWay, { type: 'search', words: 'f0' })
  assert.equal(marksOf(found, find(found.picture, 'f0')).faint, false)
  assert.equal(marksOf(found, find(found.picture, 'f1')).faint, true)
})

test('a path goes through the supernodes that stand for its nodes, each once', () => {
  const state = opened({ type: 'open', view: 'groups' }, { type: 'path', number: 0 })
  assert.deepEqual(
    state.way?.map((node) => node.id),
    ['group_0', 'f2', 'out'],
  )
  assert.equal(after(state, { type: 'path', number: null }).way, null)
})

test('the first of a kind is the one that most of the output passes through', () => {
  assert.equal(firstOf(opened(), 'feature')?.id, 'f1')
  assert.equal(firstOf(opened(), 'group'), undefined)
})

test('nodes are chosen and left out again', () => {
  const choose = { type: /** @type {const} */ ('choose'), id: 'f0' }
  const state = opened({ type: 'grouping', on: true }, choose)
  assert.deepEqual([...(state.chosen || [])], ['f0'])
  assert.deepEqual([...(after(state, choose).chosen || [])], [])
  assert.equal(after(state, { type: 'grouping', on: false }).chosen, null)
})

test('an edge that is not drawn is listed, and coloured where its node is selected', () => {
  const data = graphData()
  const [weakest, ...drawn] = data.full.edges
  data.full = { ...data.full, edges: drawn, others: [weakest], n_edges_left_out: 1 }
  const target = data.full.nodes[weakest[1]].id
  const source = data.full.nodes[weakest[0]].id
  /** @type {Action} */
  const receive = { type: 'receive', text: 'some text', data, opening: { serial: 1 } }
  const state = after(firstState(), receive, { type: 'select', id: target })
  assert.equal(state.picture.links.length, drawn.length)
  assert.equal(state.picture.listed.length, drawn.length + 1)
  assert.ok(focusedEdges(state).some((edge) => edge.from.id === source))
  assert.ok(state.links.has(source))
})
