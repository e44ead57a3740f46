// @ts-check
// A row of chips, one for each token, as a part of a Streamlit page.

/** @import { Part } from './types' */

import { el } from './dom.js'
import { heatColor } from './theme.js'

/** @typedef {{tokens: string[], heat: number[], most: number, kinds: string[]}} TokenArguments */

/** @type {Record<string, string>} */
const NAMES = {
  special: 'a special token',
  part: 'a part of a character',
  template: 'of the chat template',
}

/** @param {HTMLElement} root @returns {Part<TokenArguments>} */
export function tokensPart(root) {
  return {
    update({ tokens, heat, most, kinds }, dark) {
      root.replaceChildren()
      const row = el('div', 'cs cs-token-row', null, root)
      row.dataset.theme = dark ? 'dark' : 'light'
      tokens.forEach((token, position) => {
        const chip = el('span', 'cs-chip', token, row)
        const activation = heat[position]
        const hasHeat = activation !== undefined
        const name = markKinds(chip, kinds[position] ?? '')
        chip.title = hasHeat
          ? `activation ${activation.toPrecision(3)}`
          : `token ${position}${name}`
        if (activation > 0) chip.style.background = heatColor(activation / (most || 1))
      })
      return row.offsetHeight
    },
    destroy: () => root.replaceChildren(),
  }
}

/**
 * Style a chip by its token's kinds, and return them in words.
 *
 * @param {HTMLElement} chip
 * @param {string} kinds
 */
function markKinds(chip, kinds) {
  const known = kinds.split(' ').filter((kind) => NAMES[kind])
  for (const kind of known) chip.classList.add(`cs-chip-${kind}`)
  return known.map((kind) => `, ${NAMES[kind]}`).join('')
}
