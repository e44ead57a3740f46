// @ts-check
// The card that stands beside a node while the pointer or the keyboard is on it.

/** @import { Canvas, GraphNode, Point, Ui } from './types' */

import { fillCard, fillHeader } from './card.js'
import { el } from './dom.js'
import { say } from './events.js'
import { quoted, signedPercent } from './format.js'
import { nameOf } from './state.js'

const CARD_MARGIN = 6 // pixels from the card to the edge of the drawing area
const CARD_GAP = 18 // pixels from the card to its node
const CARD_EXAMPLES = 5

/** @param {Canvas} canvas @param {GraphNode} node */
export function showCard(canvas, node) {
  const { state, ui } = canvas
  ui.card.replaceChildren()
  fillHeader(ui.card, node, state)
  fillCard(ui.card, node, state, { kinds: ['top'], n: CARD_EXAMPLES })
  const share = state.links.get(node.id)
  if (share !== undefined && state.selected !== null) {
    const kind = state.data.compared ? 'change of the share' : 'share'
    const name = quoted(nameOf(state, state.selected))
    el('div', 'cs-card-link', `${signedPercent(share)} ${kind} of the link with ${name}`, ui.card)
  }
  if (canvas.network) placeCard(ui, canvas.network.canvasToDOM({ x: node.x, y: node.y }))
  ui.card.classList.add('cs-on')
  say(canvas, `${node.label}, ${node.detail}`)
}

/** @param {Canvas} canvas */
export function hideCard({ ui }) {
  ui.card.classList.remove('cs-on')
}

/** @param {Ui} ui @param {Point} at */
function placeCard({ main, card }, at) {
  const x = cardLeft(at.x, card.offsetWidth, main.clientWidth)
  const lowest = main.clientHeight - card.offsetHeight - CARD_MARGIN
  const y = Math.max(CARD_MARGIN, Math.min(lowest, at.y - card.offsetHeight / 3))
  card.style.left = `${x}px`
  card.style.top = `${y}px`
}

/**
 * Beside the node where there is room, on its freer side otherwise; always wholly inside.
 *
 * @param {number} x
 * @param {number} width Of the card.
 * @param {number} room
 */
export function cardLeft(x, width, room) {
  const right = x + CARD_GAP
  if (right + width <= room - CARD_MARGIN) return right
  const left = x - CARD_GAP - width
  if (left >= CARD_MARGIN) return left
  return x > room / 2 ? CARD_MARGIN : room - width - CARD_MARGIN
}
