// A row of chips, one for each token, for a Streamlit page.
(function (cs) {
  'use strict'
  const root = document.getElementById('root')
  const send = (type, data) => globalThis.parent.postMessage({ isStreamlitMessage: true, type, ...data }, '*')

  function draw({ tokens, heat, most }, dark) {
    root.replaceChildren()
    const row = cs.el('div', 'cs cs-token-row', null, root)
    row.dataset.theme = dark ? 'dark' : 'light'
    tokens.forEach((token, position) => {
      const chip = cs.el('span', 'cs-chip', token, row)
      chip.title = heat.length ? `activation ${heat[position].toPrecision(3)}` : `token ${position}`
      if (heat[position] > 0) chip.style.background = cs.heat(heat[position] / (most || 1))
    })
    send('streamlit:setFrameHeight', { height: row.offsetHeight + 2 })
  }

  let last = null
  globalThis.addEventListener('message', (event) => {
    if (event.source !== globalThis.parent || event.data.type !== 'streamlit:render') return
    last = [event.data.args, Boolean(event.data.theme && event.data.theme.base === 'dark')]
    draw(...last)
  })
  globalThis.addEventListener('resize', () => { if (last) draw(...last) })
  send('streamlit:componentReady', { apiVersion: 1 })
})(globalThis.CircuitScope)
