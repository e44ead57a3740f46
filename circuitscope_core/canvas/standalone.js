// @ts-check
// Starts the canvas in an exported page.

import { mount } from './graph.js'

export function startPage() {
  const root = document.getElementById('root')
  const data = document.getElementById('graph-data')
  if (!root || !data) throw new Error('This page holds no graph.')
  const dark = globalThis.matchMedia('(prefers-color-scheme: dark)').matches
  const view = mount(root, { wheel: 'always', themeButton: true })
  const chosen = document.getElementById('graph-opening')
  const opening = chosen ? JSON.parse(chosen.textContent || '') : undefined
  view.update({ text: data.textContent || '', opening, dark })
  globalThis.CircuitScope = { view }
}
