// @ts-check
// Layer bands, token columns and their names, in the graph's own coordinates.

/** @import { Band, Look, Picture, Surface } from './types' */

import { shorten } from './format.js'
import { mono, sans } from './strokes.js'

const LINE = 18 // from one line of column labels to the next
const FIRST_LINE = 15
const LARGEST_TEXT = 1.7
const MARGIN = { left: 86, top: 34, right: 30 }
const ROOM = 46 // under the graph, for column labels that stand upright
const LETTER = 6.6 // the way down, and to the left, that a letter of a slanted label takes
const MORE_ROOM = 30 // for a second line of them
const LONGEST_COLUMN = 18

/** @param {Band} column */
function isShort(column) {
  return column.label.split('\n').every((text) => text.length <= 2)
}

/**
 * Tell whether most column labels are short enough to stand upright.
 *
 * @param {Band[]} columns
 */
function isUpright(columns) {
  return columns.filter(isShort).length >= columns.length / 2
}

/**
 * The names of the lines of column labels: where two prompts that differ are compared, each has one.
 *
 * @param {Band[]} columns
 */
function lineNames(columns) {
  return columns.some((column) => column.label.includes('\n')) ? ['A', 'B'] : ['']
}

/** @param {Band[]} bands */
function endOf(bands) {
  return bands[bands.length - 1].end
}

/**
 * How many times as large as usual text is drawn, so that it can be read on a small picture.
 *
 * @param {number} scale Pixels of the screen that a unit of the picture takes.
 */
export function textSize(scale) {
  return Math.min(LARGEST_TEXT, Math.max(1, 1 / scale))
}

/**
 * The room that a picture takes with its labels.
 *
 * @param {Picture} picture
 * @param {number} [big] How many times as large as usual text is drawn.
 */
export function extentOf({ rows, columns }, big = 1) {
  const more = MORE_ROOM * (lineNames(columns).length - 1)
  const slanted = columns.filter((column) => !isUpright(columns) || !isShort(column))
  const reach = slanted.map(
    (column) => LETTER * big * Math.min(column.label.length, LONGEST_COLUMN),
  )
  const below = Math.max(ROOM + more, ...reach.map((way) => 20 + way))
  const before = slanted.map((column, i) => reach[i] - (column.start + column.end) / 2)
  const left = Math.max(MARGIN.left, ...before)
  return {
    left: -left,
    top: -MARGIN.top,
    width: left + endOf(columns) + MARGIN.right,
    height: MARGIN.top + endOf(rows) + below,
  }
}

/**
 * @param {Surface} ctx
 * @param {Picture} picture
 * @param {Look} look
 */
export function drawBackdrop(ctx, picture, look) {
  drawBands(ctx, picture, look)
  drawGrid(ctx, picture, look)
  drawRowLabels(ctx, picture, look)
  drawColumnLabels(ctx, picture, look)
}

/** @param {Surface} ctx @param {Picture} picture @param {Look} look */
function drawBands(ctx, { rows, columns }, { theme }) {
  rows.forEach((row, number) => {
    const isEdge = number === 0 || number === rows.length - 1
    ctx.fillStyle = isEdge ? theme.edge_band : theme.band
    ctx.fillRect(0, row.start, endOf(columns), row.end - row.start)
  })
}

/** @param {Surface} ctx @param {Picture} picture @param {Look} look */
function drawGrid(ctx, { rows, columns }, { theme }) {
  ctx.strokeStyle = theme.hairline
  ctx.lineWidth = 1.2
  ctx.beginPath()
  for (const row of rows.slice(1)) {
    ctx.moveTo(0, row.start)
    ctx.lineTo(endOf(columns), row.start)
  }
  for (const column of columns.slice(1)) {
    ctx.moveTo(column.start, 0)
    ctx.lineTo(column.start, endOf(rows))
  }
  ctx.stroke()
}

/** @param {Surface} ctx @param {Picture} picture @param {Look} look */
function drawRowLabels(ctx, { rows }, { theme, big }) {
  ctx.font = sans(12 * big)
  ctx.fillStyle = theme.dim
  ctx.textAlign = 'right'
  ctx.textBaseline = 'middle'
  for (const row of rows) ctx.fillText(row.label, -8, (row.start + row.end) / 2)
}

/** @param {Surface} ctx @param {Picture} picture @param {Look} look */
function drawColumnLabels(ctx, { rows, columns }, { theme, big }) {
  const bottom = endOf(rows)
  const names = lineNames(columns)
  const upright = isUpright(columns)
  if (upright) {
    names.forEach((name, line) => {
      ctx.fillText(name, -16 - 24 * big, bottom + (FIRST_LINE + LINE * line) * big)
    })
  }
  ctx.fillStyle = theme.text
  for (const column of columns) {
    if (upright && isShort(column)) drawUpright(ctx, column, { bottom, big, lines: names.length })
    else drawSlanted(ctx, column, bottom, big)
  }
}

/**
 * @param {Surface} ctx
 * @param {Band} column
 * @param {{bottom: number, big: number, lines: number}} place
 */
function drawUpright(ctx, column, { bottom, big, lines }) {
  const texts = column.label.split('\n')
  ctx.font = mono(14 * big)
  ctx.textAlign = 'center'
  for (let line = 0; line < lines; line++) {
    const text = texts[Math.min(line, texts.length - 1)]
    ctx.fillText(text, (column.start + column.end) / 2, bottom + (FIRST_LINE + LINE * line) * big)
  }
}

/**
 * @param {Surface} ctx
 * @param {Band} column
 * @param {number} bottom
 * @param {number} big
 */
function drawSlanted(ctx, column, bottom, big) {
  const texts = column.label.split('\n')
  ctx.font = sans(12 * big)
  ctx.textAlign = 'right'
  ctx.save()
  ctx.translate((column.start + column.end) / 2 + 3, bottom + 9)
  ctx.rotate(-Math.PI / 4)
  ctx.fillText(shorten(texts.filter(Boolean).join('|'), LONGEST_COLUMN), 0, 0)
  ctx.restore()
}
