// @ts-check
// Nodes as glyphs or tiles, their marks and their names, in the graph's own coordinates.

/** @import { Change, GraphNode, Look, Marks, Surface, Theme } from './types' */

import { shorten, signedPercent } from './format.js'
import { GLYPH_RADIUS, isTile, TILE } from './picture.js'
import {
  fillWith,
  halfOutline,
  haloText,
  mono,
  outline,
  sans,
  strokeRing,
  strokeWith,
} from './strokes.js'
import { linkColor, textOn } from './theme.js'

const LARGER = 1.25 // a linked or selected glyph
const INNER = 0.5 // radius of the dot in a neuron that is active above 0, against the glyph's
const LEAST_SIGN = 0.02 // weaker links get no sign
const LEAST_ERROR = 0.01
const LEAST_CHANGE = 0.005
const MEMBER_STEP = 9
const LONGEST_TOKEN = 18

/**
 * @param {Surface} ctx
 * @param {GraphNode} node
 * @param {Marks} marks
 * @param {Look} look
 */
export function drawNode(ctx, node, marks, look) {
  ctx.globalAlpha = opacityOf(node, marks)
  if (isTile(node)) drawTile(ctx, node, marks, look)
  else drawGlyph(ctx, node, marks, look)
  if (marks.change) drawChange(ctx, node, marks.change, look)
  drawRings(ctx, node, marks, look.theme)
  ctx.globalAlpha = 1
}

/** @param {GraphNode} node @param {Marks} marks */
function opacityOf(node, marks) {
  if (marks.faint) return 0.32
  return node.kind === 'error' && marks.link === null && !marks.focused ? 0.6 : 1
}

/** @param {Marks} marks @param {number} plain */
function lineWidthOf(marks, plain) {
  if (marks.focused) return 2.4
  return marks.pinned ? 2 : plain
}

// --- glyphs --------------------------------------------------------------------------------------

/** @param {Surface} ctx @param {GraphNode} node @param {Marks} marks @param {Look} look */
function drawGlyph(ctx, node, marks, { theme, dark }) {
  const isPlain = marks.link === null && !marks.focused
  const circle = { x: node.x, y: node.y, r: GLYPH_RADIUS * (isPlain ? 1 : LARGER) }
  outline(ctx, node.kind, circle)
  fillWith(ctx, marks.link === null ? theme.paper : linkColor(marks.link, dark))
  if (node.side === 'a' || node.side === 'b') {
    // of two compared graphs only one keeps the node: the left half for A, the right half for B
    halfOutline(ctx, node.kind, circle, node.side === 'a')
    fillWith(ctx, theme.ink)
    outline(ctx, node.kind, circle)
  }
  strokeWith(ctx, marks.focused ? theme.focus : theme.ink, lineWidthOf(marks, 0.8))
  if (marks.link !== null) drawSign(ctx, node, marks.link, dark)
  else if (node.filled) {
    outline(ctx, node.kind, { ...circle, r: INNER * circle.r })
    fillWith(ctx, theme.ink)
  }
  drawErrorShare(ctx, node, theme)
}

/** @param {Surface} ctx @param {GraphNode} node @param {number} link @param {boolean} dark */
function drawSign(ctx, node, link, dark) {
  if (Math.abs(link) < LEAST_SIGN) return
  ctx.beginPath()
  ctx.moveTo(node.x - 2.2, node.y)
  ctx.lineTo(node.x + 2.2, node.y)
  if (link > 0) {
    ctx.moveTo(node.x, node.y - 2.2)
    ctx.lineTo(node.x, node.y + 2.2)
  }
  strokeWith(ctx, textOn(link, dark), 1.1)
}

/**
 * How much of a node's kept input is an error's: an arc from the top, a full circle for all of it.
 *
 * @param {Surface} ctx
 * @param {GraphNode} node
 * @param {Theme} theme
 */
function drawErrorShare(ctx, node, theme) {
  if (!(node.error_share > LEAST_ERROR)) return
  ctx.beginPath()
  const end = (2 * node.error_share - 0.5) * Math.PI
  ctx.arc(node.x, node.y, GLYPH_RADIUS + 2.4, -Math.PI / 2, end)
  strokeWith(ctx, theme.dim, 1.3)
}

// --- tiles ---------------------------------------------------------------------------------------

/** @param {Surface} ctx @param {GraphNode} node @param {Marks} marks @param {Look} look */
function drawTile(ctx, node, marks, { theme, dark }) {
  ctx.beginPath()
  ctx.roundRect(node.x - TILE.width / 2, node.y - TILE.height / 2, TILE.width, TILE.height, 4)
  const plain = node.kind === 'group' ? theme.tile : theme.paper
  fillWith(ctx, marks.link === null ? plain : linkColor(marks.link, dark))
  strokeWith(ctx, marks.focused ? theme.focus : theme.tile_line, lineWidthOf(marks, 0.9))
  ctx.fillStyle = marks.link === null ? theme.text : textOn(marks.link, dark)
  ctx.font = sans(10.5)
  ctx.textAlign = 'center'
  ctx.textBaseline = 'middle'
  ctx.fillText(fitted(ctx, node.label, TILE.width - 10), node.x, node.y + 0.5)
  drawMembers(ctx, node, theme)
}

/**
 * On the upper edge of a tile: a circle for each member, or what kind of node it is.
 *
 * @param {Surface} ctx
 * @param {GraphNode} node
 * @param {Theme} theme
 */
function drawMembers(ctx, node, theme) {
  const isGroup = node.kind === 'group'
  const n = isGroup ? node.members.length : 1
  const step = Math.min(MEMBER_STEP, (TILE.width - 20) / n)
  const y = node.y - TILE.height / 2 - 1
  for (let i = 0; i < n; i++) {
    const x = node.x + (i - (n - 1) / 2) * step
    outline(ctx, isGroup ? 'feature' : node.kind, { x, y, r: 3 })
    fillWith(ctx, theme.paper)
    strokeWith(ctx, theme.ink, 0.8)
  }
}

/** @param {Surface} ctx @param {string} text @param {number} width */
function fitted(ctx, text, width) {
  let length = text.length
  while (length > 1 && ctx.measureText(shorten(text, length)).width > width) length--
  return shorten(text, length)
}

// --- marks ---------------------------------------------------------------------------------------

/** @param {Surface} ctx @param {GraphNode} node @param {Marks} marks @param {Theme} theme */
function drawRings(ctx, node, marks, { focus, accent }) {
  if (marks.hovered) strokeRing(ctx, node, { gap: 4, dashes: [3, 2], width: 1.8, color: focus })
  if (marks.twin) strokeRing(ctx, node, { gap: 4, dashes: [1.5, 2], width: 1.5, color: focus })
  if (marks.chosen) strokeRing(ctx, node, { gap: 3, dashes: [], width: 2.6, color: accent })
}

/**
 * What an intervention did to a node: a ring in the colour of the measured change, and on tiles,
 * which have room, both numbers, measured first.
 *
 * @param {Surface} ctx
 * @param {GraphNode} node
 * @param {Change} change
 * @param {Look} look
 */
function drawChange(ctx, node, [measured, predicted], { theme, dark }) {
  if (Math.abs(measured) < LEAST_CHANGE && Math.abs(predicted) < LEAST_CHANGE) return
  ctx.globalAlpha = 1
  const color = linkColor(0.4 * measured, dark)
  strokeRing(ctx, node, { gap: 2.5, dashes: [], width: 3, color })
  if (!isTile(node)) return
  ctx.textAlign = 'center'
  ctx.textBaseline = 'middle'
  ctx.font = `bold ${sans(10.5)}`
  const text = `${signedPercent(measured)} (${signedPercent(predicted)})`
  haloText(ctx, text, { x: node.x, y: node.y + TILE.height / 2 + 9 }, theme)
}

/**
 * The token of an output, above it.
 *
 * @param {Surface} ctx
 * @param {GraphNode} node
 * @param {string} text
 * @param {{theme: Theme, big: number}} look
 */
export function drawToken(ctx, node, text, { theme, big }) {
  const upright = text.length <= 2
  ctx.textBaseline = 'middle'
  ctx.save()
  ctx.translate(node.x, node.y - (upright ? 8 + 6 * big : 9))
  if (!upright) ctx.rotate(-Math.PI / 4)
  ctx.font = mono(13 * big)
  ctx.textAlign = upright ? 'center' : 'left'
  haloText(ctx, shorten(text, LONGEST_TOKEN), { x: 0, y: 0 }, theme)
  ctx.restore()
}
