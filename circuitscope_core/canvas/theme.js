// @ts-check
// Colours. The palette is a file of its own, since the pictures made without a browser use it too.

/** @import { Theme } from './types' */

import PALETTE from './theme.json' with { type: 'json' }

/**
 * The ten colours of signed effects: ColorBrewer's PRGn, purple lowers and green raises. On a dark
 * page "no effect" must be dark, so the lightness runs the other way.
 *
 * @param {boolean} dark
 * @returns {string[]}
 */
export function ramp(dark) {
  return dark ? PALETTE.ramps.dark : PALETTE.ramps.light
}

/** @param {number} share @param {boolean} dark */
export function linkColor(share, dark) {
  const colors = ramp(dark)
  const clamped = Math.max(-PALETTE.clamp, Math.min(PALETTE.clamp, share))
  const at = clamped / (2 * PALETTE.clamp) + 0.5
  return colors[Math.min(colors.length - 1, Math.floor(at * colors.length))]
}

/**
 * Relative luminance, 0 to 1, as the contrast guidelines define it.
 *
 * @param {string} color
 */
export function luminance(color) {
  const [red, green, blue] = [1, 3, 5]
    .map((start) => Number.parseInt(color.slice(start, start + 2), 16) / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}

const { dark_ground: ON_DARK, light_ground: ON_LIGHT } = PALETTE.text_on
// Painting asks for these at every node, so they are worked out once.
const TEXT_ON = new Map(
  [...ramp(false), ...ramp(true)].map((color) => [
    color,
    luminance(color) < PALETTE.even_luminance ? ON_DARK : ON_LIGHT,
  ]),
)

/**
 * The colour of text on a link's colour: whichever of the two stands out more.
 *
 * @param {number} share
 * @param {boolean} dark
 */
export function textOn(share, dark) {
  return TEXT_ON.get(linkColor(share, dark)) || ON_LIGHT
}

/** @param {boolean} dark @returns {Theme} */
export function themeOf(dark) {
  return dark ? PALETTE.themes.dark : PALETTE.themes.light
}

/** @param {boolean} dark */
export function ghostOpacity(dark) {
  return dark ? PALETTE.ghost_opacity.dark : PALETTE.ghost_opacity.light
}

/**
 * How strongly a feature fires on a token; another colour where a neuron is active below 0.
 *
 * @param {number} share Of its strongest activation on that side.
 */
export function heatColor(share) {
  const strength = (0.12 + 0.68 * Math.min(1, Math.abs(share))).toFixed(2)
  return share < 0 ? `rgba(48, 120, 216, ${strength})` : `rgba(240, 120, 32, ${strength})`
}
