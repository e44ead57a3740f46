// @ts-check
// The line of buttons above the canvas.

/** @import { Canvas, State, Toolbar, View } from './types' */

import {
  chooseView,
  makeGroup,
  redo,
  search,
  toggleGrouping,
  undo,
  walkMatches,
} from './actions.js'
import { button, el, setPressed } from './dom.js'
import { buildFilterBox } from './filter_box.js'
import { counted } from './format.js'
import { fit, zoom } from './network.js'
import { saveSvg } from './paint.js'
import { savePng } from './save_picture.js'
import { isShown } from './state.js'

const ZOOM_STEP = 1.35
/** @type {{view: View, text: string, title: string}[]} */
const VIEWS = [
  { view: 'full', text: 'All nodes', title: 'Show every kept node' },
  { view: 'groups', text: 'Supernodes', title: 'Merge similar features into named groups' },
  { view: 'pinned', text: 'Pinned', title: 'Show the outputs and what you pinned' },
]

/** @param {Canvas} canvas @returns {Toolbar} */
export function buildToolbar(canvas) {
  const { bar } = canvas.ui
  const { views, viewButtons } = buildViews(canvas, bar)
  const found = buildSearch(canvas, bar)
  el('span', 'cs-spacer', null, bar)
  const box = buildFilterBox(canvas, bar)
  const editing = canvas.options.edit ? buildEditing(canvas, bar) : null
  buildPictureButtons(canvas, bar)
  const tour = button(
    bar,
    { className: 'cs-button', text: 'Tour', title: 'A tour of the graph in six steps' },
    () => canvas.startTour(),
  )
  if (canvas.options.themeButton) {
    addButton(bar, 'Theme', 'Light or dark', () => {
      canvas.dispatch({ type: 'theme', dark: !canvas.state.dark })
    })
  }
  return { views, viewButtons, found, ...box, editing, tour }
}

/** @param {Element} bar @param {string} text @param {string} title @param {() => void} onClick */
function addButton(bar, text, title, onClick) {
  return button(bar, { className: 'cs-button', text, title }, onClick)
}

/** @param {Canvas} canvas @param {Element} bar */
function buildViews(canvas, bar) {
  const views = el('div', 'cs-views', null, bar)
  views.setAttribute('role', 'group')
  const [full, groups, pinned] = VIEWS.map(({ view, text, title }) =>
    button(views, { className: 'cs-view', text, title }, () => chooseView(canvas, view)),
  )
  return { views, viewButtons: { full, groups, pinned } }
}

/** @param {Canvas} canvas @param {Element} bar */
function buildSearch(canvas, bar) {
  const field = el('input', 'cs-search', null, bar)
  field.type = 'search'
  field.placeholder = 'Find a label or token'
  field.title = 'Enter goes to the next node that is found, Shift-Enter to the one before'
  field.setAttribute('aria-label', 'Find nodes')
  field.addEventListener('input', () => search(canvas, field.value))
  field.addEventListener('keydown', (event) => {
    if (event.key === 'Enter') walkMatches(canvas, event.shiftKey ? -1 : 1)
  })
  const found = el('span', 'cs-found', '', bar)
  found.setAttribute('aria-live', 'polite')
  return found
}

/** @param {Canvas} canvas @param {Element} bar */
function buildEditing(canvas, bar) {
  const start = 'Choose nodes to make one supernode of; or hold G and click'
  const group = addButton(bar, 'Group', start, () => toggleGrouping(canvas))
  const look = {
    className: 'cs-button cs-primary',
    text: 'Make supernode',
    title: 'Make one supernode of the chosen nodes',
  }
  const make = button(bar, look, () => makeGroup(canvas))
  const back = addButton(bar, '↶', 'Undo', () => undo(canvas))
  const again = addButton(bar, '↷', 'Redo', () => redo(canvas))
  return { group, make, undo: back, redo: again }
}

/** @param {Canvas} canvas @param {Element} bar */
function buildPictureButtons(canvas, bar) {
  addButton(bar, '−', 'Zoom out', () => zoom(canvas, 1 / ZOOM_STEP))
  addButton(bar, '+', 'Zoom in', () => zoom(canvas, ZOOM_STEP))
  addButton(bar, 'Fit', 'Show the whole graph', () => fit(canvas))
  const titled = 'Save what is seen as PNG, twice as large, with prompt, story and legend'
  addButton(bar, 'PNG', titled, () => savePng(canvas))
  const sharp = 'Save the whole picture as SVG, sharp at every size'
  addButton(bar, 'SVG', sharp, () => saveSvg(canvas))
  if (!document.fullscreenEnabled) return
  addButton(bar, 'Full screen', 'Use the whole screen', () => {
    if (document.fullscreenElement) document.exitFullscreen()
    else canvas.ui.box.requestFullscreen()
  })
}

// --- what the buttons say ------------------------------------------------------------------------

/** @param {Canvas} canvas */
export function markToolbar(canvas) {
  markViews(canvas)
  markSearch(canvas)
  markHidden(canvas)
  markGrouping(canvas)
}

/** @param {Canvas} canvas */
function markViews({ state, toolbar }) {
  toolbar.viewButtons.groups.hidden = !state.data.groups
  // two compared graphs have one view, and a tour speaks of one graph
  toolbar.views.hidden = toolbar.tour.hidden = Boolean(state.data.compared)
  for (const { view } of VIEWS) setPressed(toolbar.viewButtons[view], view === state.view)
}

/** @param {Canvas} canvas */
function markSearch({ state, toolbar }) {
  toolbar.found.textContent = state.matches ? foundText(state) : ''
}

/** @param {State} state */
function foundText({ matches, selected }) {
  const found = [...(matches || [])]
  const at = found.indexOf(selected || '')
  return at < 0 ? `${found.length} found` : `${at + 1} of ${found.length}`
}

/** @param {Canvas} canvas */
function markHidden({ state, toolbar }) {
  const text = hiddenText(state)
  toolbar.hidden.textContent = text
  toolbar.errors.hidden = !state.picture.nodes.some((node) => node.kind === 'error')
  toolbar.words.hidden = !state.data.n_words || !toolbar.editing
  toolbar.filter.toggleAttribute('data-on', Boolean(text))
}

/** @param {State} state */
export function hiddenText(state) {
  const { nodes } = state.picture
  const hidden = nodes.filter((node) => !isShown(state, node)).length
  return hidden ? `${counted(hidden)} of ${counted(nodes.length)} nodes are hidden.` : ''
}

/** @param {Canvas} canvas */
function markGrouping({ state, toolbar }) {
  if (!toolbar.editing) return
  const { group, make, undo: back, redo: again } = toolbar.editing
  const { chosen } = state
  setPressed(group, chosen !== null)
  group.textContent = chosen ? `Cancel (${chosen.size} chosen)` : 'Group'
  make.hidden = !chosen
  make.disabled = !chosen || chosen.size < 2
  back.disabled = !state.canUndo
  again.disabled = !state.canRedo
}
