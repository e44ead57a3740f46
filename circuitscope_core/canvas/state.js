// @ts-check
// The state of a canvas, and what every action makes of it. Nothing here draws, asks the page or
// changes a state that it was given.

/**
 * @import {
 *   Action, Edge, GraphData, GraphNode, Marks, Opening, RawPicture, State, View
 * } from './types'
 */

import { idsOnPaths } from './paths.js'
import { isPinned, pinnedPicture, preparePicture } from './picture.js'

/** @type {RawPicture} */
const BLANK = { nodes: [], edges: [], n_edges_left_out: 0, others: [], rows: [], columns: [] }
/** @type {GraphData} */
const NO_DATA = { prompt: '', full: BLANK, groups: null, cards: {}, paths: [], facts: [] }
const NOTHING_SHOWN = { hovered: null, selected: null, edge: null, way: null, path: null }

/** @returns {State} The state before the first data came. */
export function firstState() {
  return {
    data: NO_DATA,
    text: '',
    serial: null,
    labels: new Map(),
    changes: new Map(),
    canUndo: false,
    canRedo: false,
    pinnedScores: '',
    dark: false,
    view: 'full',
    tab: 'card',
    stripOpen: false,
    checked: false,
    ...NOTHING_SHOWN,
    pinned: new Set(),
    chosen: null,
    awaited: null,
    linkType: 'both',
    filter: { errors: true, density: 1 },
    words: '',
    places: new Map(),
    ...preparePicture(BLANK, false, new Map()),
    visible: [],
    links: new Map(),
    matches: null,
    onPaths: new Set(),
  }
}

// --- what follows from a state -------------------------------------------------------------------

/** @param {State} state @param {GraphNode} node */
export function isShown(state, node) {
  if (node.id === state.selected) return true
  if (node.kind === 'error' && !state.filter.errors) return false
  const card = node.card !== null && state.data.cards[node.card]
  return !(card && card.frequency > state.filter.density)
}

/** @param {State} state */
export function shownNodes(state) {
  return state.picture.nodes.filter((node) => isShown(state, node))
}

/** @param {State} state @param {string} id */
export function nameOf(state, id) {
  return state.labels.get(id) || id
}

/** @param {State} state @param {string | null} id */
export function nodeOf(state, id) {
  return id === null ? undefined : state.byId.get(id)
}

/**
 * The edges of the selected node, of the kind asked for.
 *
 * @param {State} state
 * @returns {Edge[]}
 */
export function focusedEdges(state) {
  const { picture, selected, linkType } = state
  const into = linkType !== 'output'
  const out = linkType !== 'input'
  return picture.listed.filter(
    (edge) =>
      ((into && edge.to.id === selected) || (out && edge.from.id === selected)) &&
      isShown(state, edge.from) &&
      isShown(state, edge.to),
  )
}

/** @param {State} state @param {GraphNode} node */
function isFaint(state, node) {
  if (state.matches) return !state.matches.has(node.id)
  if (state.way) return !state.way.includes(node)
  return state.selected !== null && node.id !== state.selected && !state.links.has(node.id)
}

/** @param {State} state @param {GraphNode} node */
function isTwin(state, node) {
  const hovered = nodeOf(state, state.hovered)
  if (!hovered || node === hovered || node.card === null) return false
  return node.kind === 'feature' && hovered.kind === 'feature' && node.card === hovered.card
}

/** @param {State} state @param {GraphNode} node @returns {Marks} */
export function marksOf(state, node) {
  return {
    link: state.links.get(node.id) ?? null,
    faint: isFaint(state, node),
    focused: node.id === state.selected,
    hovered: node === nodeOf(state, state.hovered),
    pinned: isPinned(node, state.pinned),
    twin: isTwin(state, node),
    chosen: state.chosen?.has(node.id) ?? false,
    change: state.changes.get(node.id) || null,
  }
}

/** @param {GraphNode} node */
function strengthOf({ ablation, influence }) {
  return ablation ?? influence
}

/**
 * The node of a kind that matters most: by what the answer loses without it, or by influence.
 *
 * @param {State} state
 * @param {string} kind
 * @returns {GraphNode | undefined}
 */
export function firstOf(state, kind) {
  const nodes = shownNodes(state).filter((node) => node.kind === kind)
  return nodes.sort((a, b) => strengthOf(b) - strengthOf(a))[0]
}

/**
 * The node that an opening or an edit by hand wants selected once new data is there; a graph that
 * opens without one shows its story.
 *
 * @param {State} state
 * @param {Opening} opening
 * @param {GraphData} data
 */
export function wantedSelection(state, opening, data) {
  const known = knownSelection(state, opening)
  return isMeant(state, opening) ? (known ?? data.story?.output ?? null) : known
}

/**
 * The selection that the page knows of.
 *
 * @param {State} state
 * @param {Opening} opening
 */
export function knownSelection(state, opening) {
  return isMeant(state, opening) ? opening.selected || null : (state.awaited || state).selected
}

/**
 * The view that the next data will be shown in.
 *
 * @param {State} state
 * @param {Opening} opening
 */
export function wantedView(state, opening) {
  return (isMeant(state, opening) && opening.view) || (state.awaited || state).view
}

/**
 * Tell whether an opening is a new one; an old one must not undo what the person chose since.
 *
 * @param {State} state
 * @param {Opening} opening
 */
export function isMeant(state, opening) {
  return state.serial === null || opening.serial !== state.serial
}

// --- steps that several actions share ------------------------------------------------------------

/**
 * Find out anew which edges are visible, and what the selected node is tied to.
 *
 * @param {State} state
 * @returns {State}
 */
function withLinks(state) {
  const visible = state.picture.links.filter(
    (edge) => isShown(state, edge.from) && isShown(state, edge.to),
  )
  const edges = state.selected === null ? [] : focusedEdges(state)
  const links = new Map(
    edges.map(({ from, to, share }) => [from.id === state.selected ? to.id : from.id, share]),
  )
  return { ...state, visible, links }
}

/** @param {State} state @param {string} words @returns {State} */
function withMatches(state, words) {
  const wanted = words.trim().toLowerCase()
  const hits = shownNodes(state).filter((node) =>
    `${node.label} ${node.detail} ${node.id}`.toLowerCase().includes(wanted),
  )
  return { ...state, words, matches: wanted ? new Set(hits.map((node) => node.id)) : null }
}

/**
 * Show a view, with the same node selected where the view has it.
 *
 * @param {State} state
 * @param {View} view
 * @param {string | null} selected
 * @returns {State}
 */
function withView(state, view, selected) {
  const old = nodeOf(state, selected)
  const anchor = old?.members[0] ?? selected // numbers of supernodes change with every edit
  const { data } = state
  const shown = view === 'groups' && !data.groups ? 'full' : view
  const prepared = preparePicture(pictureOf(state, shown), shown !== 'full', state.places)
  const onPaths = idsOnPaths(data, prepared.homes)
  const opened = withLinks({
    ...state,
    view: shown,
    ...prepared,
    ...NOTHING_SHOWN,
    awaited: null,
    onPaths,
  })
  const searched = withMatches(opened, state.words)
  const home = anchor === null ? null : searched.homes.get(anchor)
  return withLinks({ ...searched, selected: home ? home.id : null })
}

/** @param {State} state @param {View} view @returns {RawPicture} */
function pictureOf({ data, pinned }, view) {
  if (view === 'full') return data.full
  const groups = data.groups || data.full
  return view === 'pinned' ? pinnedPicture(groups, pinned) : groups
}

/**
 * Take what the page wants selected, pinned and placed.
 *
 * @param {State} state
 * @param {Opening} opening
 * @returns {State}
 */
function withOpening(state, opening) {
  return {
    ...state,
    serial: opening.serial,
    pinned: new Set(opening.pinned || []),
    stripOpen: state.stripOpen || Boolean(opening.pinned?.length),
    tab: opening.tab || state.tab,
    places: new Map((opening.places || []).map(([name, x, y]) => [name, { x, y }])),
  }
}

// --- actions -------------------------------------------------------------------------------------

/** @type {{[Type in Action['type']]: (state: State, action: Extract<Action, {type: Type}>) => State}} */
const CHANGES = {
  theme: (state, { dark }) => ({ ...state, dark }),
  changes: (state, { changes }) => ({ ...state, changes }),
  told: (state, { told }) => {
    const same = Object.entries(told).every(
      ([name, value]) => state[/** @type {keyof typeof told} */ (name)] === value,
    )
    return same ? state : { ...state, ...told }
  },
  tab: (state, { tab }) => ({ ...state, tab }),
  strip: (state, { open }) => ({ ...state, stripOpen: open }),
  check: (state, { on }) => ({ ...state, checked: on }),
  receive: afterReceive,
  open: (state, { view }) => withView(state, view, state.selected),
  select: afterSelect,
  hover: (state, { id }) => (id === state.hovered ? state : { ...state, hovered: id }),
  pin: afterPin,
  explain: (state, { edge }) => ({ ...state, edge }),
  path: afterPath,
  way: (state, { way }) => ({ ...state, way }),
  search: (state, { words }) => withMatches(state, words),
  filter: (state, { change }) =>
    withMatches(withLinks({ ...state, filter: { ...state.filter, ...change } }), state.words),
  linkType: (state, { linkType }) => withLinks({ ...state, linkType }),
  move: (state, { name, place }) => ({ ...state, places: new Map(state.places).set(name, place) }),
  grouping: (state, { on }) => ({ ...state, chosen: on ? new Set() : null }),
  choose: (state, { id }) => ({ ...state, chosen: toggled(state.chosen || new Set(), id) }),
  group: afterGroup,
}

/**
 * Return the state after an action; the same one where nothing changes.
 *
 * @param {State} state
 * @param {Action} action
 * @returns {State}
 */
export function reduce(state, action) {
  /** @type {(state: State, action: any) => State} */
  const change = CHANGES[action.type]
  return change(state, action)
}

/**
 * Select a node, or none; a node that is selected already is selected no longer.
 *
 * @param {State} state
 * @param {Extract<Action, {type: 'select'}>} action
 * @returns {State}
 */
function afterSelect(state, { id }) {
  const selected = id === state.selected ? null : id
  const awaited = state.awaited && { ...state.awaited, selected }
  return withLinks({ ...state, awaited, selected, edge: null, way: null, path: null })
}

/** @param {Set<string>} set @param {string} id */
function toggled(set, id) {
  const next = new Set(set)
  if (!next.delete(id)) next.add(id)
  return next
}

/**
 * @param {State} state
 * @param {Extract<Action, {type: 'receive'}>} action
 * @returns {State}
 */
function afterReceive(state, { text, data, opening }) {
  const view = wantedView(state, opening)
  const selected = wantedSelection(state, opening, data)
  const labels = new Map(data.full.nodes.map((node) => [node.id, node.label]))
  const opened = isMeant(state, opening) ? withOpening(state, opening) : state
  const pinned = new Set([...opened.pinned].filter((id) => labels.has(id)))
  return withView({ ...opened, text, data, labels, pinned, checked: false }, view, selected)
}

/**
 * Pin a node with all that stands behind it, or unpin it.
 *
 * @param {State} state
 * @param {Extract<Action, {type: 'pin'}>} action
 * @returns {State}
 */
function afterPin(state, { id }) {
  const names = state.byId.get(id)?.members ?? []
  const all = names.length ? names : [id]
  const pinned = new Set(state.pinned)
  const wasPinned = isIdPinned(state, id)
  for (const name of [id, ...all]) pinned.delete(name)
  if (!wasPinned) for (const name of all) pinned.add(name)
  const stripOpen = state.stripOpen || (!wasPinned && pinned.size === all.length)
  const next = { ...state, pinned, stripOpen }
  return state.view === 'pinned' ? withView(next, 'pinned', state.selected) : next
}

/** @param {State} state @param {string} id */
export function isIdPinned(state, id) {
  const home = state.homes.get(id)
  return home ? isPinned(home, state.pinned) : state.pinned.has(id)
}

/**
 * Show one of the overview's paths, or none.
 *
 * @param {State} state
 * @param {Extract<Action, {type: 'path'}>} action
 * @returns {State}
 */
function afterPath(state, { number }) {
  if (number === null) return { ...state, path: null, way: null }
  const homes = state.data.paths[number].nodes.map((id) => state.homes.get(id))
  const way = [...new Set(homes)].filter((node) => node !== undefined)
  return { ...state, path: number, way }
}

/**
 * The page makes the supernode; until it comes, remember what is to be shown then.
 *
 * @param {State} state
 * @param {Extract<Action, {type: 'group'}>} action
 * @returns {State}
 */
function afterGroup(state, { members }) {
  const view = state.view === 'pinned' ? 'pinned' : 'groups'
  return { ...state, chosen: null, awaited: { view, selected: members[0] } }
}
