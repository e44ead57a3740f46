// @ts-check
// Draws what an action changed. Only another picture makes a new network; nothing else moves the
// view.

/** @import { Canvas, State, Viewport } from './types' */

import { hideCard } from './hover_card.js'
import { fillLegend } from './legend.js'
import { openNetwork } from './network.js'
import { fillNode } from './panel_node.js'
import { fillOverview } from './panel_overview.js'
import { isPinned } from './picture.js'
import { nodeOf } from './state.js'
import { markToolbar } from './toolbar.js'

const NOTHING_PINNED =
  'Nothing is pinned yet. Ctrl-click nodes in the other views, or press P, to gather them here with the edges between them.'
/** @type {(keyof State)[]} */
const IN_LEGEND = ['data', 'dark']
/** @type {(keyof State)[]} */
const IN_TOOLBAR = ['data', 'view', 'picture', 'matches', 'filter', 'chosen', 'canUndo']
/** @type {(keyof State)[]} */
const IN_PANEL = ['picture', 'selected', 'pinned', 'edge', 'path', 'way', 'changes', 'dark']

/**
 * @param {Canvas} canvas
 * @param {State} before
 * @param {Viewport | null} viewport What part of a new picture to show; null for all.
 */
export function refresh(canvas, before, viewport) {
  const { state, ui } = canvas
  /** @param {(keyof State)[]} names */
  const changed = (names) => names.some((name) => state[name] !== before[name])
  ui.box.dataset.theme = state.dark ? 'dark' : 'light'
  if (changed(IN_LEGEND)) fillLegend(ui.legend, state.dark, state.data)
  if (changed(IN_TOOLBAR)) markToolbar(canvas)
  if (changed(['picture'])) {
    hideCard(canvas)
    ui.empty.textContent = emptyText(state)
    openNetwork(canvas, viewport)
  }
  if (!canvas.network) return
  if (changed(['selected'])) hideCard(canvas)
  if (changed(IN_PANEL)) fillPanel(canvas)
  canvas.network.redraw()
}

/** @param {State} state */
function emptyText(state) {
  if (state.view !== 'pinned') return ''
  const isBare = !state.picture.nodes.some((node) => isPinned(node, state.pinned))
  return isBare ? NOTHING_PINNED : ''
}

/** @param {Canvas} canvas */
function fillPanel(canvas) {
  const { state } = canvas
  const { panel } = canvas.ui
  const name = String(state.selected)
  const top = panel.dataset.of === name ? panel.scrollTop : 0
  panel.replaceChildren()
  panel.dataset.of = name
  const node = nodeOf(state, state.selected)
  if (node) fillNode(canvas, node)
  else fillOverview(canvas)
  panel.scrollTop = top
}
