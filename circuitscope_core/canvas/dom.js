// @ts-check
// Elements of a page. Labels, tokens and example texts are foreign text: they go in through
// textContent only.

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} [className]
 * @param {string | null} [text]
 * @param {Element} [parent]
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function el(tag, className, text, parent) {
  const element = document.createElement(tag)
  if (className) element.className = className
  if (text !== undefined && text !== null) element.textContent = text
  if (parent) parent.append(element)
  return element
}

/**
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string | number>} attributes
 * @param {Element} [parent]
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function svgEl(tag, attributes, parent) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value))
  if (parent) parent.append(element)
  return element
}

/**
 * A button. Its text is its name, which the title describes; one with a sign in the place of words
 * is named by its title.
 *
 * @param {Element} parent
 * @param {{className: string, text: string | null, title: string}} look
 * @param {() => void} onClick
 */
export function button(parent, { className, text, title }, onClick) {
  const element = el('button', className, text, parent)
  element.type = 'button'
  if (title) element.title = title
  if (text !== null && !/\p{L}/u.test(text)) element.setAttribute('aria-label', title)
  element.addEventListener('click', onClick)
  return element
}

/** @param {Element} element @param {boolean} pressed */
export function setPressed(element, pressed) {
  element.setAttribute('aria-pressed', String(pressed))
}

/** @param {HTMLCanvasElement} canvas */
export function contextOf(canvas) {
  const context = canvas.getContext('2d')
  if (!context) throw new Error('This browser cannot draw on a canvas.')
  return context
}

/**
 * The key of an event, whatever Shift and Caps Lock make of a letter.
 *
 * @param {KeyboardEvent} event
 */
export function keyOf(event) {
  return event.key.length === 1 ? event.key.toLowerCase() : event.key
}

/**
 * Save a file on the visitor's machine.
 *
 * @param {string} name
 * @param {string} address
 */
export function saveAs(name, address) {
  const link = el('a')
  link.download = name
  link.href = address
  link.click()
}
