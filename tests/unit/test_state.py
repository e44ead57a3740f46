"""A visitor's choices: to the address and back, and the canvas's events."""

import base64
import json
import zlib
from dataclasses import replace

import pytest

from circuitscope_core import FeatureTarget, GraphError
from circuitscope_core.bundle import name_fault
from pages.ui.graph.canvas_events import (
    apply_event,
    news,
    regroup,
)
from pages.ui.shared.address import address_of, read_address
from pages.ui.shared.groups import Group, join, rename, split
from pages.ui.shared.packing import LONGEST
from pages.ui.shared.state import STATE_DEFAULTS, State, feature_target

PAIR, OTHERS = Group("say D", ("0_1_2", "0_3_2")), Group("", ("1_1_5", "2_1_5"))


def test_a_state_survives_the_address():
    state = State(
        model="demo",
        prompt="a & b\n",
        target="difference",
        tokens="D",
        minus="X",
        feature="2.39.639",
        max_logits=3,
        logit_probability=0.5,
        max_features=200,
        likeness="decoders",
        with_prompt="c = d\u202e",
        with_model="other",
        node_threshold=0.65,
        view="groups",
        selected="0_3_2",
        pinned=("0_3_2", "E_1_2"),
        groups=(PAIR, Group("<b>\u202e😀", ("1_1_5", "2_1_5"))),
        places=(("0_1_2", 10.5, -3.0),),
    )
    read, dropped = read_address(address_of(state))
    assert read == state
    assert dropped == ()


def test_an_address_names_only_what_is_not_as_usual():
    assert set(address_of(State(model="demo"))) == {"model", "prompt"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("nodes", "much"), ("nodes", "1.5"), ("edges", "nan"), ("view", "3d"), ("target", "")),
        *(("logits", "0"), ("logits", "1.5"), ("budget", "-1"), ("budget", "9" * 5000)),
        *(("budget", "٣"), ("likeness", "colour")),
    ],
)
def test_nonsense_in_an_address_is_left_out_and_named(name, value):
    state, dropped = read_address({name: value, "prompt": "x"})
    assert dropped == (name,)
    assert state == State(prompt="x")


def pack(data):
    return "1." + base64.urlsafe_b64encode(zlib.compress(json.dumps(data).encode())).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2." + pack({})[2:],
        "1.!!!",
        "1." + base64.urlsafe_b64encode(b"no zlib").decode(),
        pack([]),
        pack({"pinned": [7]}),
        pack({"pinned": 7}),
        pack({"groups": [["a"], 3]}),
        pack({"groups": None}),
        pack({"groups": [[1, "a", "b"]]}),
        pack({"places": [["a", 1]]}),
        pack({"places": [["a", "nan", 1]]}),
        pack({"pinned": ["x" * LONGEST]}),
        pack({})[:-4],
    ],
)
def test_a_broken_subgraph_in_an_address_is_left_out_and_named(text):
    state, dropped = read_address({"subgraph": text, "prompt": "x"})
    assert dropped == ("subgraph",)
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


def test_supernodes_are_edited_from_the_suggested_ones():
    state = apply_event(
        STATE_DEFAULTS,
        {"event": "group", "members": ["0_3_2", "9_9_9"], "nonce": "1"},
        (PAIR, OTHERS),
    )
    # what is left of the first group is a single node, so no group any more
    assert state.groups == (OTHERS, Group("", ("0_3_2", "9_9_9")))
    members = ["9_9_9", "0_3_2"]
    state = apply_event(
        state, {"event": "rename", "members": members, "label": " a\nb ", "nonce": "2"}
    )
    assert state.groups[1].label == "a b"
    state = apply_event(state, {"event": "split", "members": members, "nonce": "3"})
    assert state.groups == (OTHERS,)


def test_tabs_and_widths_are_taken_only_where_they_make_sense():
    state = apply_event(STATE_DEFAULTS, {"event": "tab", "tab": "table", "nonce": "1"})
    assert state.tab == "table"
    for event in ({"event": "tab", "tab": "x"}, {"event": "width", "width": 9_999}):
        assert replace(apply_event(state, event), seen="1") == state
    assert apply_event(state, {"event": "width", "width": 480}).side == 480
    assert apply_event(state, {"event": "edge", "source": "a", "target": "b"}).tab == "heads"


def test_suggested_supernodes_can_be_kept_as_they_are():
    state = regroup(STATE_DEFAULTS, (PAIR,))
    assert state.groups == (PAIR,)
    assert regroup(state, None) == STATE_DEFAULTS


def test_a_change_of_supernodes_that_changes_nothing_is_none():
    event = {"event": "split", "members": ["x"], "nonce": "1"}
    assert apply_event(STATE_DEFAULTS, event, (PAIR,)) == State(seen="1")
    assert join((PAIR,), ["0_1_2"]) == (PAIR,)
    assert split((PAIR,), ["0_1_2"]) == rename((PAIR,), ["0_1_2"], "x") == (PAIR,)


def test_the_last_place_of_a_node_counts():
    state = STATE_DEFAULTS
    for number, x in enumerate((1, 2.5)):
        state = apply_event(state, {"event": "move", "name": "a", "x": x, "y": 3, "nonce": number})
    assert state.places == (("a", 2.5, 3.0),)


@pytest.mark.parametrize(
    "event",
    [
        {"event": "move", "name": "a", "x": "1", "y": 2},
        {"event": "move", "name": "a", "x": float("nan"), "y": 2},
        {"event": "view", "view": "3d"},
        {"event": "group", "members": "ab"},
        {"event": "no such"},
        {},
    ],
)
def test_an_event_that_makes_no_sense_changes_nothing(event):
    state = apply_event(STATE_DEFAULTS, {**event, "nonce": "1"}, (PAIR,))
    assert state == State(seen="1")


def test_an_event_counts_once_and_none_is_lost():
    events = [{"event": "select", "id": str(n), "nonce": str(n)} for n in range(4)]
    assert news(STATE_DEFAULTS, None) == ()
    assert news(STATE_DEFAULTS, events[:2]) == tuple(events[:2])
    state = apply_event(STATE_DEFAULTS, events[1])
    # two more came while the page was busy; those before were sent again
    assert news(state, events) == tuple(events[2:])
    assert news(apply_event(state, events[3]), events) == ()
    assert news(apply_event(state, events[3]), [{"nonce": "9"}]) == ({"nonce": "9"},)
    assert news(state, ["no event", {"nonce": "x"}]) == ({"nonce": "x"},)


@pytest.mark.parametrize("name", ["demo", "my-model_2.1"])
def test_model_names(name):
    assert not name_fault(name)


@pytest.mark.parametrize("name", ["", ".", "..", ".partial", "../x", "a/b", "a\\b", "é", "a\n"])
def test_a_model_name_is_never_a_path(name):
    assert name_fault(name)
