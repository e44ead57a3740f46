// Six steps around the graph for a first visitor. Each one shows what it speaks of.
(function (cs) {
  'use strict'

  // at: the part of the frame that a step points at; show: what it does to the graph
  const STEPS = [
    { at: 'main', title: 'What the model said', text: 'The square at the top is the next token the model expects. Everything below it is what made the model say so.', show: (canvas) => canvas.open('full') },
    { at: 'main', title: 'What it read', text: 'The squares at the bottom are the tokens of the prompt. Between them and the output stand features: what the layers of the model noticed, at which token.', show: (canvas) => canvas.choose(null) },
    { at: 'main', title: 'What a feature is', text: 'Point at a circle: its card shows text on which it fires, the strongest first, and the tokens that it makes more or less likely.', show: (canvas) => canvas.point('feature') },
    { at: 'panel', title: 'What feeds it', text: 'Click a node: its inputs and outputs stand here, with signed weights that add up. Green raises, purple lowers; the “heads” button tells which attention heads carried an input.', show: (canvas) => canvas.choose('logit') },
    { at: 'bar', title: 'Make it smaller', text: 'Supernodes merge features that write the same way; hold G and click to group by hand. Ctrl-click pins a node: Pinned shows the few that you need, with scores of their own.', show: () => {} },
    { at: 'main', title: 'Check it', text: 'Select a feature and look below the graph: the model is run without it, and what changes stands beside what the graph predicted. A graph that was not checked is only a story.', show: (canvas) => canvas.choose('feature') },
  ]

  // canvas: open(view), choose(kind or null), point(kind)
  cs.buildTour = function buildTour(ui, canvas) {
    let step = -1
    const box = cs.el('div', 'cs-tour', null, ui.box)
    box.hidden = true
    box.setAttribute('role', 'dialog')
    box.setAttribute('aria-label', 'Tour of the graph')
    const title = cs.el('h4', 'cs-title', '', box)
    const text = cs.el('p', '', '', box)
    const line = cs.el('div', 'cs-tools', null, box)
    const count = cs.el('span', 'cs-step', '', line)
    cs.el('span', 'cs-spacer', null, line)
    const back = cs.button('cs-button', 'Back', 'The step before', line, () => go(step - 1))
    const next = cs.button('cs-button cs-primary', 'Next', 'The next step', line, () => go(step + 1))
    cs.button('cs-button', 'End', 'End the tour', line, () => go(STEPS.length))
    box.addEventListener('keydown', (event) => { if (event.key === 'Escape') go(STEPS.length) })

    function go(number) {
      const part = STEPS[step]
      if (part) ui[part.at].classList.remove('cs-lit')
      step = number
      box.hidden = step < 0 || step >= STEPS.length
      if (box.hidden) { step = -1; ui.box.focus({ preventScroll: true }); return }
      title.textContent = STEPS[step].title
      text.textContent = STEPS[step].text
      count.textContent = `${step + 1} of ${STEPS.length}`
      back.disabled = step === 0
      next.textContent = step === STEPS.length - 1 ? 'Done' : 'Next'
      ui[STEPS[step].at].classList.add('cs-lit')
      STEPS[step].show(canvas)
      next.focus({ preventScroll: true })
    }
    return () => go(0)
  }
})(globalThis.CircuitScope)
