"""Files of a graph hold what the visitor made of it, up to the last click."""

import json
import re
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from pages.ui.shared.address import address_of
from pages.ui.shared.groups import Group
from pages.ui.shared.state import State
from tests.browser.test_graph import WAIT, download, open_graph, point_of

pytestmark = pytest.mark.browser


def test_files_hold_pins_selection_view_and_groups(url, page, tmp_path):
    names = kept_features(page, url)
    own = Group("mine", tuple(sorted(names[-2:])))
    state = State(model="demo", pinned=(names[0],), groups=(own,))
    frame = open_graph(page, url, f"?{urlencode(address_of(state))}")
    page.keyboard.down("Control")
    page.mouse.click(*point_of(frame, names[1]))
    page.keyboard.up("Control")
    frame.wait_for_function(f"CircuitScope.view.pinned().includes('{names[1]}')")
    page.mouse.click(*point_of(frame, names[1]))
    expect(page).to_have_url(re.compile(f"node={names[1]}"), timeout=WAIT)
    panel = frame.locator(".cs-panel").inner_text()
    page.get_by_text("Download", exact=True).click()
    chosen = json.loads(download(page, "Graph JSON").read_text())["qParams"]
    assert sorted(chosen["pinnedIds"]) == sorted(names[:2])
    assert chosen["clickedId"] == names[1]
    assert chosen["supernodes"] == [["mine", *own.members]]
    saved = tmp_path / "graph.html"
    saved.write_bytes(download(page, "Standalone page").read_bytes())
    page.goto(saved.as_uri())
    page.wait_for_selector("[data-ready=true]")
    assert sorted(page.evaluate("CircuitScope.view.pinned()")) == sorted(names[:2])
    expect(page.locator(".cs-panel")).to_contain_text(panel.split("\n")[1])


def kept_features(page, url):
    """Return ids of features that are far enough from each other to be clicked."""
    frame = open_graph(page, url, "?model=demo&similarity=1&likeness=decoders")
    names = frame.evaluate("CircuitScope.view.ids()")
    return [name for name in names if re.fullmatch(r"\d+_\d+_\d+", name)]
