// @ts-check
// Names of the nodes that matter most, and of the heads on their edges, placed so that none covers
// another.

/** @import { GraphNode, Look, State, Surface } from './types' */

import { drawToken } from './draw_nodes.js'
import { shorten, unquoted } from './format.js'
import { GLYPH_RADIUS, isTile } from './picture.js'
import { shownNodes } from './state.js'
import { haloText, sans } from './strokes.js'

const MOST_NAMES = 8
const LONGEST_SHOWN = 30
const NAME_LINE = 14
const NAME_SIZE = 11
const NAME_GAP = 4
const ALONG = 0.55 // where the name of a head stands on its edge, from source to target
const HEADS_SIZE = 9.5

/** @typedef {{left: number, top: number, right: number, bottom: number}} Box */

/**
 * The nodes that bear a name: what is selected or pinned, outputs, and the strongest others.
 *
 * @param {State} state
 * @returns {GraphNode[]} The most important first.
 */
export function namedNodes(state) {
  const nodes = shownNodes(state).filter((node) => !isTile(node)) // tiles bear their names
  const first = nodes.filter((node) => node.kind === 'logit' || isMarked(state, node))
  first.sort(
    (a, b) =>
      Number(isMarked(state, b)) - Number(isMarked(state, a)) ||
      (b.probability ?? 0) - (a.probability ?? 0),
  )
  const rest = nodes.filter((node) => node.kind === 'feature' && !first.includes(node))
  rest.sort((a, b) => weightOf(state, b) - weightOf(state, a))
  return [...first, ...rest.filter((node) => weightOf(state, node) > 0).slice(0, MOST_NAMES)]
}

/** @param {State} state @param {GraphNode} node */
function isMarked(state, node) {
  return node.id === state.selected || state.pinned.has(node.id)
}

/** @param {State} state @param {GraphNode} node */
function weightOf(state, node) {
  if (state.matches) return state.matches.has(node.id) ? node.influence : 0
  if (state.way) return state.way.includes(node) ? 1 : 0
  if (state.selected === null) return node.ablation ?? node.influence
  return Math.abs(state.links.get(node.id) ?? 0) + (state.onPaths.has(node.id) ? 0.5 : 0)
}

/**
 * @param {Surface} ctx
 * @param {State} state
 * @param {Look} look
 */
export function drawNames(ctx, state, look) {
  const glyphs = shownNodes(state).map((node) => around(node))
  const named = namedNodes(state)
  const outputs = named.filter((node) => node.kind === 'logit' && node.probability !== null)
  const taken = apart(state, outputs, look).map((node) => drawOutput(ctx, node, look))
  for (const node of named.filter((one) => !outputs.includes(one))) {
    const place = drawName(ctx, node, look, { state, taken, glyphs })
    if (place) taken.push(place)
  }
  drawHeads(ctx, state, look, taken)
}

/**
 * The outputs whose tokens are written: of those that would cover each other, the most important. A
 * pointer on another one tells its name.
 *
 * @param {State} state
 * @param {GraphNode[]} outputs The most important first.
 * @param {Pick<Look, 'big'>} look
 */
export function apart(state, outputs, look) {
  /** @type {GraphNode[]} */
  const kept = []
  for (const node of outputs)
    if (isMarked(state, node) || !kept.some((other) => meet(node, other, look))) kept.push(node)
  return kept
}

/**
 * Whether the tokens of two outputs would cover each other: upright, or slanted one beside the other.
 *
 * @param {GraphNode} one
 * @param {GraphNode} other
 * @param {Pick<Look, 'big'>} look
 */
function meet(one, other, { big }) {
  const upright = [one, other].every((node) => unquoted(node.label).length <= 2)
  const room = (upright ? 16 : 19) * big
  return Math.abs(one.x - other.x) < room && Math.abs(one.y - other.y) < 2 * room
}

/** @param {Surface} ctx @param {GraphNode} node @param {Look} look @returns {Box} */
function drawOutput(ctx, node, look) {
  drawToken(ctx, node, unquoted(node.label), look)
  const half = 9 * look.big
  return { left: node.x - half, right: node.x + half, top: node.y - 30 * look.big, bottom: node.y }
}

/**
 * A node's name at the first place that is free; what is selected or pinned has one in any case.
 *
 * @param {Surface} ctx
 * @param {GraphNode} node
 * @param {Look} look
 * @param {{state: State, taken: Box[], glyphs: Box[]}} around
 * @returns {Box | null}
 */
function drawName(ctx, node, { theme, big }, { state, taken, glyphs }) {
  ctx.font = sans(NAME_SIZE * big)
  const text = shorten(node.label, LONGEST_SHOWN)
  const width = state.picture.columns[state.picture.columns.length - 1].end
  const size = { width: ctx.measureText(text).width, height: NAME_LINE * big }
  const places = placesOf(node, size, width)
  const must = node.id === state.selected || state.pinned.has(node.id)
  const free = places.find((one) => isFree(one, taken) && isFree(one, glyphs))
  const place = free || (must ? places.find((one) => isFree(one, taken)) || places[0] : null)
  if (!place) return null
  ctx.textAlign = 'left'
  ctx.textBaseline = 'middle'
  haloText(ctx, text, { x: place.left, y: (place.top + place.bottom) / 2 }, theme)
  return place
}

/** @param {GraphNode} node @returns {Box} */
function around({ x, y }) {
  const r = GLYPH_RADIUS + 1
  return { left: x - r, right: x + r, top: y - r, bottom: y + r }
}

/**
 * Where a name may stand, the best place first: above, below, at either side, and further away.
 *
 * @param {GraphNode} node
 * @param {{width: number, height: number}} size
 * @param {number} width Of the picture, which no name leaves.
 * @returns {Box[]}
 */
export function placesOf({ x, y }, size, width) {
  const off = GLYPH_RADIUS + NAME_GAP
  const middle = x - size.width / 2
  const above = y - off - size.height
  const below = y + off
  const beside = y - size.height / 2
  const corners = [
    [middle, above],
    [middle, below],
    [x + off, beside],
    [x - off - size.width, beside],
    [x - size.width, above],
    [x, above],
    [x - size.width, below],
    [x, below],
    [middle, above - size.height],
    [middle, below + size.height],
  ]
  return corners.map(([left, top]) => {
    const inside = Math.max(0, Math.min(left, width - size.width + 24))
    return { left: inside, right: inside + size.width, top, bottom: top + size.height }
  })
}

/** @param {Box} box @param {Box[]} others */
export function isFree(box, others) {
  return !others.some(
    (other) =>
      box.left < other.right &&
      other.left < box.right &&
      box.top < other.bottom &&
      other.top < box.bottom,
  )
}

/**
 * The names of heads on the edges of the story.
 *
 * @param {Surface} ctx
 * @param {State} state
 * @param {Look} look
 * @param {Box[]} taken Where names stand already.
 */
function drawHeads(ctx, state, look, taken) {
  if (
    state.picture.bent ||
    (state.selected !== null && state.selected !== state.data.story?.output)
  )
    return
  ctx.font = sans(HEADS_SIZE * look.big)
  ctx.textAlign = 'center'
  ctx.textBaseline = 'middle'
  for (const { source, target, text } of state.data.story?.heads ?? []) {
    const [from, to] = [state.homes.get(source), state.homes.get(target)]
    if (!from || !to) continue
    const half = { x: ctx.measureText(text).width / 2 + 2, y: 7 * look.big }
    const places = [ALONG, 0.4, 0.7].map((part) => {
      const x = from.x + part * (to.x - from.x)
      const y = from.y + part * (to.y - from.y)
      return { left: x - half.x, right: x + half.x, top: y - half.y, bottom: y + half.y }
    })
    const place = places.find((one) => isFree(one, taken))
    if (!place) continue
    taken.push(place)
    haloText(
      ctx,
      text,
      { x: (place.left + place.right) / 2, y: (place.top + place.bottom) / 2 },
      look.theme,
    )
  }
}
