// @ts-check
// What the canvas tells the page and screen readers.

/** @import { Canvas, CanvasEvent } from './types' */

const RESENT = 4 // events in one message

/**
 * Tell the page. The last few events go together: one that comes while the page still answers
 * another would be lost.
 *
 * @param {Canvas} canvas
 * @param {CanvasEvent} event
 */
export function emit(canvas, event) {
  const nonce = `${Date.now()}-${Math.random()}`
  canvas.recent = [...canvas.recent.slice(1 - RESENT), { ...event, nonce }]
  canvas.options.emit?.(canvas.recent)
}

/** @param {Canvas} canvas @param {string} text */
export function say({ ui }, text) {
  ui.live.textContent = text
}
