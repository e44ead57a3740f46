// @ts-check
// The card of a feature: what it responds to and what it writes.

/** @import { Card, Example, GraphNode, State } from './types' */

import { el, svgEl } from './dom.js'
import { bits, percent, rarity, signedPercent } from './format.js'
import { heatColor } from './theme.js'

const AROUND_PEAK = 22 // characters' worth of tokens shown on either side of an example's peak
const MOST_TOKENS = 8
/** @type {Record<Example['kind'], string>} */
const BANDS = {
  top: 'Strongest examples',
  middle: 'Middle third of its range',
  low: 'Lowest third of its range',
}
const SIDES = { above: ', active above 0', below: ', active below 0' }
const HISTOGRAM = { width: 300, height: 36, ticks: 12 }
const FEATURE_NAMES = {
  promoted: 'Raises',
  suppressed: 'Lowers',
  noExamples: 'No example texts travel with this model.',
}
const NEURON_NAMES = {
  promoted: 'Above 0',
  suppressed: 'Below 0',
  noExamples: 'The tokens that it raises itself on either side. No example texts were collected.',
}
const BY_HAND = 'A person wrote this label'
const BY_RULE =
  'Label made by rule, from what its strongest examples share and the token it raises most'

/** @typedef {[name: string, value: string]} NodeFact */

/** @param {GraphNode} node @param {State} state */
function cardOf(node, { data }) {
  return node.card === null ? undefined : data.cards[node.card]
}

/**
 * Lines of facts about a node.
 *
 * @param {GraphNode} node
 * @param {State} state
 * @returns {NodeFact[]}
 */
export function factsOf(node, state) {
  const card = cardOf(node, state)
  /** @type {NodeFact[]} */
  const rare = card && hasHistogram(card) && node.kind === 'feature' ? rarityFacts(card) : []
  if (node.side) return [...(node.side_facts || []), ...rare]
  return [...numbersOf(node), ...rare, ...changeFacts(node, state), ...effectFacts(node, state)]
}

/** @param {Card} card */
function hasHistogram({ histogram, histogram_below }) {
  return histogram.length > 0 || (histogram_below?.length ?? 0) > 0
}

/** @param {Card} card @returns {NodeFact[]} */
function rarityFacts({ frequency, frequency_below }) {
  if (!frequency_below) return [['Fires on', rarity(frequency)]]
  return [
    ['Above 0 on', rarity(frequency)],
    ['Below 0 on', rarity(frequency_below)],
  ]
}

/** @param {GraphNode} node @returns {NodeFact[]} */
function numbersOf({ probability, activation, percentile }) {
  /** @type {NodeFact[]} */
  const facts = []
  if (probability !== null) facts.push(['Probability', percent(probability)])
  if (activation !== null) {
    facts.push(['Activation', activation.toFixed(2) + rankOf(activation, percentile)])
  }
  return facts
}

/** @param {number} activation @param {number | null} percentile */
function rankOf(activation, percentile) {
  if (percentile === null) return ''
  const share = percent(percentile, 0)
  if (activation < 0) return `, lower than ${share} of its activations below 0`
  return `, above ${share} of its activations`
}

/** @param {GraphNode} node @param {State} state @returns {NodeFact[]} */
function changeFacts(node, state) {
  const change = state.changes.get(node.id)
  if (!change) return []
  const [measured, predicted] = change.map(signedPercent)
  return [['Changed by', `${measured} measured, ${predicted} predicted`]]
}

/** @param {GraphNode} node @param {State} state @returns {NodeFact[]} */
function effectFacts(node, state) {
  return [...ablationFacts(node, state), ...influenceFacts(node, state)]
}

/** @param {GraphNode} node @param {State} state @returns {NodeFact[]} */
function ablationFacts({ ablation }, { data }) {
  if (ablation === undefined || ablation === null) return []
  const place = data.neurons ? 'model' : 'replacement'
  return [['Switched off', `changes the answer by ${bits(ablation)} in the ${place}`]]
}

/** @param {GraphNode} node @param {State} state @returns {NodeFact[]} */
function influenceFacts(node, { data }) {
  if (node.kind === 'logit') return []
  if (data.neurons && node.kind === 'feature') {
    return [['Effect', `${percent(node.influence)} of what all chosen neurons do together`]]
  }
  return [['Influence', `${percent(node.influence)} of the output passes through it`]]
}

/** @param {Element} parent @param {GraphNode} node @param {State} state */
export function fillHeader(parent, node, state) {
  const title = el('h2', 'cs-title', node.label, parent)
  const card = node.kind === 'feature' && cardOf(node, state)
  if (card) {
    const badge = el('span', 'cs-badge', card.by_hand ? 'named by a person' : 'automatic', title)
    badge.title = card.by_hand ? BY_HAND : BY_RULE
  }
  el('div', 'cs-detail', node.detail, parent)
  const list = el('dl', 'cs-facts', null, parent)
  for (const [name, value] of factsOf(node, state)) {
    el('dt', '', name, list)
    el('dd', '', value, list)
  }
}

/**
 * @param {Element} parent
 * @param {GraphNode} node
 * @param {State} state
 * @param {{kinds: Example['kind'][], n: number}} examples Which kinds, and how many of each.
 */
export function fillCard(parent, node, state, { kinds, n }) {
  const card = cardOf(node, state)
  if (!card) return
  if (node.kind === 'group') {
    el('div', 'cs-section', `Its strongest member: ${card.label || card.title}`, parent)
  }
  drawHistogram(parent, card, node.activation)
  const names = state.data.neurons ? NEURON_NAMES : FEATURE_NAMES
  fillTokens(parent, names.promoted, card.promoted)
  fillTokens(parent, names.suppressed, card.suppressed)
  for (const below of sidesOf(node, card)) {
    fillExamples(parent, card, below, { kinds, n })
  }
  if (!card.examples.length) {
    el('div', 'cs-note', names.noExamples, parent)
  }
}

/**
 * The sides of a feature that have examples, that of the node first: one side for most features.
 *
 * @param {GraphNode} node
 * @param {Card} card
 * @returns {boolean[]}
 */
export function sidesOf({ activation }, { examples }) {
  const isBelow = (activation ?? 0) < 0
  return [isBelow, !isBelow].filter((below) => examples.some((item) => !!item.below === below))
}

/**
 * Name a side by its label, where there are two; return the words for it.
 *
 * @param {Element} parent
 * @param {Card} card
 * @param {boolean} below
 */
function fillSideName(parent, card, below) {
  if (!card.examples.some((example) => example.below)) return ''
  const label = below ? card.label_below : card.label
  if (label) el('div', 'cs-note', label, parent)
  return below ? SIDES.below : SIDES.above
}

/**
 * @param {Element} parent
 * @param {Card} card
 * @param {boolean} below Whether the examples are those where it is active below 0.
 * @param {{kinds: Example['kind'][], n: number}} examples Which kinds, and how many of each.
 */
function fillExamples(parent, card, below, { kinds, n }) {
  const side = fillSideName(parent, card, below)
  for (const kind of kinds) {
    const own = card.examples.filter((item) => item.kind === kind && !!item.below === below)
    if (own.length) el('div', 'cs-section', BANDS[kind] + side, parent)
    for (const example of own.slice(0, n)) fillExample(parent, example, card)
  }
}

// --- histogram -----------------------------------------------------------------------------------

/**
 * What is known of the side that an activation is on: above 0, or below.
 *
 * @param {Card} card
 * @param {number | null} activation
 */
function sideOf({ histogram, histogram_below, max_activation, min_activation }, activation) {
  if (activation === null || activation >= 0) return { counts: histogram, largest: max_activation }
  return { counts: histogram_below ?? [], largest: min_activation ?? 0 }
}

/**
 * An activation as a share of the strongest on its side, with its sign.
 *
 * @param {Card} card
 * @param {number} activation
 */
export function shareOf(card, activation) {
  return activation / (Math.abs(sideOf(card, activation).largest) || 1)
}

/** @param {Element} parent @param {Card} card @param {number | null} activation */
function drawHistogram(parent, card, activation) {
  const { counts, largest } = sideOf(card, activation)
  if (!counts.length) return
  const { width, height, ticks } = HISTOGRAM
  const viewBox = `0 0 ${width} ${height + ticks}`
  const picture = svgEl('svg', { viewBox, class: 'cs-histogram', role: 'img' }, parent)
  drawBars(picture, counts)
  const x = activation === null ? null : width * Math.min(1, Math.abs(shareOf(card, activation)))
  if (x !== null) drawMarker(picture, x)
  if (x === null || x > 50) drawTick(picture, 0, 'start', '0')
  if (x === null || x < width - 60) drawTick(picture, width, 'end', largest.toFixed(1))
  const here = activation === null ? '' : `; ${activation.toFixed(2)} here`
  const label = `Histogram of its activations, 0 to ${largest.toFixed(2)}${here}`
  picture.setAttribute('aria-label', label)
}

/** @param {Element} picture @param {number[]} counts */
function drawBars(picture, counts) {
  const { width, height } = HISTOGRAM
  const most = Math.max(1, ...counts)
  const step = width / counts.length
  counts.forEach((count, bin) => {
    // the square root keeps the rare strong activations visible beside the many weak ones
    const bar = height * Math.sqrt(count / most)
    const place = { x: bin * step, y: height - bar, width: step - 0.8, height: bar }
    svgEl('rect', { ...place, class: 'cs-bar-fill' }, picture)
  })
}

/** @param {Element} picture @param {number} x */
function drawMarker(picture, x) {
  const { width, height } = HISTOGRAM
  svgEl('line', { x1: x, x2: x, y1: 0, y2: height, class: 'cs-marker' }, picture)
  drawTick(picture, Math.max(14, Math.min(width - 14, x)), 'middle', 'here')
}

/** @param {Element} picture @param {number} x @param {string} anchor @param {string} text */
function drawTick(picture, x, anchor, text) {
  const place = { x, y: HISTOGRAM.height + 10, 'text-anchor': anchor, class: 'cs-tick' }
  svgEl('text', place, picture).textContent = text
}

// --- tokens and examples -------------------------------------------------------------------------

/** @param {Element} parent @param {string} name @param {string[]} tokens */
function fillTokens(parent, name, tokens) {
  if (!tokens.length) return
  const line = el('div', 'cs-tokens', null, parent)
  el('span', 'cs-tokens-name', name, line)
  for (const token of tokens.slice(0, MOST_TOKENS)) el('span', 'cs-chip', token, line)
}

/**
 * The tokens around an example's peak that fit on a line.
 *
 * @param {string[]} tokens
 * @param {number} peak
 * @returns {{first: number, last: number}}
 */
export function windowAround(tokens, peak) {
  return { first: lastThatFits(tokens, peak, -1), last: lastThatFits(tokens, peak, 1) }
}

/** @param {string[]} tokens @param {number} peak @param {number} step */
function lastThatFits(tokens, peak, step) {
  let at = peak
  let length = 0
  while (tokens[at + step] !== undefined) {
    length += tokens[at + step].length
    if (length > AROUND_PEAK) return at
    at += step
  }
  return at
}

/**
 * One line of text, its peak in the middle, each token's activation as heat.
 *
 * @param {Element} parent
 * @param {Example} example
 * @param {Card} card
 */
function fillExample(parent, { source, tokens, heat, peak }, card) {
  const row = el('div', 'cs-example', null, parent)
  row.title = source
  const activations = new Map(heat)
  const before = el('span', 'cs-before', null, row)
  const after = el('span', 'cs-after', null, row)
  const { first, last } = windowAround(tokens, peak)
  for (let i = first; i <= last; i++) {
    const half = i < peak ? before : after
    const token = el('span', i === peak ? 'cs-peak' : '', tokens[i], half)
    const activation = activations.get(i)
    if (!activation) continue
    token.style.background = heatColor(shareOf(card, activation))
    token.title = activation.toPrecision(3)
  }
}
