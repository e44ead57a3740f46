// The canvas: mounts on an element, draws a graph's data with vis-network, and answers pointer
// and keyboard. vis does zoom, pan and dragging; painting is ours (draw.js).
(function (cs) {
  'use strict'

  const RESENT = 4 // events in one message
  const MARGIN = { left: 86, top: 34, right: 30 }

  // options: emit(events, the latest last), wheel 'always' or 'focus', themeButton, and, where there is somebody who
  // answers, explain (edges) and edit (supernodes, labels)
  cs.mount = function mount(root, options) {
    const ui = cs.buildFrame(root)
    const state = {
      data: null, text: null, serial: null, view: 'full', picture: null, byId: new Map(), homes: new Map(), links: new Map(),
      selected: null, hovered: null, pinned: new Set(), way: null, path: null, edge: null, matches: null, dark: false, touched: false,
      chosen: null, canUndo: false, places: new Map(), linkType: 'both', filter: { errors: true, density: 1 }, visible: [],
      changes: new Map(), changesText: '{}',
      nameOf: (id) => state.labels.get(id) || id, labels: new Map(),
    }
    let net = null
    // The last few events go together: one that comes while the page still answers another would be lost.
    let recent = []
    const emit = (event) => {
      recent = [...recent.slice(1 - RESENT), { ...event, nonce: `${Date.now()}-${Math.random()}` }]
      if (options.emit) options.emit(recent)
    }
    const redraw = () => { if (net) net.redraw() }
    const say = (text) => { ui.live.textContent = text }
    const actions = { select, hover, pin, showPath, showWay, tour: () => startTour(), explain: options.explain ? explain : null, edit: options.edit ? emit : null }

    // --- what is drawn ------------------------------------------------------------------------

    const isBent = () => state.view !== 'full'
    const isShown = (node) => node.id === state.selected || !(isDense(node) || (node.kind === 'error' && !state.filter.errors))

    function isDense(node) {
      const card = state.filter.density < 1 && state.data.cards[node.card]
      return Boolean(card) && card.frequency > state.filter.density
    }

    function stateOf(node) {
      const link = state.links.get(node.id)
      const linked = link !== undefined || node.id === state.selected
      let faint = state.selected !== null && !linked
      if (state.way) faint = !state.way.includes(node)
      if (state.matches) faint = !state.matches.has(node.id)
      const hovered = state.byId.get(state.hovered)
      return {
        link: link === undefined ? null : link, faint, focused: node.id === state.selected,
        hovered: node === hovered, pinned: cs.isPinned(node, state.pinned),
        twin: Boolean(hovered) && node !== hovered && node.kind === 'feature' && hovered.kind === 'feature' && node.card !== null && node.card === hovered.card,
        chosen: state.chosen !== null && state.chosen.has(node.id), change: state.changes.get(node.id) || null,
      }
    }

    // big: how much text grows so that it stays readable when the whole graph is small
    const look = () => ({ theme: cs.theme(state.dark), dark: state.dark, big: net ? Math.min(1.7, Math.max(1, 1 / net.getScale())) : 1 })

    function paintBelow(ctx) {
      const { theme, dark } = look()
      const { picture } = state
      cs.drawBackdrop(ctx, picture, look())
      cs.drawGhosts(ctx, state.visible, picture.bent, theme)
      if (state.selected !== null) for (const edge of focusedEdges()) cs.drawEdge(ctx, edge, picture, dark, 0.9)
      else if (picture.bent && !state.way) for (const edge of state.visible) if (Math.abs(edge.share) > (state.view === 'pinned' ? 0.01 : 0.04)) cs.drawEdge(ctx, edge, picture, dark, 0.55)
      if (state.edge) cs.drawPath(ctx, [state.edge.from, state.edge.to], picture, theme)
      if (state.way) cs.drawPath(ctx, state.way, picture, theme)
    }

    function focusedEdges() {
      const into = state.linkType !== 'output', out = state.linkType !== 'input'
      return state.visible.filter((edge) => (into && edge.to.id === state.selected) || (out && edge.from.id === state.selected))
    }

    function paintAbove(ctx) {
      const bare = state.picture.nodes.filter((node) => !node.members.length && isShown(node))
      const named = bare.filter((node) => node.kind === 'logit' || state.pinned.has(node.id) || node.id === state.selected)
      const { end } = state.picture.columns[state.picture.columns.length - 1]
      for (const node of named) cs.drawNodeLabel(ctx, node, end, look())
    }

    const renderer = (node) => ({ ctx, x, y }) => ({
      drawNode() {
        node.x = x
        node.y = y
        if (isShown(node)) cs.drawNode(ctx, node, stateOf(node), look())
      },
      nodeDimensions: node.members.length ? cs.TILE : { width: 12, height: 12 },
    })

    function openPicture(viewport) {
      if (net) net.destroy()
      const picture = state.picture
      state.touched = false
      net = new globalThis.vis.Network(ui.net, {
        nodes: picture.nodes.map((node) => ({
          id: node.id, x: node.x, y: node.y, shape: 'custom', ctxRenderer: renderer(node), fixed: !picture.bent,
        })),
        edges: [],
      }, {
        physics: false, layout: { hierarchical: false }, autoResize: true,
        nodes: { chosen: false },
        interaction: {
          hover: false, selectable: true, selectConnectedEdges: false, tooltipDelay: 0, keyboard: false,
          dragNodes: picture.bent, zoomSpeed: 0.6, zoomView: options.wheel === 'always',
        },
      })
      net.on('beforeDrawing', paintBelow)
      net.on('afterDrawing', paintAbove)
      net.on('click', input.onClick)
      net.on('dragStart', () => { state.touched = true; hideCard() })
      net.on('dragEnd', onDragEnd)
      net.on('zoom', () => { state.touched = true; hideCard() })
      net.on('resize', () => { if (!state.touched) fit() })
      fit()
      if (viewport) {
        net.moveTo({ ...viewport, animation: false })
        state.touched = true
      }
      net.once('afterDrawing', () => globalThis.performance.mark('cs-painted'))
      ui.box.dataset.ready = 'true'
    }

    // The picture with its labels, in the graph's own coordinates.
    function extent() {
      const { rows, columns } = state.picture
      const more = 30 * (cs.lineNames(columns).length - 1)
      const right = columns[columns.length - 1].end + MARGIN.right
      const bottom = rows[rows.length - 1].end + (cs.isUpright(columns) ? 46 + more : 90)
      return { left: -MARGIN.left, top: -MARGIN.top, width: right + MARGIN.left, height: bottom + MARGIN.top }
    }

    function fit() {
      const { left, top, width, height } = extent()
      const scale = Math.min(ui.net.clientWidth / width, ui.net.clientHeight / height, 1.8)
      if (!(scale > 0)) return // out of sight, as on its way out of the page; a resize comes again
      state.touched = false
      net.moveTo({ position: { x: left + width / 2, y: top + height / 2 }, scale, animation: false })
    }

    const paper = () => cs.theme(state.dark).paper

    function saveSvg() {
      const paint = (ctx) => {
        paintBelow(ctx)
        for (const node of state.picture.nodes) if (isShown(node)) cs.drawNode(ctx, node, stateOf(node), look())
        paintAbove(ctx)
      }
      const text = cs.pictureAsSvg(paint, extent(), paper(), state.data.prompt)
      const address = URL.createObjectURL(new Blob([text], { type: 'image/svg+xml' }))
      cs.saveAs('circuitscope.svg', address)
      setTimeout(() => URL.revokeObjectURL(address), 60_000)
    }

    function zoom(factor) {
      state.touched = true
      hideCard()
      net.moveTo({ scale: net.getScale() * factor, animation: { duration: 120, easingFunction: 'easeOutQuad' } })
    }

    // --- state changes: none of them rebuilds the network or moves the view ---------------------

    function select(id) {
      focus(id === state.selected ? null : id)
      const node = state.byId.get(state.selected)
      say(node ? `${node.label} selected, ${state.links.size} connections listed` : 'Nothing selected')
      emit({ event: 'select', id: state.selected })
    }

    function focus(id) {
      Object.assign(state, { selected: id, path: null, way: null, edge: null })
      link()
      hideCard()
      cs.fillPanel(ui.panel, state, actions)
      redraw()
    }

    // What the selected node is tied to, by the kind of edges asked for.
    function link() {
      state.visible = state.picture.links.filter((edge) => isShown(edge.from) && isShown(edge.to))
      state.links = new Map()
      if (state.selected === null) return
      for (const edge of focusedEdges()) {
        const other = edge.from.id === state.selected ? edge.to : edge.from
        state.links.set(other.id, edge.share)
      }
    }

    function pin(id) {
      const node = state.byId.get(id), own = state.homes.get(id)
      const names = node && node.members.length ? node.members : [id]
      const pinned = own ? cs.isPinned(own, state.pinned) : state.pinned.has(id)
      for (const name of [id, ...names]) state.pinned.delete(name)
      if (!pinned) for (const name of names) state.pinned.add(name)
      say(`${node ? node.label : state.nameOf(id)} ${pinned ? 'unpinned' : 'pinned'}`)
      if (state.view === 'pinned') openView('pinned')
      cs.fillPanel(ui.panel, state, actions)
      redraw()
      emit({ event: 'pin', pinned: [...state.pinned].sort() })
    }

    // Asks which heads carried an edge of the selected node; the page answers below the canvas.
    function explain(edge) {
      state.edge = edge
      cs.fillPanel(ui.panel, state, actions)
      redraw()
      say(`Edge from ${edge.from.label} to ${edge.to.label}: its heads are shown below the graph`)
      emit({ event: 'edge', source: edge.from.id, target: edge.to.id })
    }

    function hover(id) {
      if (state.hovered === id) return
      state.hovered = id
      redraw()
    }

    // One of the paths of the overview, by its number; null for none.
    function showPath(number) {
      const ids = number === null ? null : state.data.paths[number].nodes
      state.path = number
      state.way = ids && [...new Set(ids.map((id) => state.homes.get(id)).filter(Boolean))]
      cs.fillPanel(ui.panel, state, actions)
      redraw()
    }

    // The strongest way through the selected node, or none where it is shown already.
    function showWay(node) {
      const way = state.way ? null : cs.wayThrough(state.visible, node)
      state.way = way && way.nodes
      if (way) say(way.ends ? `Strongest way: ${way.nodes.map((step) => step.label).join(', then ')}` : 'Nothing kept leads from here to an output')
      cs.fillPanel(ui.panel, state, actions)
      redraw()
    }

    function search(words) {
      const wanted = words.trim().toLowerCase()
      const hits = state.picture.nodes.filter((node) => isShown(node) && `${node.label} ${node.detail} ${node.id}`.toLowerCase().includes(wanted))
      state.matches = wanted ? new Set(hits.map((node) => node.id)) : null
      ui.found.textContent = wanted ? `${hits.length} found` : ''
      redraw()
      return hits
    }

    function filter(change) {
      Object.assign(state.filter, change)
      const hidden = state.picture.nodes.filter((node) => !isShown(node)).length
      ui.hidden.textContent = hidden ? `${hidden.toLocaleString('en')} of ${state.picture.nodes.length.toLocaleString('en')} nodes are hidden.` : ''
      ui.filter.toggleAttribute('data-on', hidden > 0)
      link()
      search(ui.search.value)
    }

    function openView(view, viewport) {
      const selected = state.selected, old = state.byId.get(selected)
      const anchor = (old && old.members[0]) || selected // numbers of supernodes change with every edit
      const groups = state.data.groups || state.data.full
      state.view = view === 'groups' && !state.data.groups ? 'full' : view
      const raw = view === 'pinned' ? cs.pinnedPicture(groups, state.pinned) : state.data[state.view]
      Object.assign(state, cs.preparePicture(raw, isBent(), state.places), { hovered: null, selected: null, edge: null, way: null, path: null })
      cs.markView(ui, state)
      const bare = view === 'pinned' && !state.picture.nodes.some((node) => cs.isPinned(node, state.pinned))
      ui.empty.textContent = bare ? 'Nothing is pinned yet. Ctrl-click nodes in the other views, or press P, to gather them here with the edges between them.' : ''
      link()
      openPicture(viewport)
      filter({})
      const home = state.homes.get(anchor)
      focus(home ? home.id : null)
      if (state.selected !== selected) emit({ event: 'select', id: state.selected })
    }

    // --- supernodes by hand -------------------------------------------------------------------

    function startGrouping() {
      state.chosen = new Set()
      cs.markGrouping(ui, state)
      say('Choose nodes for a supernode')
    }

    function stopGrouping() {
      state.chosen = null
      cs.markGrouping(ui, state)
      redraw()
    }

    function choose(node) {
      if (!state.chosen.delete(node.id)) state.chosen.add(node.id)
      cs.markGrouping(ui, state)
      say(`${node.label} ${state.chosen.has(node.id) ? 'chosen' : 'left out'}, ${state.chosen.size} chosen`)
      redraw()
    }

    function makeGroup() {
      const nodes = [...state.chosen].map((id) => state.byId.get(id)).filter(Boolean)
      stopGrouping()
      if (nodes.length < 2) return
      const members = nodes.flatMap((node) => node.members.length ? node.members : [node.id])
      state.view = state.view === 'pinned' ? 'pinned' : 'groups'
      state.selected = members[0] // found again inside its supernode, once that is there
      emit({ event: 'group', members })
      say(`${members.length} nodes become a supernode`)
    }

    // --- pointer and keyboard -----------------------------------------------------------------

    const hideCard = () => ui.card.classList.remove('cs-on')
    const input = cs.handleInput(ui, state, options, {
      net: () => net, isShown, focusedEdges, select, hover, pin, explain, choose, startGrouping, stopGrouping, makeGroup, showPath,
    })

    function onDragEnd(parameters) {
      const node = state.byId.get(parameters.nodes[0])
      if (!node || !state.picture.bent) return
      const place = { x: node.x, y: node.y }
      state.places.set(cs.placeName(node), place)
      emit({ event: 'move', name: cs.placeName(node), ...place })
    }

    // --- outside ------------------------------------------------------------------------------

    // What an intervention did to nodes: measured and predicted change of each, by id.
    function setChanges(changes) {
      const text = JSON.stringify(changes || {})
      if (text === state.changesText) return
      state.changesText = text
      state.changes = new Map(Object.entries(JSON.parse(text)))
      if (!net) return
      cs.fillPanel(ui.panel, state, actions)
      redraw()
      globalThis.performance.mark('cs-changed')
    }

    // next: text (the view's JSON), opening (what the page wants chosen), dark, height, canUndo, changes
    function update(next) {
      setDark(next.dark)
      setChanges(next.changes)
      if (next.height) ui.box.style.height = `${next.height}px`
      state.canUndo = Boolean(next.canUndo)
      cs.markGrouping(ui, state)
      const opening = next.opening || {}
      const isNew = next.text !== state.text, isMeant = state.serial === null || opening.serial !== state.serial
      if (!isNew && !isMeant) return
      const view = isMeant && opening.view || state.view
      const viewport = isNew && state.touched && view === state.view ? { scale: net.getScale(), position: net.getViewPosition() } : null
      if (isNew) {
        state.text = next.text
        state.data = JSON.parse(next.text)
        state.data.changeOf = (node) => state.changes.get(node.id)
        cs.fillLegend(ui.legend, state.dark, state.data.compared)
        state.labels = new Map(state.data.full.nodes.map((node) => [node.id, node.label]))
      }
      if (isMeant) { // later on, what the person chose stays
        state.serial = opening.serial
        state.pinned = new Set(opening.pinned || [])
        state.selected = opening.selected || null
        state.places = new Map((opening.places || []).map(([name, x, y]) => [name, { x, y }]))
      }
      state.pinned = new Set([...state.pinned].filter((id) => state.labels.has(id)))
      openView(view, viewport)
    }

    function setDark(dark) {
      if (dark === state.dark && ui.box.dataset.theme) return
      state.dark = dark
      ui.box.dataset.theme = dark ? 'dark' : 'light'
      cs.fillLegend(ui.legend, dark, state.data && state.data.compared)
      if (!net) return
      cs.fillPanel(ui.panel, state, actions)
      redraw()
    }

    const firstOf = (kind) => {
      const nodes = state.picture.nodes.filter((node) => node.kind === kind && isShown(node))
      return nodes.sort((a, b) => b.influence - a.influence)[0]
    }
    const startTour = cs.buildTour(ui, {
      open: (view) => { if (state.view !== view) openView(view) },
      choose: (kind) => { const node = kind && firstOf(kind); if (state.selected !== (node ? node.id : null)) select(node ? node.id : null) },
      point: (kind) => { const node = firstOf(kind); if (node) { hover(node.id); input.showCard(node) } },
    })

    cs.buildToolbar(ui, options, {
      view: (view) => { openView(view); emit({ event: 'view', view: state.view }) },
      search,
      searchEnter: (words) => { const hits = search(words); if (hits.length) select(hits[0].id) },
      linkType: (type) => { state.linkType = type; link(); redraw() },
      filter,
      grouping: () => state.chosen ? stopGrouping() : startGrouping(),
      makeGroup,
      undo: () => emit({ event: 'undo' }),
      zoom,
      fit,
      savePng: () => cs.savePicture(canvas(), paper()),
      saveSvg,
      tour: startTour,
      theme: () => setDark(!state.dark),
    })
    cs.markGrouping(ui, state)

    const place = (id) => net.canvasToDOM(state.byId.get(id))
    const destroy = () => { if (net) net.destroy(); root.replaceChildren() }
    const hovered = () => state.hovered
    const pinned = () => [...state.pinned]
    const canvas = () => ui.net.querySelector('canvas')
    const hasCard = () => ui.card.classList.contains('cs-on')
    const changes = () => [...state.changes]
    const counts = () => ({ edges: state.picture.links.length, leftOut: state.picture.n_edges_left_out })
    return { update, destroy, place, hovered, pinned, canvas, hasCard, counts, changes, scale: () => net.getScale(), ids: () => state.picture.nodes.filter(isShown).map((node) => node.id) }
  }
})(globalThis.CircuitScope)
