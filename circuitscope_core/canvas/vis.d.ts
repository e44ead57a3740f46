/** The part of vis-network that the canvas uses. */

import type { Point, Viewport } from './types'

export interface ClickParameters {
  nodes: string[]
  pointer: { DOM: Point; canvas: Point }
  event: { srcEvent: MouseEvent }
}

export interface Animation {
  duration: number
  easingFunction: string
}

export interface Network {
  on(name: 'beforeDrawing' | 'afterDrawing', run: (ctx: CanvasRenderingContext2D) => void): void
  on(name: 'click' | 'doubleClick' | 'dragEnd', run: (parameters: ClickParameters) => void): void
  on(name: 'dragStart' | 'zoom' | 'resize', run: () => void): void
  once(name: 'afterDrawing', run: () => void): void
  moveTo(view: Partial<Viewport> & { animation: false | Animation }): void
  getScale(): number
  getViewPosition(): Point
  DOMtoCanvas(point: Point): Point
  canvasToDOM(point: Point): Point
  setOptions(options: object): void
  redraw(): void
  destroy(): void
}

/** Where vis puts a node, and what to paint it on. */
export interface RendererCall {
  ctx: CanvasRenderingContext2D
  x: number
  y: number
}

export type Renderer = (call: RendererCall) => {
  drawNode(): void
  nodeDimensions: { width: number; height: number }
}

declare global {
  /** vis-network is a script of its own, which runs before the canvas's. */
  var vis: {
    Network: new (element: HTMLElement, data: object, options: object) => Network
  }
  /** What tests and benchmarks look into. */
  var CircuitScope: { view: unknown } | undefined
}
