"""The Graph page's sliders, and the buttons that stand in one row with them."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.ui.graph.open_file import draw_opener
from pages.ui.graph.saved_views import draw_views
from pages.ui.shared.session import change_state
from pages.ui.shared.state import State


def ask_for_thresholds(state: State) -> tuple[State, DeltaGenerator]:
    """Let the visitor choose how much is shown; also returns the free place beside it."""
    questions = (
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
    answers = {}
    widths = [1.5, 1.5, 1.9, 1.15, 1.5, 1.5]
    places = st.columns(widths, gap="small", vertical_alignment="bottom")
    for place, (field, label, meaning) in zip(places, questions, strict=False):
        key = f"graph_{field}"
        st.session_state.setdefault(key, round(getattr(state, field), 2))
        own = field == "similarity" and state.grouping.groups is not None
        answers[field] = place.slider(
            label, 0.0, 1.0, step=0.01, key=key, help=meaning, disabled=own
        )
    with places[-3]:
        draw_views(state.model)
    with places[-2]:
        draw_opener("beside")
    return change_state(**answers), places[-1].container()
