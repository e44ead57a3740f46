"""The Compare page in a real browser: canvas, cards, and text that must stay text."""

import re
import xml.etree.ElementTree as ET
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.browser.test_graph import SVG, WAIT, download, graph_frame, open_tab, point_of
from tests.browser.test_hostile import HOSTILE, assert_nothing_ran
from tests.demo import bundle

pytestmark = pytest.mark.browser


def open_comparison(page, url, **address):
    """Open the Compare page by a link and return the frame with the canvas."""
    query = "&".join(f"{name}={quote(value)}" for name, value in address.items())
    page.goto(f"{url}/compare?{query}")
    frame = graph_frame(page)
    frame.locator(".cs").scroll_into_view_if_needed()
    return frame


def outputs_in(frame):
    """Return the drawn outputs by name: one of both graphs, or of A, begins with ``a``."""
    return [name for name in frame.evaluate("CircuitScope.view.ids()") if name[2:4] == "4_"]


def test_a_link_opens_both_graphs_on_shared_axes(fresh_url, page):
    frame = open_comparison(page, fresh_url, **{"with": "The Geze Pacific Umber (G"})
    expect(frame.locator(".cs-legend")).to_contain_text("kept only in A")
    for name in ("Supernodes", "Pinned"):
        expect(frame.get_by_role("button", name=name, exact=True)).to_be_hidden()
    # by rank, the likeliest outputs are one node; by token they differ, each in one graph only
    assert {name[0] for name in outputs_in(frame)} == {"a"}
    page.get_by_text("Tell outputs apart by their token").click()
    frame.wait_for_function("CircuitScope.view.ids().some(id => id.startsWith('b_4_'))")
    outputs = outputs_in(frame)
    assert {name[0] for name in outputs} == {"a", "b"}
    page.mouse.move(*point_of(frame, outputs[0]))
    expect(frame.locator(".cs-panel")).to_contain_text("only in A; in B: not an output")
    page.mouse.click(*point_of(frame, outputs[0]))
    open_tab(frame, "Connections")
    panel = frame.locator(".cs-panel")
    expect(panel).to_contain_text("Inputs (")
    expect(panel).to_contain_text("change of weight, of share")
    expect(panel.locator(".cs-row").first).to_have_attribute(
        "title", re.compile("change of weight [+−]")
    )
    expect(page.get_by_text("Largest differences of edges")).to_be_visible(timeout=WAIT)
    drawing = ET.fromstring(download(frame, "SVG", page).read_text())
    assert len(list(drawing.iter(f"{SVG}path"))) > len(outputs)


def test_hostile_prompts_are_shown_as_text(url, page):
    frame = open_comparison(page, url, **{"with": HOSTILE[:70], "prompt": HOSTILE[4:60]})
    expect(frame.locator(".cs-prompt")).to_contain_text("<img src=x")
    tokenizer = bundle().tokenizer
    signs = [f"_E_{n}_" for n in range(tokenizer.d_vocab) if "<" in tokenizer.token_text(n)]
    names = frame.evaluate("CircuitScope.view.ids()")
    token = next(name for name in names if any(sign in name for sign in signs[1:]))
    page.mouse.move(*point_of(frame, token))
    expect(frame.locator(".cs-panel")).to_contain_text("<")
    expect(page.get_by_text("Largest differences of edges")).to_be_visible(timeout=WAIT)
    assert_nothing_ran(page)
