"""What a visitor has chosen: to the address and back, and the canvas's events."""

import pytest

from circuitscope_core import FeatureTarget, GraphError
from pages.ui.models import is_model_name
from pages.ui.state import (
    STATE_DEFAULTS,
    State,
    address_of,
    apply_event,
    feature_target,
    read_address,
)


def test_a_state_survives_the_address():
    state = State(
        model="demo",
        prompt="a & b\n",
        target="difference",
        tokens="D",
        minus="X",
        feature="2.39.639",
        node_threshold=0.65,
        view="groups",
        selected="0_3_2",
    )
    read, dropped = read_address(address_of(state))
    assert read == state
    assert dropped == ()


def test_an_address_names_only_what_is_not_as_usual():
    assert set(address_of(State(model="demo"))) == {"model", "prompt"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("nodes", "much"), ("nodes", "1.5"), ("edges", "nan"), ("view", "3d"), ("target", "")],
)
def test_nonsense_in_an_address_is_left_out_and_named(name, value):
    state, dropped = read_address({name: value, "prompt": "x"})
    assert dropped == (name,)
    assert state == State(prompt="x")


def test_a_feature_is_named_by_layer_token_and_number():
    assert feature_target("2.39.639") == FeatureTarget(layer=2, position=39, feature=639)


@pytest.mark.parametrize("text", ["", "2.39", "2.39.639.1", "2.-1.3", "a.b.c", "1. 2.3", "٢.1.1"])
def test_what_names_no_feature_is_refused_with_an_example(text):
    with pytest.raises(GraphError, match=r"names no feature.*like 2\.39\.639"):
        feature_target(text)


def test_events_change_selection_pins_and_view():
    state = apply_event(STATE_DEFAULTS, {"event": "select", "id": "0_1_2", "nonce": "1"})
    assert state.selected == "0_1_2"
    state = apply_event(state, {"event": "pin", "pinned": ["a", "b"], "nonce": "2"})
    assert state.pinned == ("a", "b")
    state = apply_event(state, {"event": "view", "view": "groups", "nonce": "3"})
    assert state.view == "groups"
    state = apply_event(state, {"event": "edge", "source": "a", "target": "b", "nonce": "4"})
    assert state.edge == ("a", "b")
    state = apply_event(state, {"event": "select", "id": None, "nonce": "5"})
    assert (state.selected, state.edge) == ("", ())


def test_an_event_counts_once():
    event = {"event": "select", "id": "0_1_2", "nonce": "1"}
    state = apply_event(STATE_DEFAULTS, event)
    cleared = apply_event(state, {"event": "select", "id": None, "nonce": "2"})
    assert apply_event(cleared, {"event": "select", "id": "x", "nonce": "2"}) == cleared
    assert apply_event(state, None) == state


@pytest.mark.parametrize("name", ["demo", "my-model_2.1"])
def test_model_names(name):
    assert is_model_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", ".partial", "../x", "a/b", "a\\b", "é", "a\n"])
def test_a_model_name_is_never_a_path(name):
    assert not is_model_name(name)
