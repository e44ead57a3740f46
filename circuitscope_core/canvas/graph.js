// The canvas: mounts on an element, draws a graph's data with vis-network, and answers pointer
// and keyboard. vis does zoom, pan and dragging; painting is ours (draw.js).
(function (cs) {
  'use strict'

  const REACH = 30 // pixels within which the nearest node answers the pointer
  const EDGE_REACH = 5 // the same for the edges of the selected node
  const EDGE_ENDS = 12 // so close to a node, the node is meant
  const CARD_GAP = 18
  const MARGIN = { left: 86, top: 34, right: 30 }

  // options: emit(event), wheel 'always' or 'focus', themeButton
  cs.mount = function mount(root, options) {
    const ui = cs.buildFrame(root)
    const state = {
      data: null, text: null, view: 'full', picture: null, byId: new Map(), homes: new Map(), links: new Map(),
      selected: null, hovered: null, pinned: new Set(), path: null, edge: null, matches: null, dark: false, touched: false,
      nameOf: (id) => state.labels.get(id) || id, labels: new Map(),
    }
    let net = null
    const emit = (event) => options.emit && options.emit({ ...event, nonce: `${Date.now()}-${Math.random()}` })
    const redraw = () => { if (net) net.redraw() }
    const actions = { select, hover, pin, showPath, explain: options.explain ? explain : null }

    // --- what is drawn ------------------------------------------------------------------------

    function stateOf(node) {
      const link = state.links.get(node.id)
      const onPath = state.path !== null && pathNodes().includes(node)
      const linked = link !== undefined || node.id === state.selected
      let faint = state.selected !== null && !linked
      if (state.path !== null) faint = !onPath
      if (state.matches) faint = !state.matches.has(node.id)
      return {
        link: link === undefined ? null : link, faint, focused: node.id === state.selected,
        hovered: node.id === state.hovered, pinned: state.pinned.has(node.id),
      }
    }

    const pathNodes = () => [...new Set(state.data.paths[state.path].nodes.map((id) => state.homes.get(id)).filter(Boolean))]
    // big: how much text grows so that it stays readable when the whole graph is small
    const look = () => ({ theme: cs.theme(state.dark), dark: state.dark, big: net ? Math.min(1.7, Math.max(1, 1 / net.getScale())) : 1 })

    function paintBelow(ctx) {
      const { theme, dark } = look()
      const { picture } = state
      cs.drawBackdrop(ctx, picture, look())
      cs.drawGhosts(ctx, picture, theme)
      const focused = picture.links.filter((edge) => edge.from.id === state.selected || edge.to.id === state.selected)
      if (state.selected !== null) for (const edge of focused) cs.drawEdge(ctx, edge, picture, dark, 0.9)
      else if (picture.bent && state.path === null) for (const edge of picture.links) if (Math.abs(edge.share) > 0.04) cs.drawEdge(ctx, edge, picture, dark, 0.55)
      if (state.edge) cs.drawPath(ctx, [state.edge.from, state.edge.to], picture, theme)
      if (state.path !== null) cs.drawPath(ctx, pathNodes(), picture, theme)
    }

    function paintAbove(ctx) {
      const bare = state.picture.nodes.filter((node) => !node.members.length)
      const named = bare.filter((node) => node.kind === 'logit' || state.pinned.has(node.id) || node.id === state.selected)
      const { end } = state.picture.columns[state.picture.columns.length - 1]
      for (const node of named) cs.drawNodeLabel(ctx, node, end, look())
    }

    const renderer = (node) => ({ ctx, x, y }) => ({
      drawNode() {
        node.x = x
        node.y = y
        cs.drawNode(ctx, node, stateOf(node), look())
      },
      nodeDimensions: node.members.length ? cs.TILE : { width: 12, height: 12 },
    })

    function openPicture() {
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
      net.on('click', onClick)
      net.on('dragStart', () => { state.touched = true; hideCard() })
      net.on('zoom', () => { state.touched = true; hideCard() })
      net.on('resize', () => { if (!state.touched) fit() })
      fit()
      ui.box.dataset.ready = 'true'
    }

    function fit() {
      const { rows, columns } = state.picture
      const upright = columns.filter((column) => column.label.length <= 2).length >= columns.length / 2
      const right = columns[columns.length - 1].end + MARGIN.right
      const bottom = rows[rows.length - 1].end + (upright ? 46 : 90)
      const width = right + MARGIN.left, height = bottom + MARGIN.top
      const scale = Math.min(ui.net.clientWidth / width, ui.net.clientHeight / height, 1.8)
      state.touched = false
      net.moveTo({ position: { x: (right - MARGIN.left) / 2, y: (bottom - MARGIN.top) / 2 }, scale, animation: false })
    }

    function zoom(factor) {
      state.touched = true
      hideCard()
      net.moveTo({ scale: net.getScale() * factor, animation: { duration: 120, easingFunction: 'easeOutQuad' } })
    }

    // --- state changes: none of them rebuilds the network or moves the view ---------------------

    function select(id) {
      state.selected = id === state.selected ? null : id
      state.path = null
      state.edge = null
      state.links = new Map()
      for (const edge of state.picture.links) {
        if (edge.from.id === state.selected) state.links.set(edge.to.id, edge.share)
        if (edge.to.id === state.selected) state.links.set(edge.from.id, edge.share)
      }
      hideCard()
      cs.fillPanel(ui.panel, state, actions)
      redraw()
      const node = state.byId.get(state.selected)
      ui.live.textContent = node ? `${node.label} selected, ${state.links.size} connections listed` : 'Nothing selected'
      emit({ event: 'select', id: state.selected })
    }

    function pin(id) {
      if (!state.pinned.delete(id)) state.pinned.add(id)
      ui.live.textContent = `${state.nameOf(id)} ${state.pinned.has(id) ? 'pinned' : 'unpinned'}`
      cs.fillPanel(ui.panel, state, actions)
      redraw()
      emit({ event: 'pin', pinned: [...state.pinned].sort() })
    }

    // Asks which heads carried an edge of the selected node; the page answers below the canvas.
    function explain(edge) {
      state.edge = edge
      cs.fillPanel(ui.panel, state, actions)
      redraw()
      ui.live.textContent = `Edge from ${edge.from.label} to ${edge.to.label}: its heads are shown below the graph`
      emit({ event: 'edge', source: edge.from.id, target: edge.to.id })
    }

    function hover(id) {
      if (state.hovered === id) return
      state.hovered = id
      redraw()
    }

    function showPath(number) {
      state.path = number
      cs.fillPanel(ui.panel, state, actions)
      redraw()
    }

    function search(words) {
      const wanted = words.trim().toLowerCase()
      const hits = state.picture.nodes.filter((node) => `${node.label} ${node.detail} ${node.id}`.toLowerCase().includes(wanted))
      state.matches = wanted ? new Set(hits.map((node) => node.id)) : null
      ui.found.textContent = wanted ? `${hits.length} found` : ''
      redraw()
      return hits
    }

    function openView(view) {
      const raw = state.data[view] || state.data.full
      const selected = state.selected
      state.view = state.data[view] ? view : 'full'
      Object.assign(state, cs.preparePicture(raw, state.view === 'groups'), { hovered: null, selected: null, edge: null, links: new Map() })
      cs.markView(ui, state)
      openPicture()
      search(ui.search.value)
      const home = state.homes.get(selected)
      if (home) { select(home.id); return }
      cs.fillPanel(ui.panel, state, actions)
    }

    // --- pointer ------------------------------------------------------------------------------

    function nearest(x, y) {
      const scale = net.getScale(), point = net.DOMtoCanvas({ x, y })
      let best = null, least = REACH / scale
      for (const node of state.picture.nodes) {
        const half = node.members.length ? cs.TILE.width / 2 : 0
        const away = Math.hypot(Math.max(0, Math.abs(node.x - point.x) - half), node.y - point.y)
        if (away < least) { least = away; best = node }
      }
      return best
    }

    // The strongest edge of the selected node under the pointer, where no node is.
    function edgeAt(x, y) {
      if (!options.explain || state.selected === null) return null
      const point = net.DOMtoCanvas({ x, y }), scale = net.getScale()
      const close = (node) => !node.members.length && Math.hypot(node.x - point.x, node.y - point.y) < EDGE_ENDS / scale
      const own = state.picture.links.filter((edge) => edge.from.id === state.selected || edge.to.id === state.selected)
      const hits = own.filter((edge) => cs.isOnEdge(edge, state.picture, point, EDGE_REACH / scale) && !close(edge.from) && !close(edge.to))
      return hits.sort((a, b) => Math.abs(b.share) - Math.abs(a.share))[0] || null
    }

    function onMove(event) {
      if (!net || event.buttons) return
      const frame = ui.net.getBoundingClientRect()
      const node = nearest(event.clientX - frame.left, event.clientY - frame.top)
      ui.net.style.cursor = node ? 'pointer' : 'grab'
      if ((node ? node.id : null) === state.hovered) return
      hover(node ? node.id : null)
      if (node) showCard(node)
      else hideCard()
    }

    function onClick(parameters) {
      ui.box.focus({ preventScroll: true })
      const { x, y } = parameters.pointer.DOM
      const edge = edgeAt(x, y)
      if (edge) { explain(edge); return }
      const node = nearest(x, y)
      const source = parameters.event.srcEvent
      if (!node) { if (state.selected !== null || state.path !== null) { state.path = null; select(null) } }
      else if (source.ctrlKey || source.metaKey) pin(node.id)
      else select(node.id)
    }

    // --- hover card ---------------------------------------------------------------------------

    function showCard(node) {
      ui.card.replaceChildren()
      cs.fillHeader(ui.card, node, state.data)
      cs.fillCard(ui.card, node, state.data, ['top'], 5)
      const link = state.links.get(node.id)
      if (link !== undefined) cs.el('div', 'cs-card-link', `${cs.signedPercent(link)} share of the link with “${state.nameOf(state.selected)}”`, ui.card)
      placeCard(net.canvasToDOM({ x: node.x, y: node.y }))
      ui.card.classList.add('cs-on')
      ui.live.textContent = `${node.label}, ${node.detail}`
    }

    // Beside the node where there is room, on its freer side otherwise; always wholly inside.
    function placeCard(at) {
      const room = { width: ui.main.clientWidth, height: ui.main.clientHeight }
      const { offsetWidth: width, offsetHeight: height } = ui.card
      const fitsRight = at.x + CARD_GAP + width <= room.width - 6
      const fitsLeft = at.x - CARD_GAP - width >= 6
      const x = fitsRight ? at.x + CARD_GAP : fitsLeft ? at.x - CARD_GAP - width : at.x > room.width / 2 ? 6 : room.width - width - 6
      const y = Math.max(6, Math.min(room.height - height - 6, at.y - height / 3))
      ui.card.style.left = `${x}px`
      ui.card.style.top = `${y}px`
    }

    const hideCard = () => ui.card.classList.remove('cs-on')

    // --- keyboard -----------------------------------------------------------------------------

    const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }

    function onKey(event) {
      if (!net || event.target !== ui.box) return
      const key = cs.keyOf(event)
      const current = state.byId.get(state.hovered || state.selected)
      if (ARROWS[key]) travel(current, ARROWS[key])
      else if (key === 'Enter' && current) select(current.id)
      else if (key === 'p' && current && !event.ctrlKey && !event.metaKey) pin(current.id)
      else if (key === 'Escape') leave()
      else return
      event.preventDefault()
    }

    function travel(from, [dx, dy]) {
      const next = from ? cs.neighbour(state.picture.nodes, from, dx, dy) : state.picture.nodes.find((node) => node.kind === 'logit')
      if (!next) return
      hover(next.id)
      showCard(next)
    }

    function leave() {
      hover(null)
      hideCard()
      state.path = null
      if (state.selected !== null) select(null)
      else showPath(null)
    }

    // --- outside ------------------------------------------------------------------------------

    function update(next) {
      setDark(next.dark)
      if (next.height) ui.box.style.height = `${next.height}px`
      if (next.text === state.text) return
      const opening = state.text === null ? next : {} // later on, what the person chose stays
      state.text = next.text
      state.data = JSON.parse(next.text)
      state.labels = new Map(state.data.full.nodes.map((node) => [node.id, node.label]))
      state.pinned = new Set((opening.pinned || [...state.pinned]).filter((id) => state.labels.has(id)))
      state.selected = opening.selected || state.selected
      state.path = null
      openView(opening.view || state.view)
    }

    function setDark(dark) {
      if (dark === state.dark && ui.box.dataset.theme) return
      state.dark = dark
      ui.box.dataset.theme = dark ? 'dark' : 'light'
      cs.fillLegend(ui.legend, dark)
      if (!net) return
      cs.fillPanel(ui.panel, state, actions)
      redraw()
    }

    function savePicture() {
      const shot = document.createElement('canvas'), source = ui.net.querySelector('canvas')
      shot.width = source.width
      shot.height = source.height
      const ctx = shot.getContext('2d')
      ctx.fillStyle = cs.theme(state.dark).paper // the canvas itself is see-through
      ctx.fillRect(0, 0, shot.width, shot.height)
      ctx.drawImage(source, 0, 0)
      const link = document.createElement('a')
      link.download = 'circuitscope.png'
      link.href = shot.toDataURL('image/png')
      link.click()
    }

    const wheelOn = (on) => { if (net && options.wheel !== 'always') net.setOptions({ interaction: { zoomView: on } }) }
    ui.onView = (view) => { openView(view); emit({ event: 'view', view: state.view }) }
    ui.onSearch = search
    ui.onSearchEnter = (words) => { const hits = search(words); if (hits.length) select(hits[0].id) }
    ui.onZoom = zoom
    ui.onFit = fit
    ui.onSave = savePicture
    ui.onTheme = () => setDark(!state.dark)
    cs.buildToolbar(ui, options)
    ui.net.addEventListener('mousemove', onMove)
    ui.main.addEventListener('mouseleave', () => { hover(null); hideCard() })
    ui.box.addEventListener('keydown', onKey)
    ui.main.addEventListener('mousedown', () => wheelOn(true))
    ui.main.addEventListener('mouseleave', () => wheelOn(false))

    const place = (id) => net.canvasToDOM(state.byId.get(id))
    const destroy = () => { if (net) net.destroy(); root.replaceChildren() }
    const hovered = () => state.hovered
    return { update, destroy, place, hovered, scale: () => net.getScale(), ids: () => state.picture.nodes.map((node) => node.id) }
  }
})(globalThis.CircuitScope)
