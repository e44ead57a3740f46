// @ts-check
// The column beside the canvas: its tabs, and its width.

/** @import { Canvas, Tab } from './types' */

import { chooseTab } from './actions.js'
import { button } from './dom.js'
import { emit, say } from './events.js'

const NARROWEST = 280
const WIDEST = 900
const LEFT_FOR_GRAPH = 360
const STEP = 24 // pixels that an arrow key moves the edge by

/** @type {{tab: Tab, text: string}[]} */
const TABS = [
  { tab: 'card', text: 'Card' },
  { tab: 'links', text: 'Connections' },
  { tab: 'heads', text: 'Heads' },
  { tab: 'intervene', text: 'Intervene' },
  { tab: 'table', text: 'Table' },
]
/** The tabs that the page fills, since the model is asked for what they show. */
const ASKS_PAGE = new Set(['heads', 'intervene', 'table'])

/** @param {Canvas} canvas @returns {Map<Tab, HTMLButtonElement>} */
export function buildTabs(canvas) {
  const { tabs, panel } = canvas.ui
  const shown = TABS.filter(({ tab }) => canvas.options.explain || !ASKS_PAGE.has(tab))
  const buttons = shown.map(({ tab, text }) => {
    const made = button(tabs, { className: 'cs-tab', text, title: '' }, () => {
      chooseTab(canvas, tab)
    })
    made.setAttribute('role', 'tab')
    made.id = `cs-tab-${tab}`
    return made
  })
  panel.id = 'cs-tabpanel'
  for (const made of buttons) made.setAttribute('aria-controls', panel.id)
  tabs.addEventListener('keydown', (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
    if (!by) return
    event.stopPropagation()
    const at = shown.findIndex(({ tab }) => tab === canvas.state.tab)
    const next = (at + by + shown.length) % shown.length
    chooseTab(canvas, shown[next].tab)
    buttons[next].focus()
  })
  buildGrip(canvas)
  return new Map(shown.map(({ tab }, number) => [tab, buttons[number]]))
}

/** @param {Canvas} canvas */
export function markTabs({ state, tabs, ui }) {
  for (const [tab, made] of tabs) {
    made.setAttribute('aria-selected', String(tab === state.tab))
    made.tabIndex = tab === state.tab ? 0 : -1
  }
  ui.panel.setAttribute('aria-labelledby', `cs-tab-${state.tab}`)
  ui.side.dataset.tab = state.tab
}

// --- width ---------------------------------------------------------------------------------------

/** @param {Canvas} canvas */
function buildGrip(canvas) {
  const { grip, box, side } = canvas.ui
  grip.setAttribute('role', 'separator')
  grip.setAttribute('aria-orientation', 'vertical')
  grip.setAttribute('aria-label', 'Width of the details')
  grip.tabIndex = 0
  /** @param {PointerEvent} event */
  const follow = (event) => setWidth(canvas, box.getBoundingClientRect().right - event.clientX)
  grip.addEventListener('pointerdown', (event) => {
    event.preventDefault()
    grip.setPointerCapture(event.pointerId)
    grip.addEventListener('pointermove', follow)
  })
  grip.addEventListener('pointerup', () => {
    grip.removeEventListener('pointermove', follow)
    tellWidth(canvas)
  })
  grip.addEventListener('keydown', (event) => {
    const by = { ArrowLeft: STEP, ArrowRight: -STEP }[event.key]
    if (!by) return
    event.stopPropagation()
    event.preventDefault()
    setWidth(canvas, side.offsetWidth + by)
    tellWidth(canvas)
  })
}

/** @param {Canvas} canvas @param {number} wished In pixels. */
export function setWidth({ ui }, wished) {
  const most = Math.max(NARROWEST, Math.min(WIDEST, ui.box.clientWidth - LEFT_FOR_GRAPH))
  const width = Math.round(Math.max(NARROWEST, Math.min(most, wished)))
  ui.box.style.setProperty('--side', `${width}px`)
  ui.grip.setAttribute('aria-valuenow', String(width))
  ui.grip.setAttribute('aria-valuemin', String(NARROWEST))
  ui.grip.setAttribute('aria-valuemax', String(most))
}

/** @param {Canvas} canvas */
function tellWidth(canvas) {
  const width = canvas.ui.side.offsetWidth
  say(canvas, `${width} pixels wide`)
  emit(canvas, { event: 'width', width })
}
