// @ts-check
// The legend below the canvas: glyphs, the scale of colours, gestures.

import { el, svgEl } from './dom.js'
import { ramp } from './theme.js'

const SHAPES = {
  circle: 'M7 2 A5 5 0 0 1 7 12 A5 5 0 0 1 7 2 Z',
  square: 'M2 2 H12 V12 H2 Z',
  diamond: 'M7 1 L13 7 L7 13 L1 7 Z',
  dot: 'M7 4.5 A2.5 2.5 0 0 1 7 9.5 A2.5 2.5 0 0 1 7 4.5 Z',
  leftHalf: 'M7 2 A5 5 0 0 0 7 12 Z',
  rightHalf: 'M7 2 A5 5 0 0 1 7 12 Z',
}
const GESTURES = 'click, then scroll to zoom · drag to move · Ctrl-click pins · arrow keys travel'

/**
 * @param {Element} legend
 * @param {boolean} dark
 * @param {{compared?: boolean, neurons?: boolean}} data The graph that is shown.
 */
export function fillLegend(legend, dark, { compared = false, neurons = false }) {
  legend.replaceChildren()
  if (neurons) {
    fillGlyph(legend, 'neuron above 0', SHAPES.circle, SHAPES.dot)
    fillGlyph(legend, 'below 0', SHAPES.circle)
  } else fillGlyph(legend, 'feature', SHAPES.circle)
  fillGlyph(legend, 'token, output', SHAPES.square)
  fillGlyph(legend, neurons ? 'other neurons' : 'error', SHAPES.diamond)
  if (compared) {
    fillGlyph(legend, 'kept only in A', SHAPES.circle, SHAPES.leftHalf)
    fillGlyph(legend, 'kept only in B', SHAPES.circle, SHAPES.rightHalf)
    el('span', 'cs-legend-item', 'edges of both are black', legend)
  }
  fillRamp(legend, dark, compared)
  el('span', 'cs-legend-item cs-legend-hint', GESTURES, legend)
}

/**
 * @param {Element} legend
 * @param {string} name
 * @param {string} shape
 * @param {string} [half] What of it is filled.
 */
function fillGlyph(legend, name, shape, half) {
  const item = el('span', 'cs-legend-item', null, legend)
  const size = { viewBox: '0 0 14 14', width: 13, height: 13, 'aria-hidden': 'true' }
  const picture = svgEl('svg', size, item)
  svgEl('path', { d: shape, class: 'cs-legend-glyph' }, picture)
  if (half) svgEl('path', { d: half, fill: 'currentColor' }, picture)
  el('span', '', name, item)
}

/** @param {Element} legend @param {boolean} dark @param {boolean} compared */
function fillRamp(legend, dark, compared) {
  const item = el('span', 'cs-legend-item', null, legend)
  el('span', '', compared ? '− higher in A' : '− lowers', item)
  const colors = el('span', 'cs-legend-ramp', null, item)
  for (const color of ramp(dark)) el('i', '', null, colors).style.background = color
  el('span', '', compared ? '+ higher in B' : '+ raises', item)
  const share = compared ? 'Change, B less A, of the share' : 'Share'
  item.title = `${share} of the target’s kept input; the scale ends at 40 %. Dashed edges are negative.`
}
