// The side panel: facts about the whole graph, or everything about the selected node.
(function (cs) {
  'use strict'

  const ROWS_AT_FIRST = 12

  // actions: select(id), hover(id or null), pin(id), showPath(number or null), showWay(node), and,
  // where somebody answers, explain(edge) and edit(event)
  cs.fillPanel = function fillPanel(panel, state, actions) {
    const top = panel.dataset.of === String(state.selected) ? panel.scrollTop : 0
    panel.replaceChildren()
    panel.dataset.of = String(state.selected)
    const node = state.byId.get(state.selected)
    if (node) fillNode(panel, node, state, actions)
    else fillOverview(panel, state, actions)
    panel.scrollTop = top
  }

  function fillOverview(panel, state, actions) {
    const { data } = state
    if (data.compared) {
      cs.el('h4', 'cs-title', 'What differs between A and B?', panel)
      cs.el('p', 'cs-note', 'Both graphs on shared axes. A node that is half filled is kept in one of them only: the left half stands for A, the right half for B. Click a node: its edges show how their share of the target’s input changes from A to B.', panel)
    } else {
      const isToken = state.picture.nodes.some(node => node.kind === 'logit' && node.probability !== null)
      cs.el('h4', 'cs-title', isToken ? 'What caused the next token?' : 'What caused this output?', panel)
      cs.el('p', 'cs-note', 'Tokens at the bottom, layers above them, outputs at the top. Point at a node to see what it responds to; click it to see what feeds it and what it feeds.', panel)
      cs.button('cs-button', 'Take the tour', 'A tour of the graph in six steps', panel, actions.tour)
    }
    cs.el('div', 'cs-prompt', data.prompt, panel)
    const facts = cs.el('dl', 'cs-facts cs-overview', null, panel)
    for (const fact of data.facts) {
      cs.el('dt', '', fact.name, facts).title = fact.meaning
      cs.el('dd', '', fact.value, facts).title = fact.meaning
    }
    if (data.paths.length) cs.el('div', 'cs-section', 'Strongest paths', panel)
    data.paths.forEach((path, number) => {
      const row = cs.button('cs-path', null, `Show path ${number + 1} in the graph`, panel, () => actions.showPath(state.path === number ? null : number))
      row.setAttribute('aria-pressed', state.path === number)
      cs.el('span', 'cs-path-share', cs.percent(path.strength, path.strength < 0.0995 ? 2 : 1), row).title = 'Share of the outputs’ influence that flows along it'
      cs.el('span', 'cs-path-text', path.text, row)
    })
    if (state.picture.n_edges_left_out) {
      cs.el('p', 'cs-note', `The ${state.picture.n_edges_left_out.toLocaleString('en')} weakest edges are not drawn.`, panel)
    }
  }

  function fillNode(panel, node, state, actions) {
    const bar = cs.el('div', 'cs-panel-bar', null, panel)
    const pinned = cs.isPinned(node, state.pinned)
    cs.button('cs-button', pinned ? 'Unpin' : 'Pin', pinned ? 'Unpin this node (P)' : 'Pin this node: keep its name visible (P)', bar, () => actions.pin(node.id))
    cs.button('cs-button', 'Close', 'Back to the whole graph (Escape)', bar, () => actions.select(null))
    cs.fillHeader(panel, node, state.data)
    if (node.kind === 'group' && actions.edit) fillGroupTools(panel, node, actions)
    if (node.kind === 'feature' && node.card && actions.edit) fillLabelTool(panel, node, actions)
    if (!node.side) {
      const way = cs.button('cs-button cs-wide', state.way ? 'Hide the strongest way' : 'Strongest way through here', 'From a token through this node to an output, by the product of the shares', panel, () => actions.showWay(node))
      way.setAttribute('aria-pressed', Boolean(state.way))
    }
    const inputs = state.picture.links.filter((edge) => edge.to === node)
    const outputs = state.picture.links.filter((edge) => edge.from === node)
    if (node.kind === 'feature' || node.kind === 'logit' || node.kind === 'group') {
      fillList(panel, 'Inputs', inputs, (edge) => edge.from, node, state, actions)
      if (inputs.length) cs.el('p', 'cs-note', inputNote(node), panel)
    }
    if (node.kind !== 'logit') fillList(panel, 'Outputs', outputs, (edge) => edge.to, node, state, actions)
    if (node.kind === 'feature') fillPartners(panel, node, inputs, outputs, state)
    const card = cs.el('div', 'cs-card-body', null, panel)
    cs.fillCard(card, node, state.data, ['top', 'middle', 'low'], 8)
    if (node.members.length > 1) {
      cs.el('div', 'cs-section', 'Members', panel)
      for (const id of node.members) cs.el('div', 'cs-member', state.nameOf(id), panel)
    }
  }

  function fillLabelTool(panel, node, actions) {
    const line = cs.el('div', 'cs-tools', null, panel)
    const open = cs.button('cs-button', 'Edit label', 'Name this feature yourself; an empty name brings the automatic one back', line, () => {
      open.remove()
      const name = fillName(line, node.label, 'Label of the feature', (label) => {
        const [layer, feature] = node.card.split('/').map(Number)
        actions.edit({ event: 'label', layer, feature, label })
      })
      name.focus()
      name.select()
    })
  }

  function fillName(line, value, meaning, keep) {
    const name = cs.el('input', 'cs-name', null, line)
    name.value = value
    name.maxLength = 120
    name.setAttribute('aria-label', meaning)
    name.addEventListener('change', () => keep(name.value))
    name.addEventListener('keydown', (event) => event.stopPropagation())
    return name
  }

  function fillGroupTools(panel, node, actions) {
    const line = cs.el('div', 'cs-tools', null, panel)
    fillName(line, node.label, 'Name of the supernode', (label) => actions.edit({ event: 'rename', members: node.members, label }))
    cs.button('cs-button', 'Ungroup', 'Take the supernode apart', line, () => actions.edit({ event: 'split', members: node.members }))
  }

  function inputNote(node) {
    if (node.side) return 'Change of weight, and of the share of the inputs kept: B less A. An edge that one graph does not keep has no share there.'
    const parts = ['Percentages are shares of the inputs kept.']
    if (node.dropped >= 0.0005) parts.push(`Pruning left out ${cs.percent(node.dropped)} of its input.`)
    if (node.error_share >= 0.0005) parts.push(`${cs.percent(node.error_share)} of what is kept comes from errors.`)
    return parts.join(' ')
  }

  function fillList(panel, name, edges, other, node, state, actions) {
    const section = cs.el('div', 'cs-section', `${name} (${edges.length})${node.side ? ': change of weight, of share' : ''}`, panel)
    section.title = node.side ? 'B less A' : name === 'Inputs' ? 'What raises or lowers this node: weight, and share of its kept input' : 'What this node raises or lowers: weight, and share of the other node’s kept input'
    const list = cs.el('div', 'cs-list', null, panel)
    list.setAttribute('role', 'list')
    list.setAttribute('aria-label', `${name} of ${node.label}`)
    const sorted = edges.slice().sort((a, b) => Math.abs(b.share) - Math.abs(a.share))
    const add = (part) => part.forEach((edge) => fillRow(list, edge, other(edge), node, state, actions))
    add(sorted.slice(0, ROWS_AT_FIRST))
    if (!edges.length) cs.el('div', 'cs-note', name === 'Inputs' ? 'None kept.' : 'None kept: raise the thresholds to see more.', list)
    if (sorted.length <= ROWS_AT_FIRST) return
    const more = cs.button('cs-more', `Show ${sorted.length - ROWS_AT_FIRST} more`, `Show all ${sorted.length}`, panel, () => {
      add(sorted.slice(ROWS_AT_FIRST))
      more.remove()
    })
    list.after(more)
  }

  // What the feature works with over the corpus, and what the same features do here.
  function fillPartners(panel, node, inputs, outputs, state) {
    const card = state.data.cards[node.card]
    if (!card || !(card.inputs.length + card.outputs.length)) return
    const section = cs.el('div', 'cs-section', 'Over the corpus', panel)
    section.title = 'Target-weighted expected residual attribution (TWERA): the mean effect at one token, weighted by how active the target is. Right: the effect at this token, on this prompt.'
    const head = cs.el('div', 'cs-partner cs-partner-head', null, panel)
    for (const [name, text] of [['cs-partner-label', ''], ['cs-row-number', 'corpus'], ['cs-partner-here', 'here']]) cs.el('span', name, text, head)
    const add = (partners, edges, end, arrow) => {
      for (const partner of partners) {
        const row = cs.el('div', 'cs-partner', null, panel)
        cs.el('span', 'cs-row-side', arrow, row).title = arrow === '←' ? 'acts on this feature' : 'this feature acts on it'
        cs.el('span', 'cs-row-place', `L${partner.layer}`, row)
        cs.el('span', 'cs-partner-label', partner.label, row).title = partner.label
        cs.el('span', 'cs-row-number', cs.signed(partner.twera), row)
        const here = edges.find((edge) => end(edge).card === partner.card && end(edge).position === node.position)
        cs.el('span', 'cs-partner-here', here ? cs.signed(here.weight) : '–', row).title = here ? '' : 'Not among the nodes and edges kept here'
      }
    }
    add(card.inputs, inputs, (edge) => edge.from, '←')
    add(card.outputs, outputs, (edge) => edge.to, '→')
  }

  const PLACE = { token: 'Tok', logit: 'Out' }

  function fillRow(list, edge, other, node, state, actions) {
    const item = cs.el('div', 'cs-item', null, list)
    item.setAttribute('role', 'listitem')
    const change = node.side ? 'change of ' : ''
    const row = cs.button('cs-row', null, `${other.label}, ${other.detail}: ${change}weight ${cs.signed(edge.weight)}, ${change}share ${cs.signedPercent(edge.share)}`, item, () => actions.select(other.id))
    row.style.background = cs.linkColor(edge.share, state.dark)
    row.style.color = cs.textOn(edge.share, state.dark)
    const side = other.position < node.position ? '←' : other.position > node.position ? '→' : ' '
    cs.el('span', 'cs-row-side', side, row)
    cs.el('span', 'cs-row-place', PLACE[other.kind] || `L${other.layer}`, row)
    cs.el('span', 'cs-row-label', other.label, row)
    cs.el('span', 'cs-row-number', cs.signed(edge.weight), row)
    cs.el('span', 'cs-row-number cs-row-share', cs.signedPercent(edge.share), row)
    if (actions.explain) {
      const words = 'Which attention heads carried this edge'
      const why = cs.button('cs-why', 'heads', words, item, () => actions.explain(edge))
      why.setAttribute('aria-pressed', edge === state.edge)
    }
    row.addEventListener('mouseenter', () => actions.hover(other.id))
    row.addEventListener('mouseleave', () => actions.hover(null))
    row.addEventListener('focus', () => actions.hover(other.id))
    row.addEventListener('blur', () => actions.hover(null))
  }

  cs.fillLegend = function fillLegend(legend, dark, compared) {
    legend.replaceChildren()
    const glyph = (shape, name, half) => {
      const item = cs.el('span', 'cs-legend-item', null, legend)
      const picture = cs.svg('svg', { viewBox: '0 0 14 14', width: 13, height: 13, 'aria-hidden': 'true' }, item)
      cs.svg(shape[0], { ...shape[1], class: 'cs-legend-glyph' }, picture)
      if (half) cs.svg('path', { d: half, fill: 'currentColor' }, picture)
      cs.el('span', '', name, item)
    }
    glyph(['circle', { cx: 7, cy: 7, r: 5 }], 'feature')
    glyph(['rect', { x: 2, y: 2, width: 10, height: 10 }], 'token, output')
    glyph(['path', { d: 'M7 1 L13 7 L7 13 L1 7 Z' }], 'error')
    if (compared) {
      glyph(['circle', { cx: 7, cy: 7, r: 5 }], 'kept only in A', 'M7 2 A5 5 0 0 0 7 12 Z')
      glyph(['circle', { cx: 7, cy: 7, r: 5 }], 'kept only in B', 'M7 2 A5 5 0 0 1 7 12 Z')
    }
    const item = cs.el('span', 'cs-legend-item', null, legend)
    cs.el('span', '', compared ? '− higher in A' : '− lowers', item)
    const ramp = cs.el('span', 'cs-legend-ramp', null, item)
    for (const color of cs.ramp(dark)) cs.el('i', '', null, ramp).style.background = color
    cs.el('span', '', compared ? '+ higher in B' : '+ raises', item)
    item.title = `${compared ? 'Change, B less A, of the share' : 'Share'} of the target’s kept input; the scale ends at 40 %. Dashed edges are negative.`
    cs.el('span', 'cs-legend-item cs-legend-hint', 'click, then scroll to zoom · drag to move · Ctrl-click pins · arrow keys travel', legend)
  }
})(globalThis.CircuitScope)
