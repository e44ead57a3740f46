// Painting: layer bands, token columns, edges and glyphs, in graph coordinates, so that all of it
// zooms and pans together.
(function (cs) {
  'use strict'

  const FONT = 'system-ui, -apple-system, "Segoe UI", sans-serif'
  const MONO = 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace'
  const RADIUS = 4.6
  const TILE = { width: 96, height: 22 }
  cs.TILE = TILE

  function trace(ctx, kind, x, y, r) {
    ctx.beginPath()
    if (kind === 'token' || kind === 'logit') ctx.rect(x - r, y - r, 2 * r, 2 * r)
    else if (kind === 'error') {
      const d = 1.3 * r
      ctx.moveTo(x, y - d); ctx.lineTo(x + d, y); ctx.lineTo(x, y + d); ctx.lineTo(x - d, y)
      ctx.closePath()
    } else ctx.arc(x, y, r, 0, 2 * Math.PI)
  }

  function haloText(ctx, text, x, y, theme) {
    ctx.lineJoin = 'round'
    ctx.lineWidth = 3
    ctx.strokeStyle = theme.paper
    ctx.strokeText(text, x, y)
    ctx.fillStyle = theme.text
    ctx.fillText(text, x, y)
  }

  const shorten = (text, length) => (text.length > length ? text.slice(0, length - 1) + '…' : text)

  // --- backdrop -------------------------------------------------------------------------------

  cs.drawBackdrop = function drawBackdrop(ctx, picture, { theme, big }) {
    const { rows, columns } = picture
    const right = columns[columns.length - 1].end
    const bottom = rows[rows.length - 1].end
    rows.forEach((row, number) => {
      ctx.fillStyle = number === 0 || number === rows.length - 1 ? theme.edgeBand : theme.band
      ctx.fillRect(0, row.start, right, row.end - row.start)
    })
    ctx.strokeStyle = theme.hairline
    ctx.lineWidth = 1.2
    ctx.beginPath()
    for (const row of rows.slice(1)) { ctx.moveTo(0, row.start); ctx.lineTo(right, row.start) }
    for (const column of columns.slice(1)) { ctx.moveTo(column.start, 0); ctx.lineTo(column.start, bottom) }
    ctx.stroke()
    ctx.font = `${12 * big}px ${FONT}`
    ctx.fillStyle = theme.dim
    ctx.textAlign = 'right'
    ctx.textBaseline = 'middle'
    for (const row of rows) ctx.fillText(row.label, -8, (row.start + row.end) / 2)
    const names = cs.lineNames(columns), upright = cs.isUpright(columns)
    if (upright) names.forEach((name, line) => ctx.fillText(name, -16 - 24 * big, bottom + (15 + LINE * line) * big))
    for (const column of columns) drawColumnLabel(ctx, column, bottom, upright ? names : [], { theme, big })
  }

  const LINE = 18 // from one line of column labels to the next
  const isShort = (column) => column.label.split('\n').every((text) => text.length <= 2)
  cs.isUpright = (columns) => columns.filter(isShort).length >= columns.length / 2
  // One line of column labels, or a line for each prompt where two that differ are compared.
  cs.lineNames = (columns) => columns.some((column) => column.label.includes('\n')) ? ['A', 'B'] : ['']

  function drawColumnLabel(ctx, column, bottom, lines, { theme, big }) {
    const middle = (column.start + column.end) / 2, texts = column.label.split('\n')
    ctx.fillStyle = theme.text
    if (lines.length && isShort(column)) {
      ctx.font = `${14 * big}px ${MONO}`
      ctx.textAlign = 'center'
      lines.forEach((_, line) => ctx.fillText(texts[Math.min(line, texts.length - 1)], middle, bottom + (15 + LINE * line) * big))
      return
    }
    ctx.font = `${12 * big}px ${FONT}`
    ctx.textAlign = 'right'
    ctx.save()
    ctx.translate(middle + 3, bottom + 9)
    ctx.rotate(-Math.PI / 4)
    ctx.fillText(shorten(texts.filter(Boolean).join('|'), 18), 0, 0)
    ctx.restore()
  }

  // --- edges ----------------------------------------------------------------------------------

  function route(ctx, from, to, bent) {
    ctx.moveTo(from.x, from.y)
    if (bent) {
      const half = (to.y - from.y) / 2
      ctx.bezierCurveTo(from.x, from.y + half, to.x, to.y - half, to.x, to.y)
    } else ctx.lineTo(to.x, to.y)
  }

  // Every edge, faintly: one path, one stroke, so that thousands cost as little as ten.
  cs.drawGhosts = function drawGhosts(ctx, links, bent, theme) {
    ctx.beginPath()
    for (const edge of links) route(ctx, edge.from, edge.to, bent)
    ctx.globalAlpha = Math.max(0.4, Math.min(1, Math.sqrt(1000 / Math.max(1, links.length))))
    ctx.strokeStyle = theme.ghost
    ctx.lineWidth = 0.8
    ctx.stroke()
    ctx.globalAlpha = 1
  }

  // Colour and width say how strong; dashes repeat the sign for those who do not see the colour.
  cs.drawEdge = function drawEdge(ctx, edge, picture, dark, alpha) {
    ctx.beginPath()
    route(ctx, edge.from, edge.to, picture.bent)
    ctx.globalAlpha = alpha
    ctx.strokeStyle = cs.linkColor(edge.share, dark)
    ctx.lineWidth = Math.max(0.7, 5 * Math.sqrt(Math.abs(edge.share)))
    ctx.setLineDash(edge.share < 0 ? [5, 3] : [])
    ctx.stroke()
    ctx.setLineDash([])
    ctx.globalAlpha = 1
  }

  // Whether a point lies within reach of an edge; both in the graph's own coordinates.
  const probe = document.createElement('canvas').getContext('2d')
  cs.isOnEdge = function isOnEdge(edge, picture, point, reach) {
    probe.beginPath()
    route(probe, edge.from, edge.to, picture.bent)
    probe.lineWidth = 2 * reach
    return probe.isPointInStroke(point.x, point.y)
  }

  cs.drawPath = function drawPath(ctx, nodes, picture, theme) {
    ctx.beginPath()
    for (let i = 1; i < nodes.length; i++) route(ctx, nodes[i - 1], nodes[i], picture.bent)
    ctx.strokeStyle = theme.focus
    ctx.lineWidth = 2.4
    ctx.lineJoin = 'round'
    ctx.stroke()
  }

  // --- nodes ----------------------------------------------------------------------------------

  // state: change (measured and predicted, or null), link (signed share with the focus or null), focused, hovered, pinned, faint, chosen (for
  // a supernode), twin (the hovered feature at another token)
  cs.drawNode = function drawNode(ctx, node, state, look) {
    const { theme, dark } = look
    ctx.globalAlpha = state.faint ? 0.32 : node.kind === 'error' && state.link === null && !state.focused ? 0.6 : 1
    if (node.members.length) drawTile(ctx, node, state, look)
    else {
      trace(ctx, node.kind, node.x, node.y, RADIUS * (state.link === null && !state.focused ? 1 : 1.25))
      ctx.fillStyle = state.link === null ? theme.paper : cs.linkColor(state.link, dark)
      ctx.fill()
      if (node.side === 'a' || node.side === 'b') fillHalf(ctx, node, theme)
      ctx.lineWidth = state.focused ? 2.4 : state.pinned ? 2 : 0.8
      ctx.strokeStyle = state.focused ? theme.focus : theme.ink
      ctx.stroke()
      if (state.link !== null && Math.abs(state.link) >= 0.02) drawSign(ctx, node, state.link, dark)
      if (node.error_share > 0.01) drawErrorShare(ctx, node, theme)
    }
    if (state.change) drawChange(ctx, node, state.change, look)
    if (state.hovered) drawRing(ctx, node, 4, [3, 2], 1.8, theme.focus)
    if (state.twin) drawRing(ctx, node, 4, [1.5, 2], 1.5, theme.focus)
    if (state.chosen) drawRing(ctx, node, 3, [], 2.6, theme.accent)
    ctx.globalAlpha = 1
  }

  // Of two compared graphs only one keeps the node: the left half for A, the right half for B.
  function fillHalf(ctx, node, theme) {
    ctx.save()
    ctx.clip()
    ctx.fillStyle = theme.ink
    ctx.fillRect(node.side === 'a' ? node.x - 10 : node.x, node.y - 10, 10, 20)
    ctx.restore()
  }

  function drawRing(ctx, node, gap, dashes, width, color) {
    ctx.setLineDash(dashes)
    ctx.lineWidth = width
    ctx.strokeStyle = color
    ctx.beginPath()
    if (node.members.length) ctx.roundRect(node.x - TILE.width / 2 - gap, node.y - TILE.height / 2 - gap, TILE.width + 2 * gap, TILE.height + 2 * gap, 7)
    else ctx.arc(node.x, node.y, RADIUS + gap, 0, 2 * Math.PI)
    ctx.stroke()
    ctx.setLineDash([])
  }

  // What an intervention did to a node: a ring in the colour of the measured change, and on tiles, which have room, both
  // numbers, measured first.
  const SEEN = 0.005
  function drawChange(ctx, node, [measured, predicted], { theme, dark }) {
    if (Math.abs(measured) < SEEN && Math.abs(predicted) < SEEN) return
    ctx.globalAlpha = 1
    drawRing(ctx, node, 2.5, [], 3, cs.linkColor(0.4 * measured, dark))
    if (!node.members.length) return
    ctx.textAlign = 'center'
    ctx.textBaseline = 'middle'
    ctx.font = `bold 10.5px ${FONT}`
    haloText(ctx, `${cs.signedPercent(measured)} (${cs.signedPercent(predicted)})`, node.x, node.y + TILE.height / 2 + 9, theme)
  }

  // How much of a node's kept input is an error's: an arc from the top, a full circle for all of it.
  function drawErrorShare(ctx, node, theme) {
    ctx.beginPath()
    ctx.arc(node.x, node.y, RADIUS + 2.4, -Math.PI / 2, (2 * node.error_share - 0.5) * Math.PI)
    ctx.lineWidth = 1.3
    ctx.strokeStyle = theme.dim
    ctx.stroke()
  }

  function drawSign(ctx, node, link, dark) {
    ctx.beginPath()
    ctx.moveTo(node.x - 2.2, node.y); ctx.lineTo(node.x + 2.2, node.y)
    if (link > 0) { ctx.moveTo(node.x, node.y - 2.2); ctx.lineTo(node.x, node.y + 2.2) }
    ctx.lineWidth = 1.1
    ctx.strokeStyle = cs.textOn(link, dark)
    ctx.stroke()
  }

  function drawTile(ctx, node, state, { theme, dark }) {
    const left = node.x - TILE.width / 2, top = node.y - TILE.height / 2
    ctx.beginPath()
    ctx.roundRect(left, top, TILE.width, TILE.height, 4)
    ctx.fillStyle = state.link === null ? (node.kind === 'group' ? theme.tile : theme.paper) : cs.linkColor(state.link, dark)
    ctx.fill()
    ctx.lineWidth = state.focused ? 2.4 : state.pinned ? 2 : 0.9
    ctx.strokeStyle = state.focused ? theme.focus : theme.tileLine
    ctx.stroke()
    ctx.fillStyle = state.link === null ? theme.text : cs.textOn(state.link, dark)
    ctx.font = `10.5px ${FONT}`
    ctx.textAlign = 'center'
    ctx.textBaseline = 'middle'
    ctx.fillText(fit(ctx, node.label, TILE.width - 10), node.x, node.y + 0.5)
    if (node.kind !== 'group') { drawKind(ctx, node, left, top, theme); return }
    const n = node.members.length, step = Math.min(9, (TILE.width - 20) / n)
    for (let i = 0; i < n; i++) {
      trace(ctx, 'feature', node.x + (i - (n - 1) / 2) * step, top - 1, 3)
      ctx.fillStyle = theme.paper
      ctx.fill()
      ctx.lineWidth = 0.8
      ctx.strokeStyle = theme.ink
      ctx.stroke()
    }
  }

  // On the upper edge of a tile: what kind of node it is.
  function drawKind(ctx, node, left, top, theme) {
    trace(ctx, node.kind, left + TILE.width / 2, top - 1, 3)
    ctx.fillStyle = theme.paper
    ctx.fill()
    ctx.lineWidth = 0.8
    ctx.strokeStyle = theme.ink
    ctx.stroke()
  }

  function fit(ctx, text, width) {
    let length = text.length
    while (length > 1 && ctx.measureText(shorten(text, length)).width > width) length--
    return shorten(text, length)
  }

  cs.drawNodeLabel = function drawNodeLabel(ctx, node, width, { theme, big }) {
    ctx.textBaseline = 'middle'
    if (node.kind === 'logit' && node.probability !== null) {
      const text = node.label.replace(/^“(.*)”$/s, '$1'), upright = text.length <= 2
      ctx.save()
      ctx.translate(node.x, node.y - (upright ? 8 + 6 * big : 9))
      if (!upright) ctx.rotate(-Math.PI / 4)
      ctx.font = `${13 * big}px ${MONO}`
      ctx.textAlign = upright ? 'center' : 'left'
      haloText(ctx, shorten(text, 18), 0, 0, theme)
      ctx.restore()
      return
    }
    ctx.font = `${11 * big}px ${FONT}`
    const atEdge = node.x > 0.8 * width
    ctx.textAlign = atEdge ? 'right' : 'center'
    haloText(ctx, shorten(node.label, 34), node.x + (atEdge ? 8 : 0), node.y - 13, theme)
  }
})(globalThis.CircuitScope)
