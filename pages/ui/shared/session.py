"""The visitor's choices, kept in the session and in the address."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.ui.shared.address import address_of, read_address
from pages.ui.shared.models import list_trained
from pages.ui.shared.state import STATE_DEFAULTS, State
from pages.ui.shared.trail import Relabel, Trail, settled, went_to
from pages.ui.shared.walk import read_walk

KEY = "circuitscope"
LATEST = "circuitscope_latest"
TRAIL = "circuitscope_trail"
WIDGETS = (
    "sidebar_model",
    "prompt_text",
    "prompt_chat",
    "prompt_target",
    "prompt_answer",
    "prompt_answer_tokens",
    "prompt_tokens_wanted",
    "prompt_token",
    "prompt_minus",
    "prompt_against",
    "prompt_feature",
    "prompt_max_logits",
    "prompt_logit_probability",
    "prompt_max_features",
    "graph_node_threshold",
    "graph_edge_threshold",
    "graph_similarity",
    "graph_mode",
    "graph_against",
    "graph_prompt_of",
    "graph_target",
    "graph_tokens_wanted",
    "graph_token",
    "graph_minus",
    "graph_feature",
    "graph_answer",
    "graph_answer_tokens",
    "compare_prompt",
    "compare_model",
    "compare_many",
)
"""Keys of the widgets that take their first value from the state and then keep their own."""


def get_state() -> State:
    """Return the session's state; on its first call it comes from the address."""
    if KEY not in st.session_state:
        st.session_state[KEY], _ = read_address(st.query_params.to_dict())
    state: State = st.session_state[KEY]
    return state


def change_state(**changes: Any) -> State:
    """Replace some of the session's choices."""
    st.session_state[KEY] = state = replace(get_state(), **changes)
    if LATEST in st.session_state:
        st.session_state[LATEST].state = state
    return state


@dataclass
class Latest:
    """The session's state for code that runs outside of the page's script, as downloads do."""

    state: State


def latest() -> Latest:
    """Return the session's own holder of its present state."""
    holder: Latest = st.session_state.setdefault(LATEST, Latest(get_state()))
    holder.state = get_state()
    return holder


def leave_graph(**changes: Any) -> State:
    """Replace choices that lead to another graph: what was chosen in the old one goes."""
    emptied = {
        name: getattr(STATE_DEFAULTS, name)
        for name in (
            "selected",
            "edge",
            "pinned",
            "groups",
            "places",
            "steps",
            "ablation",
            "unfolded",
        )
    }
    return change_state(**{**emptied, "serial": get_state().serial + 1, **changes})


def show_demo() -> State:
    """Choose the demo prompt and the usual settings.

    A model that was added was not taught what the demo asks; the first trained one answers then.
    """
    state, trained = get_state(), list_trained()
    model = state.model if state.model in trained else next(iter(trained), state.model)
    fresh = State(model=model, serial=state.serial + 1, seen=state.seen, side=state.side)
    return change_state(**vars(fresh))


def open_address(address: Mapping[str, str]) -> State:
    """Take every choice from an address, in the widgets too; the canvas starts afresh."""
    wanted, _ = read_address(address)
    now = get_state()
    for key in WIDGETS:
        st.session_state.pop(key, None)
    kept = {"serial": now.serial + 1, "seen": now.seen, "side": now.side}
    return change_state(**{**vars(wanted), **kept})


def follow_history() -> None:
    """Take every choice from the address if the visitor went back or forward to it.

    Otherwise the session is newer than the address, which is written after a change and may be
    one change behind. Links between pages carry no parameters and change no choice.
    """
    address = st.query_params.to_dict()
    went_back = getattr(get_script_run_ctx(), "is_history_navigation", False)
    if went_back and address and address != address_of(get_state()):
        open_address({"model": get_state().model, **address})


def write_address(state: State, relabel: Relabel | None = None) -> None:
    """Put the state into the address, where it differs, and remember it as a step.

    Args:
        state: The present choices.
        relabel: The label that was written with this step.
    """
    wanted = address_of(state)
    st.session_state[TRAIL] = went_to(get_trail(), wanted, relabel)
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)


def settle_step(state: State) -> None:
    """Take over what follows from the last step: it is no step, and not in the address yet."""
    st.session_state[TRAIL] = settled(get_trail(), address_of(state))


def get_trail() -> Trail:
    """Return the steps that the visitor took."""
    trail: Trail = st.session_state.setdefault(TRAIL, Trail())
    return trail


def take_step(trail: Trail) -> State:
    """Go to another place on the trail, with all choices of that place."""
    st.session_state[TRAIL] = trail
    state = get_state()
    if trail.stop is None:
        return state
    kept = {"tab": state.tab, "walk": state.walk, "step": str(state.walk_step)}
    return open_address({**dict(trail.stop.place), **kept})


def go_to_stage(walk: str, number: int) -> State:
    """Go to one step of a walk-through, with all choices of that step."""
    stages = read_walk(walk) or ()
    if not stages:
        return change_state(walk="", walk_step=0)
    number = max(0, min(len(stages) - 1, number))
    address = {"tab": get_state().tab, **dict(stages[number].address)}
    return open_address({**address, "walk": walk, "step": str(number)})


def go_to_graph() -> None:
    """Open the Graph page at once, with the present state as its address."""
    st.switch_page("pages/graph.py", query_params=address_of(get_state()))
