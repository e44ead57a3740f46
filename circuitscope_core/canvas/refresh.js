// @ts-check
// Draws what an action changed. Only another picture makes a new network; nothing else moves the
// view.

/** @import { Canvas, State, Viewport } from './types' */

import { el } from './dom.js'
import { signedPercent } from './format.js'
import { fillLegend } from './legend.js'
import { openNetwork } from './network.js'
import { fillCardTab, fillLinksTab } from './panel_node.js'
import { fillOverview } from './panel_overview.js'
import { isPinned } from './picture.js'
import { markTabs } from './side.js'
import { nodeOf } from './state.js'
import { fillStory } from './story.js'
import { fillStrip, paintStrip } from './strip.js'
import { markToolbar } from './toolbar.js'

const NOTHING_PINNED =
  'Nothing is pinned yet. Ctrl-click nodes in the other views, or press P, to gather them here with the edges between them.'
const NO_LINKS = 'Select a node to see what feeds it and what it feeds.'
/** @type {(keyof State)[]} */
const IN_LEGEND = ['data', 'dark']
/** @type {(keyof State)[]} */
const IN_TOOLBAR = [
  'data',
  'view',
  'picture',
  'matches',
  'filter',
  'chosen',
  'canUndo',
  'canRedo',
  'selected',
]
/** @type {(keyof State)[]} */
const IN_PANEL = ['picture', 'selected', 'pinned', 'edge', 'path', 'way', 'changes', 'dark', 'tab']
/** @type {(keyof State)[]} */
const IN_STORY = ['data', 'view', 'path', 'checked', 'selected']
/** @type {(keyof State)[]} */
const IN_STRIP = ['picture', 'pinned', 'stripOpen', 'pinnedScores', 'changes', 'dark']
/** @type {(keyof State)[]} */
const IN_STRIP_MARKS = ['hovered', 'selected']

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
  if (changed(['tab'])) markTabs(canvas)
  if (changed(IN_STORY)) fillStory(canvas)
  if (changed(['picture'])) {
    ui.empty.textContent = emptyText(state)
    openNetwork(canvas, viewport)
  }
  if (!canvas.network) return
  refreshAround(canvas, changed)
  canvas.network.redraw()
}

/** @param {Canvas} canvas @param {(names: (keyof State)[]) => boolean} changed */
function refreshAround(canvas, changed) {
  if (changed(IN_STRIP)) fillStrip(canvas)
  else if (changed(IN_STRIP_MARKS)) paintStrip(canvas)
  if (changed(['hovered'])) fillStatus(canvas)
  const inCard = canvas.state.tab === 'card' && changed(['hovered'])
  if (changed(IN_PANEL) || inCard) fillPanel(canvas)
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
  const id = state.tab === 'card' ? (state.hovered ?? state.selected) : state.selected
  const name = String(id)
  const top = panel.dataset.of === name ? panel.scrollTop : 0
  panel.replaceChildren()
  panel.dataset.of = name
  const node = nodeOf(state, id)
  if (state.tab === 'links' && node) fillLinksTab(canvas, node)
  else if (state.tab === 'links') el('p', 'cs-note', NO_LINKS, panel)
  else if (state.tab === 'card' && node) fillCardTab(canvas, node)
  else if (state.tab === 'card') fillOverview(canvas)
  panel.scrollTop = top
}

/**
 * One line on the node that the pointer is on.
 *
 * @param {Canvas} canvas
 */
function fillStatus({ state, ui }) {
  const node = nodeOf(state, state.hovered)
  const link = node && state.links.get(node.id)
  const share = link === undefined ? '' : ` · ${signedPercent(link)} of the link`
  ui.status.textContent = node ? `${node.label} · ${node.detail}${share}` : ''
}
