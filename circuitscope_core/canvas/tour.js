// @ts-check
// Six steps around the graph for a first visitor. Each one shows what it speaks of.

/** @import { Canvas, Kind } from './types' */

import { chooseTab, hover, openView, select } from './actions.js'
import { button, el } from './dom.js'
import { firstOf } from './state.js'

/**
 * @typedef {object} Step
 * @property {'main' | 'side' | 'bar' | 'strip'} at The part of the frame that it points at.
 * @property {string} title
 * @property {string} text
 * @property {(canvas: Canvas) => void} [show] What it does to the graph.
 */

/** @type {Step[]} */
const STEPS = [
  {
    at: 'main',
    title: 'What the model said',
    text: 'The square at the top is the next token the model expects. Everything below it is what made the model say so.',
    show: (canvas) => {
      if (canvas.state.view !== 'full') openView(canvas, 'full')
    },
  },
  {
    at: 'main',
    title: 'What it read',
    text: 'The squares at the bottom are the tokens of the prompt. Between them and the output stand features: what the layers of the model noticed, at which token.',
    show: (canvas) => selectOnly(canvas, null),
  },
  {
    at: 'main',
    title: 'What a feature is',
    text: 'Point at a circle: its card beside the graph shows text on which it fires, the strongest first, and the tokens that it makes more or less likely.',
    show: pointAtFeature,
  },
  {
    at: 'side',
    title: 'What feeds it',
    text: 'Click a node and open Connections: its inputs and outputs stand here, with signed weights that add up. Green raises, purple lowers. Heads tells which attention heads carried an input.',
    show: (canvas) => {
      selectFirst(canvas, 'logit')
      chooseTab(canvas, 'links')
    },
  },
  {
    at: 'strip',
    title: 'Make it smaller',
    text: 'Supernodes merge features that are alike; hold G and click to group by hand. Ctrl-click pins a node: what is pinned stands in this strip as a small graph, with scores of its own.',
  },
  {
    at: 'side',
    title: 'Check it',
    text: 'Press Check it above the graph, or select a feature and open Intervene: the model is run without it, and what changes stands beside what the graph predicted. A graph that was not checked is only a story.',
    show: (canvas) => selectFirst(canvas, 'feature'),
  },
]

/** @param {Canvas} canvas @param {string | null} id */
function selectOnly(canvas, id) {
  if (canvas.state.selected !== id) select(canvas, id)
}

/** @param {Canvas} canvas @param {Kind} kind */
function selectFirst(canvas, kind) {
  selectOnly(canvas, firstOf(canvas.state, kind)?.id ?? null)
}

/** @param {Canvas} canvas */
function pointAtFeature(canvas) {
  const node = firstOf(canvas.state, 'feature')
  if (!node) return
  canvas.dispatch({ type: 'tab', tab: 'card' })
  hover(canvas, node.id)
}

/**
 * @param {Canvas} canvas
 * @returns {() => void} Starts the tour.
 */
export function buildTour(canvas) {
  const { ui } = canvas
  let number = -1
  const dialog = buildDialog(ui.box, (by) => go(number + by))

  /** @param {number} next */
  function go(next) {
    const before = STEPS[number]
    if (before) ui[before.at].classList.remove('cs-lit')
    const step = STEPS[next]
    number = step ? next : -1
    dialog.box.hidden = !step
    if (!step) {
      ui.box.focus({ preventScroll: true })
      return
    }
    fillStep(dialog, step, number)
    ui[step.at].classList.add('cs-lit')
    step.show?.(canvas)
    dialog.next.focus({ preventScroll: true })
  }
  return () => go(0)
}

/**
 * @param {Element} parent
 * @param {(by: number) => void} go Goes so many steps on; past the last one the tour ends.
 */
function buildDialog(parent, go) {
  const box = el('div', 'cs-tour', null, parent)
  box.hidden = true
  box.setAttribute('role', 'dialog')
  box.setAttribute('aria-label', 'Tour of the graph')
  const title = el('h2', 'cs-title', '', box)
  const text = el('p', '', '', box)
  const line = el('div', 'cs-tools', null, box)
  const count = el('span', 'cs-step', '', line)
  el('span', 'cs-spacer', null, line)
  const backLook = { className: 'cs-button', text: 'Back', title: 'The step before' }
  const back = button(line, backLook, () => go(-1))
  const nextLook = { className: 'cs-button cs-primary', text: 'Next', title: 'The next step' }
  const next = button(line, nextLook, () => go(1))
  const end = { className: 'cs-button', text: 'End', title: 'End the tour' }
  button(line, end, () => go(STEPS.length))
  box.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') go(STEPS.length)
  })
  return { box, title, text, count, back, next }
}

/**
 * @param {ReturnType<typeof buildDialog>} dialog
 * @param {Step} step
 * @param {number} number
 */
function fillStep({ title, text, count, back, next }, step, number) {
  title.textContent = step.title
  text.textContent = step.text
  count.textContent = `${number + 1} of ${STEPS.length}`
  back.disabled = number === 0
  next.textContent = number === STEPS.length - 1 ? 'Done' : 'Next'
}
