// @ts-check
// vis-network holds the view: zoom, pan and dragging. Painting and hit-testing are ours.

/** @import { Canvas, GraphNode, Point, Viewport } from './types' */
/** @import { ClickParameters, Renderer } from './vis' */

import { move, unfold } from './actions.js'
import { extentOf, textSize } from './draw_backdrop.js'
import { nodeAt } from './hits.js'
import { paintMinimap } from './minimap.js'
import { paintAbove, paintBelow, paintNode } from './paint.js'
import { isTile, TILE } from './picture.js'

const LARGEST_SCALE = 1.6
const GLYPH = { width: 12, height: 12 }
const SMOOTHLY = { duration: 120, easingFunction: 'easeOutQuad' }

/**
 * Show the picture of the state.
 *
 * @param {Canvas} canvas
 * @param {Viewport | null} viewport What part of it to show; null for all.
 */
export function openNetwork(canvas, viewport) {
  const { state, ui } = canvas
  canvas.network?.destroy()
  canvas.touched = false
  const { bent } = state.picture
  const nodes = state.picture.nodes.map((node) => ({
    id: node.id,
    x: node.x,
    y: node.y,
    fixed: bent ? { x: false, y: true } : true, // a tile stays on its layer
    shape: 'custom',
    ctxRenderer: rendererOf(canvas, node),
  }))
  const network = new vis.Network(ui.net, { nodes, edges: [] }, optionsOf(canvas))
  canvas.network = network
  network.on('beforeDrawing', (ctx) => paintBelow(canvas, ctx))
  network.on('afterDrawing', (ctx) => {
    paintAbove(canvas, ctx)
    paintMinimap(canvas)
  })
  listen(canvas)
  fit(canvas)
  if (viewport) {
    network.moveTo({ ...viewport, animation: false })
    canvas.touched = true
  }
  network.once('afterDrawing', () => performance.mark('cs-painted'))
  ui.box.dataset.ready = 'true'
}

/** @param {Canvas} canvas */
function optionsOf({ state, options }) {
  return {
    physics: false,
    layout: { hierarchical: false },
    autoResize: true,
    nodes: { chosen: false },
    interaction: {
      hover: false,
      selectable: true,
      selectConnectedEdges: false,
      tooltipDelay: 0,
      keyboard: false,
      dragNodes: state.picture.bent,
      zoomSpeed: 0.6,
      zoomView: options.wheel === 'always',
    },
  }
}

/**
 * Paint a node where vis has it: while it is dragged, vis alone knows its place.
 *
 * @param {Canvas} canvas
 * @param {GraphNode} node
 * @returns {Renderer}
 */
function rendererOf(canvas, node) {
  return ({ ctx, x, y }) => ({
    drawNode() {
      node.x = x
      node.y = y
      paintNode(canvas, ctx, node)
    },
    nodeDimensions: isTile(node) ? TILE : GLYPH,
  })
}

/** @param {Canvas} canvas */
function listen(canvas) {
  const { network } = canvas
  if (!network) return
  network.on('click', (parameters) => canvas.click(parameters))
  network.on('doubleClick', ({ pointer }) => onDoubleClick(canvas, pointer.DOM))
  network.on('dragStart', () => touch(canvas))
  network.on('zoom', () => touch(canvas))
  network.on('dragEnd', (parameters) => onDragEnd(canvas, parameters))
  network.on('resize', () => {
    if (!canvas.touched) fit(canvas)
  })
}

/** @param {Canvas} canvas */
function touch(canvas) {
  canvas.touched = true
}

/** @param {Canvas} canvas @param {Point} at */
function onDoubleClick(canvas, at) {
  const { network, state, options } = canvas
  if (!network || !options.edit) return
  const node = nodeAt(state.picture.nodes, network.DOMtoCanvas(at), network.getScale())
  if (node?.folded) unfold(canvas, node)
}

/** @param {Canvas} canvas @param {ClickParameters} parameters */
function onDragEnd(canvas, { nodes: [id] }) {
  const node = canvas.state.byId.get(id)
  if (node && canvas.state.picture.bent) move(canvas, node)
}

/**
 * Show the whole picture.
 *
 * @param {Canvas} canvas
 */
export function fit(canvas) {
  const { network, ui, state } = canvas
  if (!network) return
  const over = ui.top.offsetHeight // the buttons and the story float over the drawing area
  /** @param {{width: number, height: number}} extent */
  const scaleFor = ({ width, height }) =>
    Math.min(ui.net.clientWidth / width, (ui.net.clientHeight - over) / height, LARGEST_SCALE)
  const plain = scaleFor(extentOf(state.picture))
  if (!(plain > 0)) return // out of sight, as on its way out of the page; a resize comes again
  canvas.touched = false
  const extent = extentOf(state.picture, textSize(plain)) // smaller pictures have larger text
  const { left, top, width, height } = extent
  const scale = scaleFor(extent)
  const position = { x: left + width / 2, y: top + height / 2 - over / 2 / scale }
  network.moveTo({ position, scale, animation: false })
}

/** @param {Canvas} canvas @param {number} factor */
export function zoom(canvas, factor) {
  const { network } = canvas
  if (!network) return
  touch(canvas)
  network.moveTo({ scale: network.getScale() * factor, animation: SMOOTHLY })
}

/**
 * The part of the picture that the person moved to; null where the whole of it is shown.
 *
 * @param {Canvas} canvas
 * @returns {Viewport | null}
 */
export function viewportOf({ network, touched }) {
  if (!network || !touched) return null
  return { scale: network.getScale(), position: network.getViewPosition() }
}

/** @param {Canvas} canvas */
export function surfaceOf({ ui }) {
  return ui.net.querySelector('canvas')
}
