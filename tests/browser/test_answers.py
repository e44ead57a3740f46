"""A whole answer in a real browser: its outputs stand over their own tokens."""

from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from tests.browser.test_graph import open_graph
from tests.demo import n_tokens

pytestmark = pytest.mark.browser
PROMPT, ANSWER = "The National Digital Analytics Group (N", "DAG)"


def test_outputs_stand_over_the_tokens_that_they_are_read_at(page, url):
    address = urlencode({"prompt": PROMPT, "target": "answer", "answer": ANSWER})
    frame = open_graph(page, url, f"?{address}")
    names = frame.evaluate("CircuitScope.view.ids()")
    places = {name: frame.evaluate("name => CircuitScope.view.place(name)", name) for name in names}
    tokens = {int(n.rpartition("_")[2]): places[n]["x"] for n in names if n.startswith("E_")}
    last = n_tokens(PROMPT) - 1
    outputs = sorted((n for n in names if n.startswith("4_")), key=lambda n: int(n.split("_")[2]))
    assert [int(n.split("_")[2]) for n in outputs] == [last + step for step in range(4)]
    for name in outputs:
        nearest = min(tokens, key=lambda place: abs(tokens[place] - places[name]["x"]))
        assert nearest == int(name.split("_")[2])
    page.keyboard.press("Escape")
    frame.get_by_role("button", name="Close").click()
    page.mouse.move(0, 0)
    expect(frame.locator(".cs-panel")).to_contain_text("What caused this answer?")
