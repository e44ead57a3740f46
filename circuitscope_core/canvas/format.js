// @ts-check
// Numbers and names as text.

const MINUS = '\u2212'
const WHOLE_FROM = 9.95 // percentages of this size are written without a decimal

/** @param {number} value @param {number} [digits] */
export function signed(value, digits = 3) {
  return (value < 0 ? MINUS : '+') + Math.abs(value).toFixed(digits)
}

/** @param {number} share @param {number} [digits] */
export function percent(share, digits = 1) {
  return `${(100 * share).toFixed(digits)}%`
}

/** @param {number} share */
export function signedPercent(share) {
  const size = Math.abs(100 * share)
  return `${(share < 0 ? MINUS : '+') + size.toFixed(size < WHOLE_FROM ? 1 : 0)}%`
}

/**
 * A divergence of the answer, to two digits.
 *
 * @param {number} size
 */
export function bits(size) {
  return size < 0.001 ? 'under 0.001 bits' : `${Number(size.toPrecision(2))} bits`
}

/**
 * How often a feature fires, in words.
 *
 * @param {number} frequency
 */
export function rarity(frequency) {
  if (!frequency) return 'never'
  if (frequency < 0.0001) return 'under 0.01% of tokens'
  return `${Number((100 * frequency).toPrecision(2))}% of tokens`
}

/** @param {string} text @param {number} length */
export function shorten(text, length) {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text
}

/**
 * A label between quotation marks; the labels of tokens have them already.
 *
 * @param {string} label
 */
export function quoted(label) {
  return label.startsWith('“') && label.endsWith('”') ? label : `“${label}”`
}

/**
 * A token's label without its quotation marks.
 *
 * @param {string} label
 */
export function unquoted(label) {
  return label.replace(/^“(.*)”$/s, '$1')
}

/** @param {number} count */
export function counted(count) {
  return count.toLocaleString('en')
}
