"""The visitor's choices, kept in the session and in the address."""

from dataclasses import replace
from typing import Any

import streamlit as st

from pages.ui.address import address_of, read_address
from pages.ui.state import STATE_DEFAULTS, State

KEY = "circuitscope"


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


def leave_graph(**changes: Any) -> State:
    """Replace choices that lead to another graph: what was chosen in the old one goes."""
    emptied = {
        name: getattr(STATE_DEFAULTS, name)
        for name in ("selected", "edge", "pinned", "grouping", "places", "steps")
    }
    return change_state(**{**emptied, "serial": get_state().serial + 1, **changes})


def show_demo() -> State:
    """Choose the demo prompt and the usual settings."""
    state = get_state()
    fresh = State(model=state.model, serial=state.serial + 1, seen=state.seen)
    return change_state(**vars(fresh))


def write_address(state: State) -> None:
    """Put the state into the address, where it differs."""
    wanted = address_of(state)
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)
