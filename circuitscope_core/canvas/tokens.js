// A row of chips, one for each token, as a part of a Streamlit page.
(function (cs) {
  'use strict'
  cs.parts = cs.parts || {}

  cs.parts.tokens = function tokens(root) {
    function update({ tokens, heat, most }, dark) {
      root.replaceChildren()
      const row = cs.el('div', 'cs cs-token-row', null, root)
      row.dataset.theme = dark ? 'dark' : 'light'
      tokens.forEach((token, position) => {
        const chip = cs.el('span', 'cs-chip', token, row)
        chip.title = heat.length ? `activation ${heat[position].toPrecision(3)}` : `token ${position}`
        if (heat[position] > 0) chip.style.background = cs.heat(heat[position] / (most || 1))
      })
      return row.offsetHeight
    }
    return { update, destroy: () => root.replaceChildren() }
  }
})(globalThis.CircuitScope)
