// What the other canvas files share: DOM helpers, number formats, colours.
// Labels, tokens and example texts are foreign text: they go in through textContent only.
globalThis.CircuitScope = globalThis.CircuitScope || {};
(function (cs) {
  'use strict'

  cs.el = function el(tag, className, text, parent) {
    const element = document.createElement(tag)
    if (className) element.className = className
    if (text !== undefined && text !== null) element.textContent = text
    if (parent) parent.append(element)
    return element
  }

  cs.svg = function svg(tag, attributes, parent) {
    const element = document.createElementNS('http://www.w3.org/2000/svg', tag)
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
    if (parent) parent.append(element)
    return element
  }

  cs.button = function button(className, text, title, parent, onClick) {
    const element = cs.el('button', className, text, parent)
    element.type = 'button'
    element.title = title
    element.setAttribute('aria-label', title)
    element.addEventListener('click', onClick)
    return element
  }

  const MINUS = '\u2212'
  cs.signed = (value, digits) =>
    (value < 0 ? MINUS : '+') + Math.abs(value).toFixed(digits === undefined ? 3 : digits)
  cs.percent = (share, digits) => (100 * share).toFixed(digits === undefined ? 1 : digits) + '%'
  cs.signedPercent = (share) => {
    const size = Math.abs(100 * share)
    return (share < 0 ? MINUS : '+') + size.toFixed(size < 9.95 ? 1 : 0) + '%'
  }
  cs.rarity = (frequency) => {
    if (!frequency) return 'never'
    return frequency < 0.0001 ? 'under 0.01% of tokens' : `${Number((100 * frequency).toPrecision(2))}% of tokens`
  }

  // ColorBrewer's PRGn, the field's scale for signed effects: purple lowers, green raises. On a
  // dark page "no effect" must be dark, so the lightness runs the other way.
  const LIGHT = ['#40004b', '#762a83', '#9970ab', '#c2a5cf', '#e7d4e8', '#d9f0d3', '#a6dba0', '#5aae61', '#1b7837', '#00441b']
  const DARK = ['#e7d4e8', '#c9a9d6', '#a97fbd', '#7d5791', '#4a3757', '#2f4a37', '#3f7a4d', '#5aae61', '#9ad795', '#d9f0d3']
  const CLAMP = 0.4 // at 40 % of the input the scale ends

  cs.linkColor = function linkColor(share, dark) {
    const place = Math.max(-CLAMP, Math.min(CLAMP, share)) / (2 * CLAMP) + 0.5
    return (dark ? DARK : LIGHT)[Math.min(9, Math.floor(place * 10))]
  }

  // Relative luminance, 0 to 1, as the contrast guidelines define it.
  function luminance(color) {
    const parts = [1, 3, 5].map((place) => parseInt(color.slice(place, place + 2), 16) / 255)
    const [red, green, blue] = parts.map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
  }

  // Text on a link colour: whichever of the two stands out more; they are even at this luminance.
  const EVEN = 0.19
  const TEXT_ON = Object.fromEntries([...LIGHT, ...DARK].map((color) => [color, luminance(color) < EVEN ? '#ffffff' : '#111111']))
  cs.textOn = (share, dark) => TEXT_ON[cs.linkColor(share, dark)]
  cs.ramp = (dark) => (dark ? DARK : LIGHT).slice()

  const THEMES = {
    light: {
      paper: '#ffffff', band: '#f6f5f0', edgeBand: '#efede5', hairline: '#ffffff', ink: '#22242a',
      text: '#22242a', dim: '#62656d', ghost: 'rgba(20,20,30,.055)', focus: '#d6009a', accent: '#4a3aa7', tile: '#e8e6da', tileLine: '#77756a',
    },
    dark: {
      paper: '#12151c', band: '#1a1e27', edgeBand: '#202530', hairline: '#12151c', ink: '#c9cdd6',
      text: '#e8eaef', dim: '#9aa0ac', ghost: 'rgba(225,230,255,.06)', focus: '#ff5ccd', accent: '#a79bff', tile: '#30343f', tileLine: '#7b808c',
    },
  }
  cs.theme = (dark) => (dark ? THEMES.dark : THEMES.light)

  // How strongly a feature fires on a token: share of its strongest activation.
  cs.heat = (share) => `rgba(240, 120, 32, ${(0.12 + 0.68 * Math.min(1, share)).toFixed(2)})`

  cs.keyOf = (event) => event.key.length === 1 ? event.key.toLowerCase() : event.key
})(globalThis.CircuitScope)
