"""Pointer and keyboard on the graph in a real browser."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.test_graph import features, open_graph, open_tab, point_of
from tests.demo import kept_features

pytestmark = pytest.mark.browser


def test_a_feature_on_an_edge_of_the_selected_node_is_clicked_and_not_the_edge(url, page):
    frame = open_graph(page, url, "?nodes=0.95")  # more features than the default
    selected = frame.locator(".cs-panel")
    output = next(n for n in frame.evaluate("CircuitScope.view.ids()") if n.startswith("4_"))
    names = features(frame)
    assert len(names) > 5
    open_tab(frame, "Connections")  # which follow the selection, and not the pointer
    for name in names:
        page.mouse.click(*point_of(frame, name))
        expect(selected).to_have_attribute("data-of", name)
        page.mouse.click(*point_of(frame, output))
        expect(selected).to_have_attribute("data-of", output)
    page.keyboard.down("Control")
    for name in names:
        page.mouse.click(*point_of(frame, name))
    page.keyboard.up("Control")
    assert set(frame.evaluate("CircuitScope.view.pinned()")) == set(names)
    page.mouse.move(*point_of(frame, kept_features(1)[0]))  # it has a link with the output
    expect(frame.locator(".cs-status")).to_have_text(re.compile(r"% of the link$"))


def test_keys_travel_select_pin_and_clear(url, page):
    frame = open_graph(page, url)
    frame.locator(".cs").focus()
    page.keyboard.press("ArrowDown")
    expect(frame.locator(".cs-live")).to_contain_text("layer")
    page.keyboard.press("ArrowUp")
    expect(frame.locator(".cs-live")).to_contain_text("output")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(frame.locator(".cs-live")).to_contain_text("selected")
    page.keyboard.press("p")
    expect(frame.locator(".cs-live")).to_contain_text("pinned")
    page.keyboard.press("Escape")
    expect(frame.locator(".cs-panel")).to_contain_text("What caused the next token?")
