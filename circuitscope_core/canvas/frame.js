// The frame around the canvas, its toolbar, and what the canvas works out from plain data.
(function (cs) {
  'use strict'

  const HINT = 'Attribution graph. Arrow keys move between nodes, Enter selects, P pins, Escape clears.'

  cs.buildFrame = function buildFrame(root) {
    root.replaceChildren()
    const box = cs.el('div', 'cs', null, root)
    box.tabIndex = 0
    box.setAttribute('role', 'application')
    box.setAttribute('aria-label', HINT)
    const bar = cs.el('div', 'cs-bar', null, box)
    const body = cs.el('div', 'cs-body', null, box)
    const main = cs.el('div', 'cs-main', null, body)
    const net = cs.el('div', 'cs-net', null, main)
    const card = cs.el('div', 'cs-card', null, main)
    card.setAttribute('role', 'tooltip')
    const panel = cs.el('div', 'cs-panel', null, body)
    panel.setAttribute('role', 'region')
    panel.setAttribute('aria-label', 'Details')
    const legend = cs.el('div', 'cs-legend', null, box)
    const live = cs.el('div', 'cs-live', null, box)
    live.setAttribute('aria-live', 'polite')
    return { root, box, bar, main, net, card, panel, legend, live }
  }

  cs.buildToolbar = function buildToolbar(ui, options) {
    ui.views = cs.el('div', 'cs-views', null, ui.bar)
    ui.views.setAttribute('role', 'group')
    ui.viewButtons = {
      full: cs.button('cs-view', 'All nodes', 'Show every kept node', ui.views, () => ui.onView('full')),
      groups: cs.button('cs-view', 'Supernodes', 'Merge similar features into named groups', ui.views, () => ui.onView('groups')),
    }
    ui.search = cs.el('input', 'cs-search', null, ui.bar)
    ui.search.type = 'search'
    ui.search.placeholder = 'Find a label, token or feature number'
    ui.search.setAttribute('aria-label', 'Find nodes')
    ui.search.addEventListener('input', () => ui.onSearch(ui.search.value))
    ui.search.addEventListener('keydown', (event) => { if (event.key === 'Enter') ui.onSearchEnter(ui.search.value) })
    ui.found = cs.el('span', 'cs-found', '', ui.bar)
    ui.found.setAttribute('aria-live', 'polite')
    cs.el('span', 'cs-spacer', null, ui.bar)
    cs.button('cs-button', '−', 'Zoom out', ui.bar, () => ui.onZoom(1 / 1.35))
    cs.button('cs-button', '+', 'Zoom in', ui.bar, () => ui.onZoom(1.35))
    cs.button('cs-button', 'Fit', 'Show the whole graph', ui.bar, () => ui.onFit())
    cs.button('cs-button', 'PNG', 'Save this picture as PNG', ui.bar, () => ui.onSave())
    if (document.fullscreenEnabled) {
      cs.button('cs-button', 'Full screen', 'Use the whole screen', ui.bar, () => {
        if (document.fullscreenElement) document.exitFullscreen()
        else ui.box.requestFullscreen()
      })
    }
    if (options.themeButton) cs.button('cs-button', 'Theme', 'Light or dark', ui.bar, () => ui.onTheme())
  }

  cs.markView = function markView(ui, state) {
    ui.views.hidden = !state.data.groups
    for (const [view, button] of Object.entries(ui.viewButtons)) button.setAttribute('aria-pressed', view === state.view)
  }

  // Turns a picture's plain data into linked objects. homes: any node's id to what stands for it.
  cs.preparePicture = function preparePicture(raw, bent) {
    const nodes = raw.nodes.map((node) => ({ ...node }))
    const links = raw.edges.map(([source, target, weight, share]) => ({ from: nodes[source], to: nodes[target], weight, share }))
    const byId = new Map(nodes.map((node) => [node.id, node]))
    const homes = new Map(byId)
    for (const node of nodes) for (const member of node.members) homes.set(member, node)
    return { picture: { ...raw, nodes, links, bent }, byId, homes }
  }

  // The nearest node in a direction; what lies off the line counts two and a half times as far.
  cs.neighbour = function neighbour(nodes, from, dx, dy) {
    let best = null, least = Infinity
    for (const node of nodes) {
      const ax = node.x - from.x, ay = node.y - from.y
      const along = ax * dx + ay * dy
      if (along <= 1) continue
      const away = along + 2.5 * Math.abs(ax * dy - ay * dx)
      if (away < least) { least = away; best = node }
    }
    return best
  }
})(globalThis.CircuitScope)
