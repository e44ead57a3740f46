"""Events of the canvas as changes of the state."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pages.ui.shared.groups import Groups, join, rename, split
from pages.ui.shared.state import TABS, VIEWS, WORDS, State

Event = Mapping[str, Any]
LEAST_SIDE, MOST_SIDE = 200, 2000
"""Pixels that the column beside the graph may be wide."""


def news(state: State, message: Any) -> tuple[Event, ...]:
    """Return the events of a message that were not dealt with yet, in their order.

    Args:
        state: Its ``seen`` is the last event that was.
        message: What the canvas sent: its last few events, of which some were sent before.
    """
    events = [event for event in message or () if isinstance(event, Mapping)]
    names = [event.get("nonce") for event in events]
    first = names.index(state.seen) + 1 if state.seen in names else 0
    return tuple(events[first:])


def apply_event(state: State, event: Event, suggested: Groups = ()) -> State:
    """Return the state after an event of the canvas.

    Args:
        state: What was chosen before.
        event: One of the ``news``.
        suggested: The supernodes on the canvas, where the visitor has none of their own yet.
    """
    state = replace(state, seen=str(event.get("nonce", "")))
    name = str(event.get("event"))
    if name in _CHANGES:
        return _CHANGES[name](state, event)
    if name in _EDITS:
        groups = suggested if state.groups is None else state.groups
        edited = _EDITS[name](groups, event)
        return state if edited == groups else regroup(state, edited)
    return state


def label_of_event(event: Event) -> tuple[int, int, str] | None:
    """Return layer, feature and text where an event names a feature."""
    if event.get("event") != "label":
        return None
    layer, feature = event.get("layer"), event.get("feature")
    if not (isinstance(layer, int) and isinstance(feature, int) and min(layer, feature) >= 0):
        return None
    return layer, feature, str(event.get("label") or "")


def regroup(state: State, groups: Groups | None) -> State:
    """Return the state with other supernodes; None brings the suggested ones back."""
    return replace(state, groups=groups, edge=())


def _select(state: State, event: Event) -> State:
    return replace(state, selected=str(event.get("id") or ""), edge=())


def _edge(state: State, event: Event) -> State:
    ends = str(event.get("source")), str(event.get("target"))
    return replace(state, edge=ends, tab="heads")


def _pin(state: State, event: Event) -> State:
    return replace(state, pinned=_names(event, "pinned"))


def _view(state: State, event: Event) -> State:
    return replace(state, view=str(event["view"])) if event.get("view") in VIEWS else state


def _move(state: State, event: Event) -> State:
    name, x, y = str(event.get("name")), event.get("x"), event.get("y")
    if not (isinstance(x, int | float) and isinstance(y, int | float)):
        return state
    if not (math.isfinite(x) and math.isfinite(y)):
        return state
    rest = tuple(place for place in state.places if place[0] != name)
    return replace(state, places=(*rest, (name, float(x), float(y))))


def _tab(state: State, event: Event) -> State:
    return replace(state, tab=str(event["tab"])) if event.get("tab") in TABS else state


def _unfold(state: State, event: Event) -> State:
    position = event.get("position")
    if not isinstance(position, int) or position < 0:
        return state
    return replace(state, unfolded=tuple(sorted({*state.unfolded, position})), selected="")


def _words(state: State, event: Event) -> State:
    if event.get("words") not in WORDS:
        return state
    return replace(state, words=str(event["words"]), unfolded=())


def _width(state: State, event: Event) -> State:
    width = event.get("width")
    if not isinstance(width, int) or not LEAST_SIDE <= width <= MOST_SIDE:
        return state
    return replace(state, side=width)


def _names(event: Event, field: str) -> tuple[str, ...]:
    found = event.get(field)
    return tuple(str(name) for name in found) if isinstance(found, list) else ()


_CHANGES: dict[str, Callable[[State, Event], State]] = {
    "select": _select,
    "edge": _edge,
    "pin": _pin,
    "view": _view,
    "move": _move,
    "tab": _tab,
    "width": _width,
    "unfold": _unfold,
    "words": _words,
}
_EDITS: dict[str, Callable[[Groups, Event], Groups]] = {
    "group": lambda groups, event: join(
        groups, _names(event, "members"), str(event.get("label") or "")
    ),
    "split": lambda groups, event: split(groups, _names(event, "members")),
    "rename": lambda groups, event: rename(
        groups, _names(event, "members"), str(event.get("label") or "")
    ),
}
