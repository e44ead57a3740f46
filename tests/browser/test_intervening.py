"""An intervention in a real browser: applied, drawn on the graph, taken back."""

import pytest

from tests.browser.test_graph import graph_frame, open_graph, open_tab, point_of
from tests.browser.waiting import rest
from tests.demo import kept_features, skill_that_turns

pytestmark = pytest.mark.browser
FEATURE = min(kept_features(5))  # of the lowest layer: others depend on it
CHANGES = "Object.fromEntries(CircuitScope.view.changes())"


def test_a_change_is_drawn_on_the_graph_and_taken_back(page, url):
    frame = open_graph(page, url)
    assert frame.evaluate(CHANGES) == {}
    page.mouse.click(*point_of(frame, FEATURE))
    open_tab(frame, "Intervene")
    page.get_by_role("button", name="Apply").click()
    page.get_by_text("How the text continues").wait_for()
    changes = graph_frame(page).evaluate(CHANGES)
    assert changes[FEATURE] == [-1, -1]
    others = [pair for name, pair in changes.items() if name != FEATURE]
    assert any(abs(measured) > 0.01 for measured, _ in others)
    page.get_by_role("button", name="Take back").click()
    page.get_by_text("How the text continues").wait_for(state="detached")
    assert graph_frame(page).evaluate(CHANGES) == {}


def test_a_failure_is_debugged_down_to_the_graph(page, url):
    page.goto(f"{url}/debug")
    page.get_by_text("What pushes").wait_for(timeout=90_000)
    page.get_by_role("combobox", name="Skill").click()
    page.get_by_role("option", name=skill_that_turns().capitalize()).click()
    rest(page)  # until then the button of the skill before may be there as well
    page.get_by_role("button", name="Switch them off in the graph").click(timeout=90_000)
    page.get_by_text("The last change at other strengths").wait_for(timeout=60_000)
    assert any(-1 in pair for pair in graph_frame(page).evaluate(CHANGES).values())
