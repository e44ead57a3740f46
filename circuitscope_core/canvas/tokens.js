// @ts-check
// A row of chips, one for each token, as a part of a Streamlit page.

/** @import { Part } from './types' */

import { el } from './dom.js'
import { heatColor } from './theme.js'

/** @typedef {{tokens: string[], heat: number[], most: number}} TokenArguments */

/** @param {HTMLElement} root @returns {Part<TokenArguments>} */
export function tokensPart(root) {
  return {
    update({ tokens, heat, most }, dark) {
      root.replaceChildren()
      const row = el('div', 'cs cs-token-row', null, root)
      row.dataset.theme = dark ? 'dark' : 'light'
      tokens.forEach((token, position) => {
        const chip = el('span', 'cs-chip', token, row)
        const activation = heat[position]
        const hasHeat = activation !== undefined
        chip.title = hasHeat ? `activation ${activation.toPrecision(3)}` : `token ${position}`
        if (activation > 0) chip.style.background = heatColor(activation / (most || 1))
      })
      return row.offsetHeight
    },
    destroy: () => root.replaceChildren(),
  }
}
