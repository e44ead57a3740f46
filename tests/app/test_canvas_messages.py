"""Messages of the canvas, each with one event or several, and the steps that they make."""

import pytest

from pages.ui.shared.address import address_of
from pages.ui.shared.session import KEY, TRAIL
from pages.ui.shared.state import State
from tests.app.opening import open_page
from tests.demo import kept_features

ONE, OTHER = kept_features(2)
PIN = {"event": "pin", "pinned": [ONE], "nonce": "a"}
GROUP = {"event": "group", "members": [ONE, OTHER], "label": "both", "nonce": "b"}
FOLLOWS = {"event": "select", "id": OTHER, "follows": True, "nonce": "c"}
UNDO = {"event": "undo", "nonce": "d"}


@pytest.fixture
def canvas(monkeypatch):
    """The canvas's messages, one for each time that the page draws it; then none."""
    messages = []

    def draw_graph(*_, **__):
        return messages.pop(0) if messages else None

    monkeypatch.setattr("pages.ui.graph.canvas.draw_graph", draw_graph)
    return messages


def open_graph():
    at = open_page("graph", **address_of(State(model="demo")))
    assert at.session_state[KEY].groups is None
    return at


def say(at, canvas, *messages):
    """Have the canvas send messages, and run the page for each."""
    for message in messages:
        canvas.append(message)
        at.run()
        assert not at.exception
    return at.session_state[KEY], at.session_state[TRAIL]


def test_undo_takes_the_step_back_that_a_selection_follows(canvas):
    at = open_graph()
    state, trail = say(at, canvas, [GROUP], [GROUP, FOLLOWS])
    assert state.groups is not None
    assert len(trail.stops) == 2
    state, trail = say(at, canvas, [GROUP, FOLLOWS, UNDO])
    assert state.groups is None
    assert trail.can_redo


def test_undo_that_comes_with_the_selection_before_it_takes_the_same_step_back(canvas):
    at = open_graph()
    state, trail = say(at, canvas, [GROUP], [GROUP, FOLLOWS, UNDO])
    assert state.groups is None
    assert (trail.at, len(trail.stops)) == (0, 2)


def test_events_of_one_message_are_steps_of_their_own(canvas):
    at = open_graph()
    _, trail = say(at, canvas, [PIN, GROUP, FOLLOWS])
    assert len(trail.stops) == 3
    state, trail = say(at, canvas, [PIN, GROUP, FOLLOWS, UNDO])
    assert state.pinned == (ONE,)
    assert state.groups is None
    assert trail.at == 1
