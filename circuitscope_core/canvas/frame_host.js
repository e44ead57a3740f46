// @ts-check
// Puts a part into a page of a frame (Streamlit's components of the first kind): arguments come in
// as messages, events go out as messages.

/** @import { MakePart, Part } from './types' */

/**
 * @template Data
 * @param {MakePart<Data>} makePart
 */
export function hostInFrame(makePart) {
  /** @type {Part<Data> | null} */
  let part = null
  /** @type {[Data, boolean] | null} */
  let last = null

  function draw() {
    if (!part || !last) return
    const height = part.update(...last)
    if (height) send('streamlit:setFrameHeight', { height: height + 2 }) // else the page sets it
  }

  globalThis.addEventListener('message', (event) => {
    if (event.source !== globalThis.parent || event.data.type !== 'streamlit:render') return
    const { args, theme } = event.data
    last = [args, theme?.base === 'dark']
    if (!part) part = makePart(rootElement(), args, sendValue)
    draw()
  })
  globalThis.addEventListener('resize', draw)
  send('streamlit:componentReady', { apiVersion: 1 })
}

function rootElement() {
  const root = document.getElementById('root')
  if (!root) throw new Error('The page of this frame has no element to draw in.')
  return root
}

/** @param {unknown} value */
function sendValue(value) {
  send('streamlit:setComponentValue', { value, dataType: 'json' })
}

/** @param {string} type @param {object} data */
function send(type, data) {
  globalThis.parent.postMessage({ isStreamlitMessage: true, type, ...data }, '*')
}
