"""Steps of a visitor on a graph: taken back, taken again, and found on the way back."""

from hypothesis import given
from hypothesis import strategies as st

from pages.ui.shared.trail import (
    LONGEST,
    Relabel,
    Trail,
    place_of,
    redone,
    settled,
    undone,
    went_to,
)


def walked(*nodes):
    trail = Trail()
    for node in nodes:
        trail = went_to(trail, {"prompt": "x", "node": node})
    return trail


def node_of(trail):
    return dict(trail.stop.place)["node"]


def test_a_step_is_taken_back_and_taken_again():
    trail = walked("a", "b", "c")
    assert node_of(undone(trail)) == "b"
    assert node_of(undone(undone(undone(undone(trail))))) == "a"
    assert redone(undone(trail)) == trail
    assert not trail.can_redo
    assert undone(trail).can_redo


def test_a_new_step_forgets_those_that_were_taken_back():
    trail = went_to(undone(walked("a", "b", "c")), {"prompt": "x", "node": "d"})
    assert [dict(stop.place)["node"] for stop in trail.stops] == ["a", "b", "d"]


def test_the_address_of_the_step_before_or_after_is_the_browsers_back_or_forward():
    trail = walked("a", "b", "c")
    back = went_to(trail, {"prompt": "x", "node": "b"})
    assert back == undone(trail)
    assert went_to(back, {"prompt": "x", "node": "c"}) == trail


def test_an_open_tab_is_no_step_and_a_label_is_one():
    trail = walked("a")
    assert went_to(trail, {"prompt": "x", "node": "a", "tab": "table"}) == trail
    relabel = Relabel(0, 1, "", "mine")
    named = went_to(trail, {"prompt": "x", "node": "a"}, relabel)
    assert named.stop.relabel == relabel
    assert undone(named).stop.place == named.stop.place == place_of({"prompt": "x", "node": "a"})


def test_what_follows_from_a_step_is_no_step_of_its_own():
    trail = settled(walked("a", "b"), {"prompt": "x", "node": "c"})
    assert node_of(trail) == "c"
    assert node_of(undone(trail)) == "a"
    assert settled(Trail(), {"prompt": "x", "node": "a"}) == walked("a")


@given(st.lists(st.sampled_from(["undo", "redo", "a", "b", "c", "d"]), max_size=60))
def test_any_walk_stays_on_the_trail(moves):
    trail = walked("start")
    for move in moves:
        after = {"undo": undone, "redo": redone}.get(
            move, lambda at, node=move: went_to(at, {"prompt": "x", "node": node})
        )(trail)
        assert 0 <= after.at < len(after.stops) <= LONGEST
        if move not in ("undo", "redo"):
            assert node_of(after) == move
        trail = after


def test_the_oldest_steps_are_forgotten():
    trail = walked(*map(str, range(LONGEST + 20)))
    assert len(trail.stops) == LONGEST
    assert node_of(trail) == str(LONGEST + 19)
