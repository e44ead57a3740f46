// @ts-check
// Painting as SVG, with a stand-in for the page: elements that only remember what they are given.

/** @import { GraphNode, Marks, Surface } from '../../circuitscope_core/canvas/types' */

import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { drawEdge } from '../../circuitscope_core/canvas/draw_edges.js'
import { drawNode } from '../../circuitscope_core/canvas/draw_nodes.js'
import { fontParts, SvgContext } from '../../circuitscope_core/canvas/svg.js'
import { linkColor, themeOf } from '../../circuitscope_core/canvas/theme.js'
import { node } from './samples.js'

class FakeElement {
  /** @param {string} tag */
  constructor(tag) {
    this.tag = tag
    this.textContent = ''
    /** @type {Record<string, string>} */
    this.attributes = {}
    /** @type {FakeElement[]} */
    this.children = []
  }

  /** @param {string} name @param {string} value */
  setAttribute(name, value) {
    this.attributes[name] = value
  }

  /** @param {FakeElement} child */
  append(child) {
    this.children.push(child)
  }
}

/** @type {any} */
const page = globalThis
page.document = {
  createElementNS: (/** @type {string} */ _space, /** @type {string} */ tag) =>
    new FakeElement(tag),
}

/** @type {FakeElement} */
let root
/** @type {SvgContext} */
let ctx

beforeEach(() => {
  root = new FakeElement('svg')
  /** @type {any} */
  const element = root
  ctx = new SvgContext(element, (_font, text) => /** @type {any} */ ({ width: 6 * text.length }))
})

/** @type {Marks} */
const PLAIN = {
  ...{ link: null, faint: false, focused: false, hovered: false },
  ...{ pinned: false, twin: false, chosen: false, change: null },
}
const LOOK = { theme: themeOf(false), dark: false, big: 1 }

/** @param {GraphNode} drawn @param {Partial<Marks>} [marks] */
function paint(drawn, marks) {
  drawNode(/** @type {Surface} */ (ctx), drawn, { ...PLAIN, ...marks }, LOOK)
  return root.children
}

test('paths, dashes and opacity become attributes', () => {
  ctx.beginPath()
  ctx.moveTo(1, 2)
  ctx.lineTo(3.456, 4)
  ctx.setLineDash([5, 3])
  ctx.globalAlpha = 0.022
  ctx.stroke()
  const [path] = root.children
  assert.equal(path.attributes.d, 'M1 2L3.46 4')
  assert.equal(path.attributes['stroke-dasharray'], '5 3')
  assert.equal(path.attributes.opacity, '0.022')
})

test('a full circle is drawn as two halves', () => {
  ctx.beginPath()
  ctx.arc(0, 0, 1, 0, 2 * Math.PI)
  ctx.fill()
  assert.equal(root.children[0].attributes.d, 'M1 0A1 1 0 0 1 -1 0A1 1 0 0 1 1 0')
})

test('turns are saved and given back', () => {
  ctx.save()
  ctx.translate(10, 20)
  ctx.rotate(-Math.PI / 4)
  ctx.fillText('turned', 0, 0)
  ctx.restore()
  ctx.fillText('straight', 0, 0)
  const [turned, straight] = root.children
  assert.equal(turned.attributes.transform, 'translate(10 20)rotate(-45)')
  assert.equal(straight.attributes.transform, undefined)
})

test('text has its font, also where it is bold, and holds nothing that XML cannot', () => {
  assert.deepEqual(fontParts('bold 10.5px a, b'), { weight: 'bold', size: '10.5', family: 'a, b' })
  ctx.font = 'bold 10px serif'
  ctx.textBaseline = 'middle'
  ctx.fillText('a\u0000b\ud800', 1, 2)
  const [text] = root.children
  assert.equal(text.textContent, 'a\ufffdb\ufffd')
  assert.equal(text.attributes.y, '5.5')
  assert.equal(text.attributes['font-weight'], 'bold')
})

test('a link colours its node and gives it a sign', () => {
  const paths = paint(node({ id: 'f' }), { link: 0.3 })
  assert.equal(paths[0].attributes.fill, linkColor(0.3, false))
  assert.match(paths[2].attributes.d, /^M.*L.*M.*L.*$/) // a plus has two strokes
  assert.match(paint(node({ id: 'g' }), { link: -0.3 })[5].attributes.d, /^M[^M]*$/)
})

for (const [kind, expected] of /** @type {const} */ ([
  ['feature', 'M0 4.6A4.6 4.6 0 0 1 -4.6 0A4.6 4.6 0 0 1 0 -4.6'],
  ['logit', 'M-4.6 -4.6H0V4.6H-4.6Z'],
  ['error', 'M0 -5.98L-5.98 0L0 5.98Z'],
])) {
  test(`of two compared graphs the first alone keeps this ${kind}: its left half is filled`, () => {
    const paths = paint(node({ id: 'n', kind, side: 'a' }))
    assert.equal(paths[1].attributes.d, expected)
    assert.equal(paths[1].attributes.fill, LOOK.theme.ink)
  })
}

test('a tile bears its name, cut to its width, and both numbers of a change', () => {
  const tile = node({
    id: 'group_0',
    kind: 'group',
    members: ['a', 'b'],
    label: 'a very long name',
  })
  const texts = paint(tile, { change: [-1, -0.98] }).filter((element) => element.tag === 'text')
  assert.equal(texts[0].textContent, 'a very long n…')
  assert.equal(texts[1].textContent, '−100% (−98%)')
})

test('a negative edge is dashed and a strong one wide', () => {
  const ends = { from: node({ id: 'a' }), to: node({ id: 'b', y: 10 }), weight: 1 }
  const look = { bent: false, dark: false, alpha: 0.9 }
  drawEdge(/** @type {Surface} */ (ctx), { ...ends, share: -0.25 }, look)
  drawEdge(/** @type {Surface} */ (ctx), { ...ends, share: 0.01 }, look)
  const [strong, weak] = root.children
  assert.equal(strong.attributes['stroke-dasharray'], '5 3')
  assert.equal(strong.attributes['stroke-width'], '2.5')
  assert.equal(weak.attributes['stroke-dasharray'], undefined)
  assert.equal(weak.attributes['stroke-width'], '0.7')
})
