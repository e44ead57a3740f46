// @ts-check
// A walk-through: the steps that somebody took on a graph, one after the other, with captions.

/** @import { Canvas, Walk } from './types' */

import { button, el } from './dom.js'
import { emit, say } from './events.js'

/**
 * @param {Canvas} canvas
 * @returns {(walk: Walk | null) => void} Shows a step, or nothing.
 */
export function buildWalk(canvas) {
  const { ui, options } = canvas
  const box = el('div', 'cs-walk', null, ui.main)
  box.hidden = true
  box.setAttribute('role', 'group')
  box.setAttribute('aria-label', 'Walk-through')
  const count = el('span', 'cs-step', '', box)
  const caption = el('span', 'cs-walk-caption', '', box)
  /** @param {number} by */
  const go = (by) => (options.walk ? options.walk(by) : emit(canvas, { event: 'walk', by }))
  const look = { className: 'cs-button', text: 'Back', title: 'The step before' }
  const back = button(box, look, () => go(-1))
  const nextLook = { className: 'cs-button cs-primary', text: 'Next', title: 'The next step' }
  const next = button(box, nextLook, () => go(1))
  if (!options.walk) {
    const end = { className: 'cs-button', text: 'End', title: 'End the walk-through' }
    button(box, end, () => go(0))
  }
  return (walk) => {
    box.hidden = !walk
    if (!walk) return
    const isNew = caption.textContent !== walk.caption
    count.textContent = `${walk.number + 1} of ${walk.total}`
    caption.textContent = walk.caption
    back.disabled = walk.number === 0
    next.disabled = walk.number === walk.total - 1
    if (isNew) say(canvas, `Step ${walk.number + 1} of ${walk.total}: ${walk.caption}`)
  }
}
