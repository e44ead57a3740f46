// Joins the canvas to a Streamlit page: arguments come in, events go out.
(function (cs) {
  'use strict'
  const send = (type, data) => globalThis.parent.postMessage({ isStreamlitMessage: true, type, ...data }, '*')
  const view = cs.mount(document.getElementById('root'), {
    wheel: 'focus',
    explain: true,
    edit: true,
    emit: (value) => send('streamlit:setComponentValue', { value, dataType: 'json' }),
  })
  cs.view = view

  globalThis.addEventListener('message', (event) => {
    if (event.source !== globalThis.parent || event.data.type !== 'streamlit:render') return
    const { args, theme } = event.data
    send('streamlit:setFrameHeight', { height: args.height + 2 })
    view.update({ ...args, dark: Boolean(theme && theme.base === 'dark') })
  })
  send('streamlit:componentReady', { apiVersion: 1 })
})(globalThis.CircuitScope)
