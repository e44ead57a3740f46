// @ts-check
// A drawing surface that writes SVG: the part of a canvas's context that painting uses, so that one
// description of the picture serves both.

/** @import { Surface } from './types' */

import { contextOf, el, svgEl } from './dom.js'

const NOT_IN_XML = /[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu
const REPLACEMENT = '\ufffd'
/** @type {Record<CanvasTextAlign, string>} */
const ANCHORS = { left: 'start', start: 'start', center: 'middle', right: 'end', end: 'end' }
const MIDDLE = 0.35 // of a font's size, from the middle of its letters down to their baseline

/** @param {number} value @returns {string} */
function rounded(value) {
  return String(Math.round(100 * value) / 100)
}

/**
 * The weight, size and family of a font.
 *
 * @param {string} font
 */
export function fontParts(font) {
  const [, weight, size, family] = font.match(/^(?:(bold) )?([\d.]+)px (.*)$/) || []
  return { weight: weight || null, size, family }
}

/** @implements {Surface} */
export class SvgContext {
  /**
   * @param {SVGElement} root
   * @param {(font: string, text: string) => TextMetrics} measure
   */
  constructor(root, measure) {
    this.root = root
    this.measure = measure
    /** @type {string[]} */
    this.path = []
    /** @type {number[]} */
    this.dash = []
    this.turn = ''
    /** @type {string[]} */
    this.saved = []
    /** @type {Surface['fillStyle']} */
    this.fillStyle = '#000'
    /** @type {Surface['strokeStyle']} */
    this.strokeStyle = '#000'
    this.lineWidth = 1
    this.globalAlpha = 1
    this.font = '10px sans-serif'
    /** @type {CanvasTextAlign} */
    this.textAlign = 'start'
    /** @type {CanvasTextBaseline} */
    this.textBaseline = 'alphabetic'
    /** @type {CanvasLineJoin} */
    this.lineJoin = 'miter'
  }

  beginPath() {
    this.path = []
  }

  /** @param {string} command @param {number[]} numbers */
  add(command, ...numbers) {
    this.path.push(command + numbers.map(rounded).join(' '))
  }

  /** @param {number} x @param {number} y */
  moveTo(x, y) {
    this.add('M', x, y)
  }

  /** @param {number} x @param {number} y */
  lineTo(x, y) {
    this.add('L', x, y)
  }

  /** @param {number[]} numbers */
  bezierCurveTo(...numbers) {
    this.add('C', ...numbers)
  }

  closePath() {
    this.path.push('Z')
  }

  /** @param {number} x @param {number} y @param {number} width @param {number} height */
  rect(x, y, width, height) {
    this.roundRect(x, y, width, height, 0)
  }

  /** @type {(x: number, y: number, width: number, height: number, r?: any) => void} */
  roundRect(x, y, width, height, r) {
    this.add('M', x + r, y)
    this.add('H', x + width - r)
    if (r) this.add('A', r, r, 0, 0, 1, x + width, y + r)
    this.add('V', y + height - r)
    if (r) this.add('A', r, r, 0, 0, 1, x + width - r, y + height)
    this.add('H', x + r)
    if (r) this.add('A', r, r, 0, 0, 1, x, y + height - r)
    this.closePath()
  }

  /**
   * In halves, since an arc that ends where it begins is none.
   *
   * @type {(x: number, y: number, r: number, from: number, to: number) => void}
   */
  arc(x, y, r, from, to) {
    /** @param {number} angle @returns {[number, number]} */
    const point = (angle) => [x + r * Math.cos(angle), y + r * Math.sin(angle)]
    this.add(this.path.length ? 'L' : 'M', ...point(from))
    this.add('A', r, r, 0, 0, 1, ...point((from + to) / 2))
    this.add('A', r, r, 0, 0, 1, ...point(to))
  }

  /**
   * @template {keyof SVGElementTagNameMap} Tag
   * @param {Tag} tag
   * @param {Record<string, unknown>} attributes Those that are null are left out.
   */
  put(tag, attributes) {
    const opacity = this.globalAlpha < 1 ? String(Number(this.globalAlpha.toFixed(4))) : null
    const all = Object.entries({ ...attributes, opacity, transform: this.turn || null })
    const given = all.filter(([, value]) => value !== null)
    return svgEl(
      tag,
      Object.fromEntries(given.map(([name, value]) => [name, String(value)])),
      this.root,
    )
  }

  line() {
    return {
      stroke: this.strokeStyle,
      'stroke-width': rounded(this.lineWidth),
      'stroke-linejoin': this.lineJoin,
      'stroke-dasharray': this.dash.length ? this.dash.join(' ') : null,
    }
  }

  fill() {
    this.put('path', { d: this.path.join(''), fill: this.fillStyle })
  }

  stroke() {
    this.put('path', { d: this.path.join(''), fill: 'none', ...this.line() })
  }

  /** @param {number} x @param {number} y @param {number} width @param {number} height */
  fillRect(x, y, width, height) {
    const size = { width: rounded(width), height: rounded(height) }
    this.put('rect', { x: rounded(x), y: rounded(y), ...size, fill: this.fillStyle })
  }

  /** @param {number[]} dash */
  setLineDash(dash) {
    this.dash = dash
  }

  /** @param {string} text @param {number} x @param {number} y @param {object} paint */
  text(text, x, y, paint) {
    const { weight, size, family } = fontParts(this.font)
    const shift = this.textBaseline === 'middle' ? MIDDLE * Number(size) : 0
    const element = this.put('text', {
      x: rounded(x),
      y: rounded(y + shift),
      'font-size': size,
      'font-family': family,
      'font-weight': weight,
      'text-anchor': ANCHORS[this.textAlign],
      ...paint,
    })
    element.textContent = text.replace(NOT_IN_XML, REPLACEMENT)
  }

  /** @param {string} text @param {number} x @param {number} y */
  fillText(text, x, y) {
    this.text(text, x, y, { fill: this.fillStyle })
  }

  /** @param {string} text @param {number} x @param {number} y */
  strokeText(text, x, y) {
    this.text(text, x, y, { fill: 'none', ...this.line() })
  }

  /** @param {string} text */
  measureText(text) {
    return this.measure(this.font, text)
  }

  save() {
    this.saved.push(this.turn)
  }

  restore() {
    this.turn = this.saved.pop() || ''
  }

  /** @param {number} x @param {number} y */
  translate(x, y) {
    this.turn += `translate(${rounded(x)} ${rounded(y)})`
  }

  /** @param {number} angle */
  rotate(angle) {
    this.turn += `rotate(${rounded((angle * 180) / Math.PI)})`
  }
}

/** @returns {(font: string, text: string) => TextMetrics} */
function ruler() {
  const context = contextOf(el('canvas'))
  return (font, text) => {
    context.font = font
    return context.measureText(text)
  }
}

/**
 * A picture as the text of an SVG file.
 *
 * @param {(ctx: Surface) => void} paint Draws it.
 * @param {{left: number, top: number, width: number, height: number}} extent What is kept of it.
 * @param {{paper: string, title: string}} page
 */
export function pictureAsSvg(paint, { left, top, width, height }, { paper, title }) {
  const size = { width: rounded(width), height: rounded(height) }
  const viewBox = [left, top, width, height].map(rounded).join(' ')
  const root = svgEl('svg', { viewBox, ...size, role: 'img' })
  svgEl('title', {}, root).textContent = title.replace(NOT_IN_XML, REPLACEMENT)
  const context = new SvgContext(root, ruler())
  context.fillStyle = paper
  context.fillRect(left, top, width, height)
  paint(context)
  return new XMLSerializer().serializeToString(root)
}
