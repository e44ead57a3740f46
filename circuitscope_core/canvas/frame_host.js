// Puts a part into a page of a frame (Streamlit's components of the first kind): arguments come in
// as messages, events go out as messages. The script's own element names the part.
(function (cs) {
  'use strict'
  const name = document.currentScript.dataset.part
  const send = (type, data) => globalThis.parent.postMessage({ isStreamlitMessage: true, type, ...data }, '*')
  const emit = (value) => send('streamlit:setComponentValue', { value, dataType: 'json' })
  let part = null, last = null

  function draw() {
    send('streamlit:setFrameHeight', { height: part.update(...last) + 2 })
  }

  globalThis.addEventListener('message', (event) => {
    if (event.source !== globalThis.parent || event.data.type !== 'streamlit:render') return
    const { args, theme } = event.data
    last = [args, Boolean(theme && theme.base === 'dark')]
    if (!part) part = cs.parts[name](document.getElementById('root'), args, emit)
    draw()
  })
  globalThis.addEventListener('resize', () => { if (part) draw() })
  send('streamlit:componentReady', { apiVersion: 1 })
})(globalThis.CircuitScope)
