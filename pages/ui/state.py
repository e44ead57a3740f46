"""What a visitor has chosen: one immutable value, in the session and in the address."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

import circuitscope_core as cs

KEY = "circuitscope"
DEMO_PROMPT = "The National Digital Analytics Group (N"
TARGETS = ("automatic", "tokens", "difference", "feature")
VIEWS = ("full", "groups")


@dataclass(frozen=True)
class State:
    """Everything that decides what the pages show."""

    model: str = ""
    prompt: str = DEMO_PROMPT
    target: str = "automatic"
    """One of ``TARGETS``."""
    tokens: str = ""
    """What to explain, where the target is not automatic."""
    minus: str = ""
    """What to compare it with, where the target is a difference."""
    feature: str = ""
    """Layer, token and number of a feature, with dots between, where the target is a feature."""
    node_threshold: float = 0.8
    edge_threshold: float = 0.98
    similarity: float = 0.7
    view: str = "full"
    """One of ``VIEWS``."""
    selected: str = ""
    edge: tuple[str, ...] = ()
    """Source and target of the edge that was clicked; nothing where none was."""
    pinned: tuple[str, ...] = ()
    seen: str = ""
    """The last canvas event that was dealt with."""


STATE_DEFAULTS = State()
IN_ADDRESS = {
    "model": "model",
    "prompt": "prompt",
    "target": "target",
    "tokens": "tokens",
    "minus": "minus",
    "feature": "feature",
    "nodes": "node_threshold",
    "edges": "edge_threshold",
    "similarity": "similarity",
    "view": "view",
    "node": "selected",
}
"""Names in the address and the fields they stand for."""
CHOICES = {"target": TARGETS, "view": VIEWS}


def get_state() -> State:
    """Return the session's state; on its first call it comes from the address."""
    if KEY not in st.session_state:
        st.session_state[KEY], _ = read_address(st.query_params.to_dict())
    state: State = st.session_state[KEY]
    return state


def change_state(**changes: Any) -> State:
    """Replace some of the session's choices."""
    st.session_state[KEY] = state = replace(get_state(), **changes)
    return state


def read_address(parameters: Mapping[str, str]) -> tuple[State, tuple[str, ...]]:
    """Return the state that an address asks for, and the names in it that make no sense."""
    values: dict[str, Any] = {}
    dropped = []
    for name, field in IN_ADDRESS.items():
        if name not in parameters:
            continue
        value = _parse(field, parameters[name])
        if value is None:
            dropped.append(name)
        else:
            values[field] = value
    return replace(STATE_DEFAULTS, **values), tuple(dropped)


def _parse(field: str, text: str) -> str | float | None:
    """Return a field's value, or None where the text is none."""
    if isinstance(getattr(STATE_DEFAULTS, field), float):
        try:
            number = float(text)
        except ValueError:
            return None
        return number if 0 <= number <= 1 else None
    return text if field not in CHOICES or text in CHOICES[field] else None


def address_of(state: State) -> dict[str, str]:
    """Return the parameters that lead back to a state: model, prompt and what is not as usual."""
    always = ("model", "prompt")
    values = {name: getattr(state, field) for name, field in IN_ADDRESS.items()}
    return {
        name: f"{value:g}" if isinstance(value, float) else value
        for name, value in values.items()
        if value != getattr(STATE_DEFAULTS, IN_ADDRESS[name]) or (name in always and value)
    }


def write_address(state: State) -> None:
    """Put the state into the address, where it differs."""
    wanted = address_of(state)
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)


def apply_event(state: State, event: Mapping[str, Any] | None) -> State:
    """Return the state after an event of the canvas; one seen before changes nothing."""
    if not event or event.get("nonce") == state.seen:
        return state
    state = replace(state, seen=str(event.get("nonce", "")))
    if event.get("event") == "select":
        return replace(state, selected=str(event.get("id") or ""), edge=())
    if event.get("event") == "edge":
        return replace(state, edge=(str(event.get("source")), str(event.get("target"))))
    if event.get("event") == "pin":
        return replace(state, pinned=tuple(str(name) for name in event.get("pinned", [])))
    if event.get("event") == "view" and event.get("view") in VIEWS:
        return replace(state, view=str(event["view"]))
    return state


def feature_target(text: str) -> cs.FeatureTarget:
    """Return the feature that a text like ``2.39.639`` names.

    Raises:
        GraphError: If it is no layer, token and number.
    """
    parts = text.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        raise cs.GraphError(
            f"{text!r} names no feature. Give layer, token and number with dots between, like "
            "2.39.639, or choose a feature in a graph."
        )
    layer, position, number = map(int, parts)
    return cs.FeatureTarget(layer, position, number)


def targets_of(
    state: State, tokenizer: Any
) -> tuple[int | str | cs.TokenDifference | cs.FeatureTarget, ...] | None:
    """Return what the graph is to explain, as ``cs.attribute`` takes it.

    Raises:
        GraphError: If the target is a feature and its name is none.
    """
    if state.target == "feature":
        return (feature_target(state.feature),)
    if state.target == "difference":
        return (cs.TokenDifference(state.tokens, state.minus),)
    if state.target == "tokens":
        return tuple(dict.fromkeys(tokenizer.encode(state.tokens)))
    return None
