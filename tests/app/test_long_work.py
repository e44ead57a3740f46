"""A graph that takes long: its steps, a way to cancel, and a way to have it after all."""

import pytest

from pages.ui.shared import long_work
from tests.app.opening import open_page

PROMPT = "a prompt that takes its time"


@pytest.fixture
def slow(monkeypatch):
    """Count every graph as one that takes long."""
    monkeypatch.setattr(long_work, "QUIET_SECONDS", 0.0)


def keys(at):
    return {button.key for button in at.button}


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("name", ["graph", "compare"])
def test_steps_go_away_once_the_graph_is_there(name):
    at = open_page(name, prompt=f"{PROMPT} on {name}")
    assert not at.error
    assert not any(str(key).startswith("trace_cancel") for key in keys(at))


def test_a_graph_that_was_cancelled_is_built_when_it_is_asked_for_again(monkeypatch):
    at = open_page("graph", prompt=f"{PROMPT} again")
    wanted = None

    def remember(tracing):
        nonlocal wanted
        wanted = tracing

    monkeypatch.setattr(long_work, "ask_again", remember)
    at.run()
    monkeypatch.undo()
    at.session_state[long_work.CANCELLED] = wanted
    at.run()
    assert "You cancelled this graph" in at.error[0].value
    at.button(key="trace_again").click().run()
    assert not at.error
    assert not at.exception


def test_what_is_left_is_estimated_from_what_is_done():
    line, part = long_work.StepsInPlace._read(long_work.cs.AttributionProgress("Rows", 3, 12))
    assert (line, part) == ("Rows", 0.25)
