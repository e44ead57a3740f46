// A drawing surface that writes SVG: the part of a canvas context that draw.js uses, so that one
// description of the picture serves both.
(function (cs) {
  'use strict'

  const NOT_IN_XML = /[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu
  const ANCHORS = { left: 'start', start: 'start', center: 'middle', right: 'end', end: 'end' }
  const round = (value) => String(Math.round(100 * value) / 100)

  class SvgContext {
    constructor(root) {
      Object.assign(this, {
        root, path: [], dash: [], turn: '', saved: [], fillStyle: '#000', strokeStyle: '#000', lineWidth: 1, globalAlpha: 1,
        font: '10px sans-serif', textAlign: 'start', textBaseline: 'alphabetic', lineJoin: 'miter',
      })
      this.ruler = document.createElement('canvas').getContext('2d')
    }

    beginPath() { this.path = [] }
    add(command, ...numbers) { this.path.push(command + numbers.map(round).join(' ')) }
    moveTo(x, y) { this.add('M', x, y) }
    lineTo(x, y) { this.add('L', x, y) }
    bezierCurveTo(...numbers) { this.add('C', ...numbers) }
    closePath() { this.path.push('Z') }
    rect(x, y, width, height) { this.roundRect(x, y, width, height, 0) }

    roundRect(x, y, width, height, r) {
      this.add('M', x + r, y); this.add('H', x + width - r)
      if (r) this.add('A', r, r, 0, 0, 1, x + width, y + r)
      this.add('V', y + height - r)
      if (r) this.add('A', r, r, 0, 0, 1, x + width - r, y + height)
      this.add('H', x + r)
      if (r) this.add('A', r, r, 0, 0, 1, x, y + height - r)
      this.closePath()
    }

    // In halves, since an arc that ends where it begins is none.
    arc(x, y, r, from, to) {
      const point = (angle) => [x + r * Math.cos(angle), y + r * Math.sin(angle)]
      const middle = (from + to) / 2
      this.add(this.path.length ? 'L' : 'M', ...point(from))
      this.add('A', r, r, 0, 0, 1, ...point(middle))
      this.add('A', r, r, 0, 0, 1, ...point(to))
    }

    put(tag, attributes) {
      const shared = { opacity: this.globalAlpha < 1 ? round(this.globalAlpha) : null, transform: this.turn || null }
      const all = Object.entries({ ...attributes, ...shared }).filter(([, value]) => value !== null)
      return cs.svg(tag, Object.fromEntries(all), this.root)
    }

    line() {
      return { stroke: this.strokeStyle, 'stroke-width': round(this.lineWidth), 'stroke-linejoin': this.lineJoin, 'stroke-dasharray': this.dash.length ? this.dash.join(' ') : null }
    }

    fill() { this.put('path', { d: this.path.join(''), fill: this.fillStyle }) }
    stroke() { this.put('path', { d: this.path.join(''), fill: 'none', ...this.line() }) }
    fillRect(x, y, width, height) { this.put('rect', { x: round(x), y: round(y), width: round(width), height: round(height), fill: this.fillStyle }) }
    setLineDash(dash) { this.dash = dash }

    text(text, x, y, paint) {
      const [, size, family] = this.font.match(/^([\d.]+)px (.*)$/)
      const shift = this.textBaseline === 'middle' ? 0.35 * Number(size) : 0
      const element = this.put('text', { x: round(x), y: round(y + shift), 'font-size': size, 'font-family': family, 'text-anchor': ANCHORS[this.textAlign], ...paint })
      element.textContent = text.replace(NOT_IN_XML, '\ufffd')
    }

    fillText(text, x, y) { this.text(text, x, y, { fill: this.fillStyle }) }
    strokeText(text, x, y) { this.text(text, x, y, { fill: 'none', ...this.line() }) }

    measureText(text) {
      this.ruler.font = this.font
      return this.ruler.measureText(text)
    }

    save() { this.saved.push(this.turn) }
    restore() { this.turn = this.saved.pop() }
    translate(x, y) { this.turn += `translate(${round(x)} ${round(y)})` }
    rotate(angle) { this.turn += `rotate(${round(angle * 180 / Math.PI)})` }
  }

  // paint(context) draws the picture; extent: left, top, width and height of what is kept of it.
  cs.pictureAsSvg = function pictureAsSvg(paint, { left, top, width, height }, paper, title) {
    const root = cs.svg('svg', { viewBox: [left, top, width, height].map(round).join(' '), width: round(width), height: round(height), role: 'img' })
    cs.svg('title', {}, root).textContent = title.replace(NOT_IN_XML, '\ufffd')
    const context = new SvgContext(root)
    context.fillStyle = paper
    context.fillRect(left, top, width, height)
    paint(context)
    return new XMLSerializer().serializeToString(root)
  }

  cs.saveAs = function saveAs(name, address) {
    const link = document.createElement('a')
    link.download = name
    link.href = address
    link.click()
  }
})(globalThis.CircuitScope)
