// @ts-check
// The canvas: mounts on an element, holds the state, and takes what the page sends.

/** @import { Action, Arguments, Canvas, Change, Options, Viewport } from './types' */

import { tellSelection } from './actions.js'
import { buildFrame } from './frame.js'
import { listenToInput, onClick } from './input.js'
import { buildMinimap } from './minimap.js'
import { surfaceOf, viewportOf } from './network.js'
import { refresh } from './refresh.js'
import { buildTabs, markTabs, setWidth } from './side.js'
import { firstState, isMeant, knownSelection, reduce, shownNodes, wantedView } from './state.js'
import { buildStrip } from './strip.js'
import { buildToolbar, markToolbar } from './toolbar.js'
import { buildTour } from './tour.js'
import { buildWalk } from './walk.js'

/**
 * Build an empty canvas; `update` gives it a graph.
 *
 * @param {HTMLElement} root
 * @param {Options} options
 */
export function mount(root, options) {
  /** @type {Canvas} */
  const canvas = {
    ui: buildFrame(root),
    toolbar: /** @type {any} */ (null), // its buttons act on the canvas, so it comes next
    tabs: new Map(),
    strip: /** @type {any} */ (null),
    minimap: /** @type {any} */ (null),
    options,
    state: firstState(),
    network: null,
    touched: false,
    recent: [],
    dispatch: (action, viewport = null) => dispatch(canvas, action, viewport),
    click: (parameters) => onClick(canvas, parameters),
    startTour: () => {},
    showWalk: () => {},
  }
  canvas.toolbar = buildToolbar(canvas)
  canvas.tabs = buildTabs(canvas)
  canvas.strip = buildStrip(canvas)
  canvas.minimap = buildMinimap(canvas)
  canvas.startTour = buildTour(canvas)
  canvas.showWalk = buildWalk(canvas)
  markTabs(canvas)
  markToolbar(canvas)
  listenToInput(canvas)
  return {
    /** @param {Arguments} next */
    update: (next) => update(canvas, next),
    destroy() {
      canvas.network?.destroy()
      root.replaceChildren()
    },
    ...windowInto(canvas),
  }
}

/** @param {Canvas} canvas @param {Action} action @param {Viewport | null} viewport */
function dispatch(canvas, action, viewport) {
  const before = canvas.state
  canvas.state = reduce(before, action)
  if (canvas.state !== before) refresh(canvas, before, viewport)
}

/** @param {Canvas} canvas @param {Arguments} next */
function update(canvas, next) {
  canvas.ui.box.classList.toggle('cs-fill', next.height === 0)
  canvas.ui.box.style.height = next.height ? `${next.height}px` : ''
  if (next.side && next.side !== canvas.side) {
    canvas.side = next.side
    setWidth(canvas, next.side)
  }
  if (next.dark !== canvas.state.dark) canvas.dispatch({ type: 'theme', dark: next.dark })
  showChanges(canvas, next.changes || {})
  const told = {
    canUndo: Boolean(next.canUndo),
    canRedo: Boolean(next.canRedo),
    pinnedScores: next.pinnedScores || '',
  }
  canvas.dispatch({ type: 'told', told })
  canvas.showWalk(next.walk ?? null)
  receive(canvas, next)
}

/**
 * Show what an intervention did to nodes. The same changes come again with every update.
 *
 * @param {Canvas} canvas
 * @param {Record<string, Change>} changes
 */
function showChanges(canvas, changes) {
  const known = Object.fromEntries(canvas.state.changes)
  if (JSON.stringify(changes) === JSON.stringify(known)) return
  canvas.dispatch({ type: 'changes', changes: new Map(Object.entries(changes)) })
  if (canvas.network) performance.mark('cs-changed')
}

/**
 * Open the graph that the page sent, if it is another or if the page wants something else shown.
 * A graph that was only edited stays where the person moved it.
 *
 * @param {Canvas} canvas
 * @param {Arguments} next
 */
function receive(canvas, { text, opening = {} }) {
  const { state } = canvas
  const isNew = text !== state.text
  if (!isNew && !isMeant(state, opening)) return
  const isSameView = wantedView(state, opening) === (state.awaited || state).view
  const viewport = isNew && isSameView ? viewportOf(canvas) : null
  const data = isNew ? JSON.parse(text) : state.data
  const selected = knownSelection(state, opening)
  canvas.dispatch({ type: 'receive', text, data, opening }, viewport)
  tellSelection(canvas, selected)
}

/**
 * What tests and benchmarks look at.
 *
 * @param {Canvas} canvas
 */
function windowInto(canvas) {
  return {
    /** @param {string} id */
    place(id) {
      const node = canvas.state.byId.get(id)
      return node && canvas.network?.canvasToDOM({ x: node.x, y: node.y })
    },
    hovered: () => canvas.state.hovered,
    selected: () => canvas.state.selected,
    pinned: () => [...canvas.state.pinned],
    canvas: () => surfaceOf(canvas),
    hasCard: () => canvas.ui.panel.dataset.of === String(canvas.state.hovered),
    tab: () => canvas.state.tab,
    dark: () => canvas.state.dark,
    counts: () => ({
      edges: canvas.state.picture.links.length,
      leftOut: canvas.state.picture.n_edges_left_out,
    }),
    changes: () => [...canvas.state.changes],
    scale: () => canvas.network?.getScale(),
    ids: () => shownNodes(canvas.state).map((node) => node.id),
  }
}
