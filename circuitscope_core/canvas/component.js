// Joins the canvas to a Streamlit page: arguments come in, events go out.
(function (cs) {
  'use strict'
  const send = (type, data) => globalThis.parent.postMessage({ isStreamlitMessage: true, type, ...data }, '*')

  // The first arguments say what the page answers to; see the options of the canvas.
  const mount = ({ answers }) => cs.mount(document.getElementById('root'), {
    wheel: 'focus',
    explain: answers,
    edit: answers,
    emit: (value) => send('streamlit:setComponentValue', { value, dataType: 'json' }),
  })

  globalThis.addEventListener('message', (event) => {
    if (event.source !== globalThis.parent || event.data.type !== 'streamlit:render') return
    const { args, theme } = event.data
    if (!cs.view) {
      performance.mark('cs-data')
      cs.view = mount(args)
    }
    send('streamlit:setFrameHeight', { height: args.height + 2 })
    cs.view.update({ ...args, dark: Boolean(theme && theme.base === 'dark') })
  })
  send('streamlit:componentReady', { apiVersion: 1 })
})(globalThis.CircuitScope)
