// What the canvas works out from plain data: linked nodes, the subgraph of what is pinned, ways
// through the graph, the next node in a direction.
(function (cs) {
  'use strict'

  // Turns a picture's plain data into linked objects. homes: any node's id to what stands for it.
  cs.preparePicture = function preparePicture(raw, bent, places) {
    const nodes = raw.nodes.map((node) => ({ ...node }))
    if (bent) for (const node of nodes) Object.assign(node, places.get(cs.placeName(node)))
    const links = raw.edges.map(([source, target, weight, share]) => ({ from: nodes[source], to: nodes[target], weight, share }))
    const byId = new Map(nodes.map((node) => [node.id, node]))
    const homes = new Map(byId)
    for (const node of nodes) for (const member of node.members) homes.set(member, node)
    return { picture: { ...raw, nodes, links, bent }, byId, homes }
  }

  // A dragged supernode is found again by its first member: its own name is only a number.
  cs.placeName = (node) => node.members[0] || node.id

  // --- the subgraph of what is pinned -----------------------------------------------------------

  const GAP = 16, ROW = 86, LEAST_WIDTH = 560

  cs.isPinned = (node, pinned) => pinned.has(node.id) || node.members.some((member) => pinned.has(member))

  // The outputs and what is pinned, as tiles in layers, with the edges between them.
  cs.pinnedPicture = function pinnedPicture(raw, pinned) {
    const chosen = raw.nodes.map((node, number) => ({ node, number })).filter(({ node }) => node.kind === 'logit' || cs.isPinned(node, pinned))
    const place = new Map(chosen.map(({ number }, index) => [number, index]))
    const nodes = chosen.map(({ node }) => ({ ...node, members: node.members.length ? node.members : [node.id] }))
    const edges = raw.edges.filter(([source, target]) => place.has(source) && place.has(target))
    const top = Math.max(...raw.nodes.map((node) => node.layer))
    const layers = [...new Set(nodes.map((node) => node.layer))].sort((a, b) => b - a)
    const lines = layers.map((layer) => nodes.filter((node) => node.layer === layer).sort((a, b) => a.position - b.position || a.x - b.x))
    const width = Math.max(LEAST_WIDTH, ...lines.map((line) => line.length * (cs.TILE.width + GAP)))
    const factor = width / raw.columns[raw.columns.length - 1].end
    lines.forEach((line, number) => {
      const places = pushApart(line.map((node) => node.x * factor), cs.TILE.width + GAP, width)
      line.forEach((node, index) => { node.x = places[index]; node.y = (number + 0.5) * ROW })
    })
    return {
      nodes,
      edges: edges.map(([source, target, ...numbers]) => [place.get(source), place.get(target), ...numbers]),
      n_edges_left_out: 0,
      rows: layers.map((layer, number) => ({ start: number * ROW, end: (number + 1) * ROW, label: raw.rows[top - layer].label })),
      columns: [{ start: 0, end: width, label: '' }],
    }
  }

  // Places from left to right without overlap, each near its wish and inside the width.
  function pushApart(wished, size, width) {
    const places = []
    let edge = 0
    for (const wish of wished) { places.push(Math.max(wish, edge + size / 2)); edge = places[places.length - 1] + size / 2 }
    edge = width
    for (let i = places.length - 1; i >= 0; i--) { places[i] = Math.min(places[i], edge - size / 2); edge = places[i] - size / 2 }
    return places
  }

  // --- ways ---------------------------------------------------------------------------------------

  // The strongest way from a token through a node to an output: the product of the shares.
  cs.wayThrough = function wayThrough(links, node) {
    const after = new Map(), before = new Map()
    for (const edge of links) {
      if (!after.has(edge.from)) after.set(edge.from, [])
      if (!before.has(edge.to)) before.set(edge.to, [])
      after.get(edge.from).push(edge)
      before.get(edge.to).push(edge)
    }
    const up = follow(node, after, 'to', (end) => end.kind === 'logit' ? end.probability || 1 : 0)
    const down = follow(node, before, 'from', (end) => end.kind === 'token' ? 1 : 0)
    return { nodes: [...down.reverse(), ...up.slice(1)], ends: up[up.length - 1].kind === 'logit' }
  }

  function follow(start, edgesOf, end, worth) {
    const known = new Map()
    function best(node) {
      if (known.has(node)) return known.get(node)
      const found = { strength: worth(node), next: null }
      known.set(node, found) // supernodes made by hand can lead back to where they came from
      if (found.strength > 0) return found
      for (const edge of edgesOf.get(node) || []) {
        const strength = Math.abs(edge.share) * best(edge[end]).strength
        if (strength > found.strength) Object.assign(found, { strength, next: edge[end] })
      }
      return found
    }
    const nodes = []
    for (let node = start; node && !nodes.includes(node); node = best(node).next) nodes.push(node)
    return nodes
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
