"""The Graph page's sliders: how much of the graph is kept, and how features are grouped."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.ui.shared.session import change_state
from pages.ui.shared.state import State

QUESTIONS = (
    (
        "node_threshold",
        "Node score kept",
        "Keep the nodes that hold this share of all nodes’ score: what they do to the "
        "probabilities of the tokens that may come.",
    ),
    (
        "edge_threshold",
        "Edge influence kept",
        "Then keep the edges that carry this share of the influence on edges.",
    ),
    (
        "similarity",
        "Similarity within supernodes",
        "Features at one token that are at least this similar are merged: alike in what they "
        "do here (what feeds them and what they feed), or in what they write.",
    ),
)


def ask_for_thresholds(state: State) -> tuple[State, DeltaGenerator]:
    """Let the visitor choose how much is shown; also returns the place below for supernodes."""
    answers = {}
    with st.popover("Thresholds", icon=":material/tune:"):
        for field, label, meaning in QUESTIONS:
            key = f"graph_{field}"
            st.session_state.setdefault(key, round(getattr(state, field), 2))
            own = field == "similarity" and state.groups is not None
            answers[field] = st.slider(
                label, 0.0, 1.0, step=0.01, key=key, help=meaning, disabled=own
            )
        place = st.container()
    return change_state(**answers), place
