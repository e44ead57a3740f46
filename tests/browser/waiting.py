"""Waits for a page at rest, and for a slider to stand where it was moved to."""

WAIT = 60_000
"""Milliseconds after which a test gives up."""
SETTLED = """() => {
  if (!document.querySelector('.stApp')) return true // a page that was saved
  const busy = !document.querySelector('[data-test-script-state=notRunning]') ||
    document.querySelector('[data-stale=true]')
  if (busy) globalThis.restSince = 0
  else globalThis.restSince ||= performance.now()
  return !busy && performance.now() - globalThis.restSince > 1000
}"""
"""True once Streamlit has run no script, and shown nothing that it will replace, for a second."""


def rest(page):
    """Wait until a page has been at rest for a second."""
    page.wait_for_function(SETTLED, timeout=WAIT)


def slide(slider, key, until):
    """Press a key until a slider shows a value; a run of the page may take a step back."""
    for _ in range(200):
        if slider.get_attribute("aria-valuetext") == until:
            return
        slider.press(key)
    raise TimeoutError(f"the slider never stood at {until}")
