// @ts-check
// What all painting is made of: outlines of glyphs, text with a halo, fonts.

/** @import { GraphNode, Kind, Surface, Theme } from './types' */

import { GLYPH_RADIUS, isTile, TILE } from './picture.js'

const SANS = 'system-ui, -apple-system, "Segoe UI", sans-serif'
const MONO = 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace'
const DIAMOND = 1.3 // an error's diamond is so much taller than a circle

/** @param {number} size */
export function sans(size) {
  return `${size}px ${SANS}`
}

/** @param {number} size */
export function mono(size) {
  return `${size}px ${MONO}`
}

/**
 * Begin a path that is the outline of a glyph.
 *
 * @param {Surface} ctx
 * @param {Kind} kind
 * @param {{x: number, y: number, r: number}} circle
 */
export function outline(ctx, kind, { x, y, r }) {
  ctx.beginPath()
  if (kind === 'token' || kind === 'logit') ctx.rect(x - r, y - r, 2 * r, 2 * r)
  else if (kind === 'error') polygon(ctx, diamond(x, y, DIAMOND * r))
  else ctx.arc(x, y, r, 0, 2 * Math.PI)
}

/**
 * Begin a path that is the left or right half of a glyph.
 *
 * @param {Surface} ctx
 * @param {Kind} kind
 * @param {{x: number, y: number, r: number}} circle
 * @param {boolean} left
 */
export function halfOutline(ctx, kind, { x, y, r }, left) {
  ctx.beginPath()
  if (kind === 'token' || kind === 'logit') ctx.rect(left ? x - r : x, y - r, r, 2 * r)
  else if (kind === 'error') {
    const [top, right, bottom, leftmost] = diamond(x, y, DIAMOND * r)
    polygon(ctx, [top, left ? leftmost : right, bottom])
  } else {
    const from = left ? Math.PI / 2 : -Math.PI / 2
    ctx.arc(x, y, r, from, from + Math.PI)
  }
}

/** @typedef {[x: number, y: number]} Corner */

/**
 * @param {number} x
 * @param {number} y
 * @param {number} d
 * @returns {Corner[]} Top, right, bottom, left.
 */
function diamond(x, y, d) {
  return [
    [x, y - d],
    [x + d, y],
    [x, y + d],
    [x - d, y],
  ]
}

/** @param {Surface} ctx @param {Corner[]} corners */
function polygon(ctx, corners) {
  corners.forEach(([x, y], number) => {
    if (number) ctx.lineTo(x, y)
    else ctx.moveTo(x, y)
  })
  ctx.closePath()
}

/**
 * A ring around a node.
 *
 * @param {Surface} ctx
 * @param {GraphNode} node
 * @param {{gap: number, dashes: number[], width: number, color: string}} ring
 */
export function strokeRing(ctx, node, { gap, dashes, width, color }) {
  ctx.setLineDash(dashes)
  ctx.beginPath()
  if (isTile(node)) {
    const left = node.x - TILE.width / 2 - gap
    const top = node.y - TILE.height / 2 - gap
    ctx.roundRect(left, top, TILE.width + 2 * gap, TILE.height + 2 * gap, 7)
  } else ctx.arc(node.x, node.y, GLYPH_RADIUS + gap, 0, 2 * Math.PI)
  strokeWith(ctx, color, width)
  ctx.setLineDash([])
}

/** @param {Surface} ctx @param {string} color @param {number} width */
export function strokeWith(ctx, color, width) {
  ctx.strokeStyle = color
  ctx.lineWidth = width
  ctx.stroke()
}

/** @param {Surface} ctx @param {string} color */
export function fillWith(ctx, color) {
  ctx.fillStyle = color
  ctx.fill()
}

/**
 * Text that can be read on top of edges.
 *
 * @param {Surface} ctx
 * @param {string} text
 * @param {{x: number, y: number}} at
 * @param {Theme} theme
 */
export function haloText(ctx, text, { x, y }, theme) {
  ctx.lineJoin = 'round'
  ctx.lineWidth = 3
  ctx.strokeStyle = theme.paper
  ctx.strokeText(text, x, y)
  ctx.fillStyle = theme.text
  ctx.fillText(text, x, y)
}
