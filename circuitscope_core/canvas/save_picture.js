// @ts-check
// The picture as a PNG of twice the size that is seen, with its prompt, its story and a legend.

/** @import { Canvas, Look, Surface } from './types' */

import { contextOf, el, saveAs } from './dom.js'
import { lookOf, paintAbove, paintBelow, paintNode } from './paint.js'
import { mono, outline, sans, strokeWith } from './strokes.js'
import { ramp, themeOf } from './theme.js'

const TWICE = 2
const PAGE_MARGIN = 16
const HEAD = { prompt: 24, line: 18 } // heights of the lines above the picture
const FOOT = 34
/** @type {[kind: 'feature' | 'token' | 'error', text: string][]} */
const GLYPHS = [
  ['feature', 'feature'],
  ['token', 'token, output'],
  ['error', 'error'],
]

/** @param {Canvas} canvas */
export function savePng(canvas) {
  const { network, ui, state } = canvas
  if (!network) return
  const { clientWidth: width, clientHeight } = ui.net
  const over = ui.top.offsetHeight // nothing is drawn under the buttons
  const height = clientHeight - over
  const shot = el('canvas')
  const ctx = contextOf(shot)
  ctx.font = sans(13)
  const lines = brokenLines(ctx, state.data.story?.text ?? '', width - 2 * PAGE_MARGIN)
  const head = PAGE_MARGIN + HEAD.prompt + HEAD.line * lines.length
  shot.width = TWICE * width
  shot.height = TWICE * (head + height + FOOT)
  ctx.scale(TWICE, TWICE)
  const look = { ...lookOf(canvas), theme: themeOf(state.dark) }
  ctx.fillStyle = look.theme.paper
  ctx.fillRect(0, 0, width, head + height + FOOT)
  drawHead(ctx, state.data.prompt, lines, look)
  drawFoot(ctx, head + height + FOOT / 2, look)
  ctx.save()
  ctx.beginPath()
  ctx.rect(0, head, width, height)
  ctx.clip()
  const scale = network.getScale()
  const corner = network.DOMtoCanvas({ x: 0, y: over })
  ctx.translate(0, head)
  ctx.scale(scale, scale)
  ctx.translate(-corner.x, -corner.y)
  paintBelow(canvas, ctx)
  for (const node of state.picture.nodes) paintNode(canvas, ctx, node)
  paintAbove(canvas, ctx)
  ctx.restore()
  saveAs('circuitscope.png', shot.toDataURL('image/png'))
}

/** @param {CanvasRenderingContext2D} ctx @param {string} prompt @param {string[]} lines @param {Look} look */
function drawHead(ctx, prompt, lines, { theme }) {
  ctx.textBaseline = 'middle'
  ctx.textAlign = 'left'
  ctx.fillStyle = theme.text
  ctx.font = mono(15)
  const room = ctx.canvas.width / TWICE - 2 * PAGE_MARGIN
  ctx.fillText(prompt.replaceAll('\n', '↵'), PAGE_MARGIN, PAGE_MARGIN + HEAD.prompt / 2, room)
  ctx.font = sans(13)
  lines.forEach((line, number) => {
    const y = PAGE_MARGIN + HEAD.prompt + HEAD.line * (number + 0.5)
    ctx.fillText(line, PAGE_MARGIN, y)
  })
}

/** @param {CanvasRenderingContext2D} ctx @param {number} y @param {Look} look */
function drawFoot(ctx, y, { theme, dark }) {
  ctx.font = sans(12)
  ctx.textBaseline = 'middle'
  let x = PAGE_MARGIN
  for (const [kind, text] of GLYPHS) {
    outline(/** @type {Surface} */ (ctx), kind, { x: x + 6, y, r: 4.6 })
    strokeWith(ctx, theme.ink, 0.9)
    x = writeAt(ctx, text, x + 16, y) + 16
  }
  x = writeAt(ctx, '− lowers', x, y) + 6
  for (const color of ramp(dark)) {
    ctx.fillStyle = color
    ctx.fillRect(x, y - 5, 12, 10)
    x += 12
  }
  ctx.fillStyle = theme.dim
  writeAt(ctx, '+ raises: share of the target’s kept input, to 40 %', x + 6, y)
}

/**
 * Write text and return where it ends.
 *
 * @param {CanvasRenderingContext2D} ctx
 * @param {string} text
 * @param {number} x
 * @param {number} y
 */
function writeAt(ctx, text, x, y) {
  ctx.fillText(text, x, y)
  return x + ctx.measureText(text).width
}

/**
 * Text in lines that are no wider than there is room.
 *
 * @param {Pick<CanvasRenderingContext2D, 'measureText'>} ctx
 * @param {string} text
 * @param {number} room
 */
export function brokenLines(ctx, text, room) {
  /** @type {string[]} */
  const lines = []
  for (const word of text.split(' ').filter(Boolean)) {
    const last = lines[lines.length - 1]
    const longer = `${last} ${word}`
    if (last !== undefined && ctx.measureText(longer).width <= room)
      lines[lines.length - 1] = longer
    else lines.push(word)
  }
  return lines
}
