"""Every page in both themes, as axe-core sees it: no violation of any level."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from pages.ui.shared.menu import PAGES
from tests.browser.test_graph import graph_frame, open_tab
from tests.browser.waiting import WAIT, rest

pytestmark = pytest.mark.browser
AXE = Path(__file__).parents[1] / "canvas" / "node_modules" / "axe-core" / "axe.min.js"
RUN = """async () => {
  let disturbed = false
  const observer = new MutationObserver(() => { disturbed = true })
  observer.observe(document.body, { subtree: true, attributeFilter: ['data-test-script-state'] })
  const found = await axe.run(document, { resultTypes: ['violations'] })
  observer.disconnect()
  return disturbed ? null : found.violations.flatMap(rule => rule.nodes.map(node =>
    `${rule.id} (${rule.impact}): ${node.target.flat().join(' ')} ${node.html.slice(0, 160)}`))
}"""
"""The objections of axe-core, or null if the page began a new run meanwhile."""

IS_THEME = "theme => getComputedStyle(document.querySelector('.stApp')).colorScheme === theme"


def violations(page):
    """Return what axe-core objects to on a page at rest, a line for each element."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    for _ in range(5):
        rest(page)
        found = page.evaluate(RUN)
        if found is not None:
            return found
    raise AssertionError("the page does not come to rest")


def assert_no_violation(page):
    """Let axe-core look at a page in one theme, and again when its visitor prefers the other."""
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        page.wait_for_function(IS_THEME, arg=theme, timeout=WAIT)
        assert violations(page) == [], theme


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_violation(url, page, name):
    page.goto(url if name == "home" else f"{url}/{name}")
    expect(page.get_by_role("heading", level=1)).to_be_attached(timeout=WAIT)
    assert_no_violation(page)


@pytest.mark.parametrize("tab", ["Connections", "Heads", "Intervene", "Table"])
def test_a_tab_beside_the_graph_has_no_violation(url, page, tab):
    page.goto(f"{url}/graph")
    open_tab(graph_frame(page), tab)
    assert_no_violation(page)
