// The card of a feature: what it responds to and what it writes.
(function (cs) {
  'use strict'

  const AROUND_PEAK = 22 // characters' worth of tokens shown on either side of an example's peak
  const BANDS = { top: 'Strongest examples', middle: 'Middle third of its range', low: 'Lowest third of its range' }

  // Lines of facts about a node: [name, value]
  cs.factsOf = function factsOf(node, data) {
    const card = data.cards[node.card]
    const rarity = card && node.kind === 'feature' ? [['Fires on', cs.rarity(card.frequency)]] : []
    if (node.side) return [...node.side_facts, ...rarity]
    const facts = []
    if (node.probability !== null) facts.push(['Probability', cs.percent(node.probability)])
    if (node.activation !== null) {
      const rank = node.percentile === null ? '' : `, above ${cs.percent(node.percentile, 0)} of its activations`
      facts.push(['Activation', node.activation.toFixed(2) + rank])
    }
    facts.push(...rarity)
    const change = data.changeOf && data.changeOf(node)
    if (change) facts.push(['Changed by', `${cs.signedPercent(change[0])} measured, ${cs.signedPercent(change[1])} predicted`])
    if (node.kind !== 'logit') facts.push(['Influence', `${cs.percent(node.influence)} of the output passes through it`])
    return facts
  }

  cs.fillHeader = function fillHeader(parent, node, data) {
    const title = cs.el('h4', 'cs-title', node.label, parent)
    const card = node.kind === 'feature' && data.cards[node.card]
    if (card) {
      const badge = cs.el('span', 'cs-badge', card.by_hand ? 'named by a person' : 'automatic', title)
      badge.title = card.by_hand ? 'A person wrote this label' : 'Label made by rule, from what its strongest examples share and the token it raises most'
    }
    cs.el('div', 'cs-detail', node.detail, parent)
    const list = cs.el('dl', 'cs-facts', null, parent)
    for (const [name, value] of cs.factsOf(node, data)) {
      cs.el('dt', '', name, list)
      cs.el('dd', '', value, list)
    }
  }

  cs.fillCard = function fillCard(parent, node, data, kinds, n) {
    const card = data.cards[node.card]
    if (!card) return
    if (node.kind === 'group') cs.el('div', 'cs-section', `Its strongest member: ${card.label || card.title}`, parent)
    drawHistogram(parent, card, node)
    fillTokens(parent, 'Raises', card.promoted)
    fillTokens(parent, 'Lowers', card.suppressed)
    for (const kind of kinds) {
      const examples = card.examples.filter((example) => example.kind === kind).slice(0, n)
      if (!examples.length) continue
      cs.el('div', 'cs-section', BANDS[kind], parent)
      for (const example of examples) fillExample(parent, example, card)
    }
    if (!card.examples.length) cs.el('div', 'cs-note', 'No example texts travel with this model.', parent)
  }

  function drawHistogram(parent, card, node) {
    const width = 300, height = 36, most = Math.max(1, ...card.histogram)
    if (!card.histogram.length) return
    const picture = cs.svg('svg', { viewBox: `0 0 ${width} ${height + 12}`, class: 'cs-histogram', role: 'img' }, parent)
    const step = width / card.histogram.length
    card.histogram.forEach((count, bin) => {
      // the square root keeps the rare strong activations visible beside the many weak ones
      const bar = height * Math.sqrt(count / most)
      cs.svg('rect', { x: bin * step, y: height - bar, width: step - 0.8, height: bar, class: 'cs-bar-fill' }, picture)
    })
    const say = (x, anchor, text) => { cs.svg('text', { x, y: height + 10, 'text-anchor': anchor, class: 'cs-tick' }, picture).textContent = text }
    let label = `Histogram of its activations, 0 to ${card.max_activation.toFixed(2)}`
    const x = node.activation === null ? -1 : width * Math.min(1, node.activation / (card.max_activation || 1))
    if (x >= 0) {
      cs.svg('line', { x1: x, x2: x, y1: 0, y2: height, class: 'cs-marker' }, picture)
      say(Math.max(14, Math.min(width - 14, x)), 'middle', 'here')
      label += `; ${node.activation.toFixed(2)} here`
    }
    if (x < 0 || x > 50) say(0, 'start', '0')
    if (x < width - 60) say(width, 'end', card.max_activation.toFixed(1))
    picture.setAttribute('aria-label', label)
  }

  function fillTokens(parent, name, tokens) {
    if (!tokens.length) return
    const line = cs.el('div', 'cs-tokens', null, parent)
    cs.el('span', 'cs-tokens-name', name, line)
    for (const token of tokens.slice(0, 8)) cs.el('span', 'cs-chip', token, line)
  }

  // One line of text, its peak in the middle, each token's activation as heat.
  function fillExample(parent, example, card) {
    const row = cs.el('div', 'cs-example', null, parent)
    row.title = example.source
    const heat = new Map(example.heat)
    const before = cs.el('span', 'cs-before', null, row)
    const after = cs.el('span', 'cs-after', null, row)
    let first = example.peak, length = 0
    while (first > 0 && length + example.tokens[first - 1].length <= AROUND_PEAK) length += example.tokens[--first].length
    let last = example.peak
    length = 0
    while (last < example.tokens.length - 1 && length + example.tokens[last + 1].length <= AROUND_PEAK) length += example.tokens[++last].length
    for (let i = first; i <= last; i++) {
      const token = cs.el('span', i === example.peak ? 'cs-peak' : '', example.tokens[i], i < example.peak ? before : after)
      const activation = heat.get(i)
      if (!activation) continue
      token.style.background = cs.heat(activation / (card.max_activation || 1))
      token.title = activation.toPrecision(3)
    }
  }
})(globalThis.CircuitScope)
