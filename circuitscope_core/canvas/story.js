// @ts-check
// The story of a graph: one sentence computed from its numbers, and three ways to see it.

/** @import { Canvas, Story, StoryOutcome } from './types' */

import { explain, select, showPath, tellCheck } from './actions.js'
import { button, el, setPressed } from './dom.js'
import { percent } from './format.js'

/** @param {Canvas} canvas */
export function fillStory(canvas) {
  const { ui, state } = canvas
  const { story } = state.data
  ui.story.replaceChildren()
  ui.story.hidden = !story || state.view === 'pinned'
  if (!story) return
  const line = el('div', 'cs-story-line', null, ui.story)
  el('p', 'cs-story-text', story.text, line)
  const buttons = el('div', 'cs-story-buttons', null, line)
  fillPathButton(canvas, buttons)
  if (canvas.options.explain) fillHeadsButton(canvas, buttons, story)
  if (story.outcomes.length) fillCheckButton(canvas, buttons, story)
  if (state.checked) fillOutcomes(ui.story, story)
}

/** @param {Canvas} canvas @param {Element} line */
function fillPathButton(canvas, line) {
  if (!canvas.state.data.paths.length) return
  const isOn = canvas.state.path === 0
  const look = {
    className: 'cs-button',
    text: 'Show path',
    title: 'The strongest path from a token to an output',
  }
  setPressed(
    button(line, look, () => showPath(canvas, isOn ? null : 0)),
    isOn,
  )
}

/** @param {Canvas} canvas @param {Element} line @param {Story} story */
function fillHeadsButton(canvas, line, { source, output }) {
  const edge = canvas.state.picture.listed.find(
    ({ from, to }) => homeIs(canvas, source, from.id) && homeIs(canvas, output, to.id),
  )
  if (!edge) return
  const title = 'The attention heads that carried the strongest input'
  button(line, { className: 'cs-button', text: 'Show heads', title }, () => {
    if (canvas.state.selected !== edge.to.id) select(canvas, edge.to.id)
    explain(canvas, edge)
  })
}

/** @param {Canvas} canvas @param {string} id @param {string} home */
function homeIs({ state }, id, home) {
  return state.homes.get(id)?.id === home
}

/** @param {Canvas} canvas @param {Element} line @param {Story} story */
function fillCheckButton(canvas, line, story) {
  const title = 'The model with the strongest input switched off, before and after'
  const look = { className: 'cs-button cs-primary', text: 'Check it', title }
  const made = button(line, look, () => {
    canvas.dispatch({ type: 'check', on: !canvas.state.checked })
    if (canvas.state.checked) tellCheck(canvas, story)
  })
  setPressed(made, canvas.state.checked)
}

/**
 * The probabilities before, moving to those after.
 *
 * @param {Element} parent
 * @param {Story} story
 */
function fillOutcomes(parent, { outcomes, switched_off }) {
  const list = el('div', 'cs-outcomes', null, parent)
  el('div', 'cs-outcomes-head', `With ${switched_off} switched off in the model:`, list)
  const bars = outcomes.map((outcome) => fillOutcome(list, outcome))
  requestAnimationFrame(() =>
    requestAnimationFrame(() => {
      for (const [bar, after] of bars) bar.style.width = percent(after)
    }),
  )
}

/** @param {Element} list @param {StoryOutcome} outcome @returns {[HTMLElement, number]} */
function fillOutcome(list, { token, before, after }) {
  const row = el('div', 'cs-outcome', null, list)
  el('span', 'cs-outcome-token', token, row)
  const track = el('span', 'cs-outcome-track', null, row)
  const bar = el('i', '', null, track)
  bar.style.width = percent(before)
  el('span', 'cs-outcome-numbers', `${percent(before)} → ${percent(after)}`, row)
  return [bar, after]
}
