// @ts-check
// The side panel while no node is selected: facts about the whole graph and its strongest paths.

/** @import { Canvas, Fact, GraphNode, GraphPath } from './types' */

import { showPath } from './actions.js'
import { button, el, setPressed } from './dom.js'
import { counted, percent } from './format.js'

const COMPARED_GRAPHS =
  'Both graphs on shared axes. A node that is half filled is kept in one of them only: the left half stands for A, the right half for B. Click a node: its edges show how their share of the target’s input changes from A to B.'
const ONE_GRAPH =
  'Tokens at the bottom, layers above them, outputs at the top. Point at a node to see what it responds to; click it to see what feeds it and what it feeds.'

/** @param {Canvas} canvas */
export function fillOverview(canvas) {
  const { state, ui } = canvas
  if (state.data.compared) fillComparedTitle(ui.panel)
  else fillTitle(canvas)
  el('div', 'cs-prompt', state.data.prompt, ui.panel)
  fillSummary(canvas)
}

/**
 * The graph's figures and its strongest paths.
 *
 * @param {Canvas} canvas
 */
export function fillSummary(canvas) {
  const { state, ui } = canvas
  fillFacts(ui.panel, state.data.facts)
  if (state.data.paths.length) el('div', 'cs-section', 'Strongest paths', ui.panel)
  state.data.paths.forEach((path, number) => {
    fillPath(canvas, path, number)
  })
  const leftOut = state.picture.n_edges_left_out
  if (leftOut) {
    el('p', 'cs-note', `The ${counted(leftOut)} weakest edges are not drawn.`, ui.panel)
  }
}

/** @param {Element} panel */
function fillComparedTitle(panel) {
  el('h2', 'cs-title', 'What differs between A and B?', panel)
  el('p', 'cs-note', COMPARED_GRAPHS, panel)
}

/** @param {Canvas} canvas */
function fillTitle({ state, ui, startTour }) {
  el('h2', 'cs-title', question(state.picture.nodes), ui.panel)
  el('p', 'cs-note', ONE_GRAPH, ui.panel)
  const look = {
    className: 'cs-button',
    text: 'Take the tour',
    title: 'A tour of the graph in six steps',
  }
  button(ui.panel, look, startTour)
}

/**
 * What a picture answers: its outputs are likely next tokens, the tokens of an answer, or others.
 *
 * @param {GraphNode[]} nodes
 */
export function question(nodes) {
  const outputs = nodes.filter((node) => node.kind === 'logit')
  if (!outputs.some((node) => node.probability !== null)) return 'What caused this output?'
  const places = new Set(outputs.map((node) => node.position))
  return places.size > 1 ? 'What caused this answer?' : 'What caused the next token?'
}

/** @param {Element} panel @param {Fact[]} facts */
function fillFacts(panel, facts) {
  const list = el('dl', 'cs-facts cs-overview', null, panel)
  for (const { name, value, meaning } of facts) {
    el('dt', '', name, list).title = meaning
    el('dd', '', value, list).title = meaning
  }
}

/** @param {Canvas} canvas @param {GraphPath} path @param {number} number */
function fillPath(canvas, { strength, text }, number) {
  const isOn = canvas.state.path === number
  const title = `Show path ${number + 1} in the graph`
  const row = button(canvas.ui.panel, { className: 'cs-path', text: null, title }, () => {
    showPath(canvas, isOn ? null : number)
  })
  setPressed(row, isOn)
  const share = el('span', 'cs-path-share', percent(strength, strength < 0.0995 ? 2 : 1), row)
  share.title = 'Share of the outputs’ influence that flows along it'
  el('span', 'cs-path-text', text, row)
}
