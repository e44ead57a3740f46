// @ts-check
// Numbers, names and colours; lines of facts; where a card stands.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { factsOf, shareOf, sidesOf, windowAround } from '../../circuitscope_core/canvas/card.js'
import {
  percent,
  quoted,
  rarity,
  shorten,
  signed,
  signedPercent,
  unquoted,
} from '../../circuitscope_core/canvas/format.js'
import { isDark } from '../../circuitscope_core/canvas/page_host.js'
import { inputNote } from '../../circuitscope_core/canvas/panel_node.js'
import { question } from '../../circuitscope_core/canvas/panel_overview.js'
import { firstState, reduce } from '../../circuitscope_core/canvas/state.js'
import {
  heatColor,
  linkColor,
  luminance,
  ramp,
  textOn,
} from '../../circuitscope_core/canvas/theme.js'
import { card, graphData, node } from './samples.js'

test('signs are written, a minus as such', () => {
  assert.equal(signed(0.1234), '+0.123')
  assert.equal(signed(-2, 1), '−2.0')
  assert.equal(signedPercent(-0.5), '−50%')
  assert.equal(signedPercent(0.0123), '+1.2%')
  assert.equal(signedPercent(0.0996), '+10%')
  assert.equal(percent(0.1234), '12.3%')
})

test('how rare a feature is', () => {
  assert.equal(rarity(0), 'never')
  assert.equal(rarity(0.00005), 'under 0.01% of tokens')
  assert.equal(rarity(0.12345), '12% of tokens')
})

test('long texts are cut, and quotation marks are not doubled', () => {
  assert.equal(shorten('abcdef', 4), 'abc…')
  assert.equal(shorten('abcd', 4), 'abcd')
  assert.equal(quoted('“D”'), '“D”')
  assert.equal(quoted('a name'), '“a name”')
  assert.equal(unquoted('“\n”'), '\n')
  assert.equal(unquoted('a “b” c'), 'a “b” c')
})

for (const dark of [false, true]) {
  test(`the scale of colours ends at 40 % on both sides, ${dark ? 'dark' : 'light'}`, () => {
    const colors = ramp(dark)
    assert.equal(colors.length, 10)
    assert.equal(linkColor(-1, dark), colors[0])
    assert.equal(linkColor(-0.4, dark), colors[0])
    assert.equal(linkColor(-0.001, dark), colors[4])
    assert.equal(linkColor(0, dark), colors[5])
    assert.equal(linkColor(0.4, dark), colors[9])
  })

  test(`text on a link is the one that stands out, ${dark ? 'dark' : 'light'}`, () => {
    for (const share of [-0.4, -0.2, 0, 0.2, 0.4]) {
      const isDarkGround = luminance(linkColor(share, dark)) < 0.19
      assert.equal(textOn(share, dark), isDarkGround ? '#ffffff' : '#111111')
    }
  })
}

test('facts of a node: its numbers, how rare it is, its change and its influence', () => {
  const { state, feature } = withFeature()
  assert.deepEqual(factsOf(feature, state), [
    ['Activation', '1.50, above 80% of its activations'],
    ['Fires on', '0.1% of tokens'],
    ['Changed by', '−100% measured, −99% predicted'],
    ['Influence', '50.0% of the output passes through it'],
  ])
  const output = node({ id: 'out', kind: 'logit', probability: 0.5 })
  assert.deepEqual(factsOf(output, state), [['Probability', '50.0%']])
})

test('a feature that was switched off says what the answer loses, and where that was seen', () => {
  const { state, feature } = withFeature()
  const facts = (/** @type {number} */ ablation, neurons = false) =>
    factsOf({ ...feature, ablation }, { ...state, data: { ...state.data, neurons } })
      .filter(([name]) => name === 'Switched off')
      .map(([, value]) => value)
  assert.deepEqual(facts(0.1234), ['changes the answer by 0.12 bits in the replacement'])
  assert.deepEqual(facts(0.0002), ['changes the answer by under 0.001 bits in the replacement'])
  assert.deepEqual(facts(2, true), ['changes the answer by 2 bits in the model'])
})

test('facts of a compared node are those of both sides', () => {
  const { state, feature } = withFeature()
  const compared = { ...feature, side: /** @type {const} */ ('a') }
  assert.deepEqual(factsOf({ ...compared, side_facts: [['A', 'kept']] }, state), [
    ['A', 'kept'],
    ['Fires on', '0.1% of tokens'],
  ])
})

function withFeature() {
  const data = graphData()
  const empty = reduce(firstState(), { type: 'receive', text: 't', data, opening: {} })
  const changes = new Map([['f2', /** @type {[number, number]} */ ([-1, -0.99])]])
  const state = reduce(empty, { type: 'changes', changes })
  const feature = node({ id: 'f2', card: '1/2', activation: 1.5, percentile: 0.8 })
  return { state, feature }
}

test('the note on inputs says what pruning and errors took, if anything', () => {
  assert.equal(inputNote(node({ id: 'n' })), 'Percentages are shares of the inputs kept.')
  const note = inputNote(node({ id: 'n', dropped: 0.1, error_share: 0.25 }))
  assert.match(note, /left out 10\.0% of its input\. 25\.0% of what is kept comes from errors\.$/)
})

test('an example is shown around its peak, as far as a line reaches', () => {
  const tokens = Array.from({ length: 30 }, () => 'abcd')
  assert.deepEqual(windowAround(tokens, 15), { first: 10, last: 20 })
  assert.deepEqual(windowAround(tokens, 1), { first: 0, last: 6 })
  assert.deepEqual(windowAround(['x'.repeat(99), 'peak', 'end'], 1), { first: 1, last: 2 })
})

test('a theme is dark by its background', () => {
  assert.equal(isDark('rgb(14, 17, 23)'), true)
  assert.equal(isDark('rgb(255, 255, 255)'), false)
  assert.equal(isDark('none'), false)
})

test('a neuron shows its own side first, and each side in a colour and on a scale of its own', () => {
  const of = (/** @type {boolean} */ below) => ({
    kind: /** @type {const} */ ('top'),
    source: 's',
    tokens: ['a'],
    heat: [],
    peak: 0,
    below,
  })
  const both = card({ examples: [of(false), of(true)], min_activation: -4 })
  assert.deepEqual(sidesOf(node({ id: 'n', activation: -1 }), both), [true, false])
  assert.deepEqual(sidesOf(node({ id: 'n', activation: 1 }), both), [false, true])
  assert.deepEqual(sidesOf(node({ id: 'n' }), card({ examples: [of(false)] })), [false])
  assert.equal(shareOf(both, 1), 0.5)
  assert.equal(shareOf(both, -1), -0.25)
  assert.notEqual(heatColor(0.5), heatColor(-0.5))
  assert.equal(heatColor(-0.5).split(',')[3], heatColor(0.5).split(',')[3])
})

test('facts of a neuron name both sides', () => {
  const data = graphData()
  const two = { histogram_below: [1], frequency_below: 0.3, frequency: 0.2 }
  data.cards['1/2'] = card({ ...two, min_activation: -4 })
  const state = { ...firstState(), data }
  const facts = factsOf(node({ id: 'f2', card: '1/2', activation: -1, percentile: 0.8 }), state)
  assert.ok(facts.some(([name, value]) => name === 'Above 0 on' && value === '20% of tokens'))
  assert.ok(facts.some(([name, value]) => name === 'Below 0 on' && value === '30% of tokens'))
  assert.ok(facts.some(([, value]) => value.includes('lower than 80% of its activations below 0')))
})

test('the question over a graph is that of its outputs', () => {
  const outputs = [
    node({ id: 'a', kind: 'logit', probability: 0.5, position: 3 }),
    node({ id: 'b', kind: 'logit', probability: 0.5 }),
  ]
  assert.equal(question(outputs), 'What caused this answer?')
  assert.equal(question(outputs.slice(0, 1)), 'What caused the next token?')
  assert.equal(question([node({ id: 'c', kind: 'logit' })]), 'What caused this output?')
})
