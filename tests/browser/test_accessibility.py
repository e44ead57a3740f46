"""Every page in both themes, as axe-core sees it: no violation of any level."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from pages.ui.shared.menu import PAGES
from tests.browser.test_graph import WAIT, graph_frame, open_tab

pytestmark = pytest.mark.browser
AXE = Path(__file__).parents[1] / "canvas" / "node_modules" / "axe-core" / "axe.min.js"
RUN = """async () => {
  const found = await axe.run(document, { resultTypes: ['violations'] })
  return found.violations.flatMap(rule => rule.nodes.map(node =>
    `${rule.id} (${rule.impact}): ${node.target.flat().join(' ')} ${node.html.slice(0, 160)}`))
}"""


def violations(page):
    """Return what axe-core objects to on a page, a line for each element."""
    page.wait_for_timeout(500)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    return page.evaluate(RUN)


@pytest.fixture(params=["light", "dark"])
def themed(request, browser):
    """A page whose visitor prefers a theme."""
    context = browser.new_context(
        viewport={"width": 1440, "height": 900}, color_scheme=request.param
    )
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_violation(url, themed, name):
    themed.goto(url if name == "home" else f"{url}/{name}")
    expect(themed.get_by_role("heading", level=1)).to_be_attached(timeout=WAIT)
    themed.locator("[data-test-script-state=notRunning]").first.wait_for(timeout=WAIT)
    assert violations(themed) == []


@pytest.mark.parametrize("tab", ["Connections", "Heads", "Intervene", "Table"])
def test_a_tab_beside_the_graph_has_no_violation(url, themed, tab):
    themed.goto(f"{url}/graph")
    open_tab(graph_frame(themed), tab)
    themed.wait_for_timeout(1500)
    assert violations(themed) == []
