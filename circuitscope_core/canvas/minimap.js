// @ts-check
// A small picture of the whole graph with a frame around the part that is seen; a click goes there.

/** @import { Canvas, Point } from './types' */

import { contextOf, el } from './dom.js'
import { extentOf } from './draw_backdrop.js'
import { linkColor, themeOf } from './theme.js'

const SIZE = { width: 168, height: 104 }
const DOT = 2.2

/** @param {Canvas} canvas */
export function buildMinimap(canvas) {
  const surface = el('canvas', 'cs-minimap', null, canvas.ui.main)
  surface.hidden = true
  surface.setAttribute('aria-hidden', 'true') // arrow keys travel through the graph itself
  /** @param {PointerEvent} event */
  const go = (event) => {
    const frame = surface.getBoundingClientRect()
    const { scale, left, top } = mapOf(canvas)
    const position = {
      x: (event.clientX - frame.left) / scale + left,
      y: (event.clientY - frame.top) / scale + top,
    }
    canvas.network?.moveTo({ position, animation: false })
    canvas.touched = true
  }
  surface.addEventListener('pointerdown', (event) => {
    surface.setPointerCapture(event.pointerId)
    go(event)
  })
  surface.addEventListener('pointermove', (event) => {
    if (event.buttons) go(event)
  })
  return surface
}

/** @param {Canvas} canvas */
function mapOf({ state }) {
  const { left, top, width, height } = extentOf(state.picture)
  const scale = Math.min(SIZE.width / width, SIZE.height / height)
  return { scale, left, top, width, height }
}

/**
 * Draw it where only a part of the graph is seen.
 *
 * @param {Canvas} canvas
 */
export function paintMinimap(canvas) {
  const { network, minimap, ui, state } = canvas
  if (!network) return
  const map = mapOf(canvas)
  const corner = network.DOMtoCanvas({ x: 0, y: 0 })
  const far = network.DOMtoCanvas({ x: ui.net.clientWidth, y: ui.net.clientHeight })
  minimap.hidden = isWhole(map, corner, far)
  if (minimap.hidden) return
  const ratio = globalThis.devicePixelRatio || 1
  const { scale, left, top, width, height } = map
  minimap.width = Math.round(scale * width * ratio)
  minimap.height = Math.round(scale * height * ratio)
  minimap.style.width = `${scale * width}px`
  minimap.style.height = `${scale * height}px`
  const ctx = contextOf(minimap)
  const theme = themeOf(state.dark)
  ctx.setTransform(ratio * scale, 0, 0, ratio * scale, -left * scale * ratio, -top * scale * ratio)
  ctx.fillStyle = theme.band
  ctx.fillRect(left, top, width, height)
  for (const node of state.picture.nodes) {
    const link = state.links.get(node.id)
    ctx.fillStyle = link === undefined ? theme.dim : linkColor(link, state.dark)
    if (node.id === state.selected) ctx.fillStyle = theme.focus
    const size = DOT / scale
    ctx.fillRect(node.x - size / 2, node.y - size / 2, size, size)
  }
  ctx.strokeStyle = theme.accent
  ctx.lineWidth = 1.5 / scale
  ctx.strokeRect(corner.x, corner.y, far.x - corner.x, far.y - corner.y)
}

/**
 * @param {{left: number, top: number, width: number, height: number}} map
 * @param {Point} corner
 * @param {Point} far
 */
function isWhole({ left, top, width, height }, corner, far) {
  const spare = 0.02 * width
  return (
    corner.x <= left + spare &&
    corner.y <= top + spare &&
    far.x >= left + width - spare &&
    far.y >= top + height - spare
  )
}
