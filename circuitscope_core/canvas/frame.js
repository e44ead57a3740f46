// The frame around the canvas: toolbar, drawing area, details, legend.
(function (cs) {
  'use strict'

  const HINT = 'Attribution graph. Arrow keys move between nodes, Enter selects, P pins, hold G and press Enter on nodes to group them, Escape clears.'
  const DENSITIES = [['any', 1], ['10 %', 0.1], ['3 %', 0.03], ['1 %', 0.01], ['0.3 %', 0.003], ['0.1 %', 0.001]]

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
    const empty = cs.el('div', 'cs-empty', null, main)
    const card = cs.el('div', 'cs-card', null, main)
    card.setAttribute('role', 'tooltip')
    const panel = cs.el('div', 'cs-panel', null, body)
    panel.setAttribute('role', 'region')
    panel.setAttribute('aria-label', 'Details')
    const legend = cs.el('div', 'cs-legend', null, box)
    const live = cs.el('div', 'cs-live', null, box)
    live.setAttribute('aria-live', 'polite')
    return { root, box, bar, main, net, empty, card, panel, legend, live }
  }

  // on: view, search, searchEnter, linkType, filter, grouping, makeGroup, undo, zoom, fit, savePng, saveSvg,
  // tour, theme
  cs.buildToolbar = function buildToolbar(ui, options, on) {
    ui.views = cs.el('div', 'cs-views', null, ui.bar)
    ui.views.setAttribute('role', 'group')
    ui.viewButtons = {
      full: cs.button('cs-view', 'All nodes', 'Show every kept node', ui.views, () => on.view('full')),
      groups: cs.button('cs-view', 'Supernodes', 'Merge similar features into named groups', ui.views, () => on.view('groups')),
      pinned: cs.button('cs-view', 'Pinned', 'Show the outputs and what you pinned', ui.views, () => on.view('pinned')),
    }
    ui.search = cs.el('input', 'cs-search', null, ui.bar)
    ui.search.type = 'search'
    ui.search.placeholder = 'Find a label, token or number'
    ui.search.setAttribute('aria-label', 'Find nodes')
    ui.search.addEventListener('input', () => on.search(ui.search.value))
    ui.search.addEventListener('keydown', (event) => { if (event.key === 'Enter') on.searchEnter(ui.search.value) })
    ui.found = cs.el('span', 'cs-found', '', ui.bar)
    ui.found.setAttribute('aria-live', 'polite')
    cs.el('span', 'cs-spacer', null, ui.bar)
    buildFilter(ui, on)
    if (options.edit) {
      ui.group = cs.button('cs-button', 'Group', 'Choose nodes to make one supernode of; or hold G and click', ui.bar, () => on.grouping())
      ui.makeGroup = cs.button('cs-button cs-primary', 'Make supernode', 'Make one supernode of the chosen nodes', ui.bar, () => on.makeGroup())
      ui.undo = cs.button('cs-button', 'Undo', 'Undo the last change of supernodes', ui.bar, () => on.undo())
    }
    cs.button('cs-button', '−', 'Zoom out', ui.bar, () => on.zoom(1 / 1.35))
    cs.button('cs-button', '+', 'Zoom in', ui.bar, () => on.zoom(1.35))
    cs.button('cs-button', 'Fit', 'Show the whole graph', ui.bar, () => on.fit())
    cs.button('cs-button', 'PNG', 'Save what is seen as PNG', ui.bar, () => on.savePng())
    cs.button('cs-button', 'SVG', 'Save the whole picture as SVG, sharp at every size', ui.bar, () => on.saveSvg())
    if (document.fullscreenEnabled) {
      cs.button('cs-button', 'Full screen', 'Use the whole screen', ui.bar, () => {
        if (document.fullscreenElement) document.exitFullscreen()
        else ui.box.requestFullscreen()
      })
    }
    ui.tour = cs.button('cs-button', 'Tour', 'A tour of the graph in six steps', ui.bar, () => on.tour())
    if (options.themeButton) cs.button('cs-button', 'Theme', 'Light or dark', ui.bar, () => on.theme())
  }

  function buildFilter(ui, on) {
    const details = cs.el('details', 'cs-filter', null, ui.bar)
    const summary = cs.el('summary', 'cs-button', 'Show', details)
    summary.title = 'Which edges and nodes are drawn'
    const box = cs.el('div', 'cs-filter-box', null, details)
    const choose = (name, choices, value, changed) => {
      const line = cs.el('label', 'cs-filter-line', name, box)
      const select = cs.el('select', '', null, line)
      for (const [text, choice] of choices) cs.el('option', '', text, select).value = choice
      select.value = value
      select.addEventListener('change', () => changed(select.value))
    }
    choose('Edges of the selected node', [['inputs and outputs', 'both'], ['inputs', 'input'], ['outputs', 'output']], 'both', (value) => on.linkType(value))
    choose('Features that fire on at most', DENSITIES.map(([text, share]) => [share < 1 ? `${text} of tokens` : 'any share of tokens', String(share)]), '1', (value) => on.filter({ density: Number(value) }))
    const line = cs.el('label', 'cs-filter-line', 'Errors', box)
    const errors = cs.el('input', '', null, line)
    errors.type = 'checkbox'
    errors.checked = true
    errors.addEventListener('change', () => on.filter({ errors: errors.checked }))
    ui.hidden = cs.el('div', 'cs-note', '', box)
    ui.filter = details
    ui.box.addEventListener('mousedown', (event) => { if (!details.contains(event.target)) details.open = false })
    details.addEventListener('keydown', (event) => { if (event.key === 'Escape') { details.open = false; summary.focus() } })
  }

  cs.markView = function markView(ui, state) {
    ui.viewButtons.groups.hidden = !state.data.groups
    ui.views.hidden = ui.tour.hidden = Boolean(state.data.compared) // one view, and a tour speaks of one graph
    for (const [view, button] of Object.entries(ui.viewButtons)) button.setAttribute('aria-pressed', view === state.view)
  }

  cs.markGrouping = function markGrouping(ui, state) {
    if (!ui.group) return
    const n = state.chosen ? state.chosen.size : 0
    ui.group.setAttribute('aria-pressed', state.chosen !== null)
    ui.group.textContent = state.chosen ? `Cancel (${n} chosen)` : 'Group'
    ui.makeGroup.hidden = !state.chosen
    ui.makeGroup.disabled = n < 2
    ui.undo.hidden = !state.canUndo
  }

  // Beside the node where there is room, on its freer side otherwise; always wholly inside.
  cs.placeCard = function placeCard(ui, at, gap) {
    const room = { width: ui.main.clientWidth, height: ui.main.clientHeight }
    const { offsetWidth: width, offsetHeight: height } = ui.card
    const fitsRight = at.x + gap + width <= room.width - 6
    const fitsLeft = at.x - gap - width >= 6
    const x = fitsRight ? at.x + gap : fitsLeft ? at.x - gap - width : at.x > room.width / 2 ? 6 : room.width - width - 6
    const y = Math.max(6, Math.min(room.height - height - 6, at.y - height / 3))
    ui.card.style.left = `${x}px`
    ui.card.style.top = `${y}px`
  }

  cs.savePicture = function savePicture(source, paper) {
    const shot = document.createElement('canvas')
    shot.width = source.width
    shot.height = source.height
    const ctx = shot.getContext('2d')
    ctx.fillStyle = paper // the canvas itself is see-through
    ctx.fillRect(0, 0, shot.width, shot.height)
    ctx.drawImage(source, 0, 0)
    cs.saveAs('circuitscope.png', shot.toDataURL('image/png'))
  }
})(globalThis.CircuitScope)
