// What the pointer and the keyboard do on the canvas.
(function (cs) {
  'use strict'

  const REACH = 30 // pixels within which the nearest node answers the pointer
  const EDGE_REACH = 5 // the same for the edges of the selected node
  const EDGE_ENDS = 12 // so close to a node, the node is meant
  const CARD_GAP = 18

  // canvas: net() (vis-network, or null), isShown(node), focusedEdges(), and what can be done: select,
  // hover, pin, explain, choose, startGrouping, stopGrouping, makeGroup, showPath
  cs.handleInput = function handleInput(ui, state, options, canvas) {
    const say = (text) => { ui.live.textContent = text }

    // --- pointer ------------------------------------------------------------------------------

    function nearest(x, y) {
      const scale = canvas.net().getScale(), point = canvas.net().DOMtoCanvas({ x, y })
      let best = null, least = REACH / scale
      for (const node of state.picture.nodes) {
        if (!canvas.isShown(node)) continue
        const half = node.members.length ? cs.TILE.width / 2 : 0
        const away = Math.hypot(Math.max(0, Math.abs(node.x - point.x) - half), node.y - point.y)
        if (away < least) { least = away; best = node }
      }
      return best
    }

    // The strongest edge of the selected node under the pointer, where no node is.
    function edgeAt(x, y) {
      if (!options.explain || state.selected === null) return null
      const point = canvas.net().DOMtoCanvas({ x, y }), scale = canvas.net().getScale()
      const close = (node) => !node.members.length && Math.hypot(node.x - point.x, node.y - point.y) < EDGE_ENDS / scale
      const hits = canvas.focusedEdges().filter((edge) => cs.isOnEdge(edge, state.picture, point, EDGE_REACH / scale) && !close(edge.from) && !close(edge.to))
      return hits.sort((a, b) => Math.abs(b.share) - Math.abs(a.share))[0] || null
    }

    function onMove(event) {
      if (!canvas.net() || event.buttons) return
      const frame = ui.net.getBoundingClientRect()
      const node = nearest(event.clientX - frame.left, event.clientY - frame.top)
      ui.net.style.cursor = node ? 'pointer' : 'grab'
      if ((node ? node.id : null) === state.hovered) return
      canvas.hover(node ? node.id : null)
      if (node) showCard(node)
      else hideCard()
    }

    function onClick(parameters) {
      ui.box.focus({ preventScroll: true })
      const { x, y } = parameters.pointer.DOM
      const node = nearest(x, y)
      if (state.chosen) { if (node) canvas.choose(node); return }
      const edge = edgeAt(x, y)
      if (edge) { canvas.explain(edge); return }
      const source = parameters.event.srcEvent
      if (!node) { if (state.selected !== null || state.way) canvas.select(null) }
      else if (source.ctrlKey || source.metaKey) canvas.pin(node.id)
      else canvas.select(node.id)
    }

    // --- hover card ---------------------------------------------------------------------------

    function showCard(node) {
      ui.card.replaceChildren()
      cs.fillHeader(ui.card, node, state.data)
      cs.fillCard(ui.card, node, state.data, ['top'], 5)
      const share = state.links.get(node.id)
      const kind = state.data.compared ? 'change of the share' : 'share'
      if (share !== undefined) cs.el('div', 'cs-card-link', `${cs.signedPercent(share)} ${kind} of the link with “${state.nameOf(state.selected)}”`, ui.card)
      cs.placeCard(ui, canvas.net().canvasToDOM({ x: node.x, y: node.y }), CARD_GAP)
      ui.card.classList.add('cs-on')
      say(`${node.label}, ${node.detail}`)
    }

    const hideCard = () => ui.card.classList.remove('cs-on')

    // --- keyboard -----------------------------------------------------------------------------

    const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }

    function onKey(event) {
      if (!canvas.net() || event.target !== ui.box || event.ctrlKey || event.metaKey || event.altKey) return
      const key = cs.keyOf(event)
      const current = state.byId.get(state.hovered || state.selected)
      if (ARROWS[key]) travel(current, ARROWS[key])
      else if (key === 'g' && options.edit) { if (!event.repeat && !state.chosen) canvas.startGrouping() }
      else if (key === 'Enter' && current && state.chosen) canvas.choose(current)
      else if (key === 'Enter' && current) canvas.select(current.id)
      else if (key === 'p' && current) canvas.pin(current.id)
      else if (key === 'Escape') leave()
      else return
      event.preventDefault()
    }

    function onKeyUp(event) {
      if (cs.keyOf(event) === 'g' && event.target === ui.box && state.chosen) canvas.makeGroup()
    }

    function travel(from, [dx, dy]) {
      const shown = state.picture.nodes.filter(canvas.isShown)
      const next = from ? cs.neighbour(shown, from, dx, dy) : shown.find((node) => node.kind === 'logit')
      if (!next) return
      canvas.hover(next.id)
      showCard(next)
    }

    function leave() {
      if (state.chosen) { canvas.stopGrouping(); return }
      canvas.hover(null)
      hideCard()
      if (state.selected !== null) canvas.select(null)
      else canvas.showPath(null)
    }

    const wheelOn = (on) => { if (canvas.net() && options.wheel !== 'always') canvas.net().setOptions({ interaction: { zoomView: on } }) }
    ui.net.addEventListener('mousemove', onMove)
    ui.main.addEventListener('mouseleave', () => { canvas.hover(null); hideCard(); wheelOn(false) })
    ui.main.addEventListener('mousedown', () => wheelOn(true))
    ui.box.addEventListener('keydown', onKey)
    ui.box.addEventListener('keyup', onKeyUp)
    return { onClick, showCard }
  }
})(globalThis.CircuitScope)
