"""Supernodes on the Graph page: whose they are, and the ways to keep or change them."""

from dataclasses import replace

import streamlit as st

from circuitscope_core.config import Likeness
from circuitscope_core.supernodes import LIKENESSES
from pages.ui.graph.canvas_events import regroup
from pages.ui.shared.groups import Groups, groups_of
from pages.ui.shared.session import change_state
from pages.ui.shared.state import State
from pages.ui.shared.tracing import Shown

LIKENESS_TEXT = {
    "role": "what they do here",
    "decoders": "what they write",
}


def draw_grouping(shown: Shown, state: State) -> None:
    """Say whose supernodes these are, and offer to keep them or suggest others."""
    own, n = state.groups is not None, len(shown.supernodes.merged)
    changed = state
    st.caption(whose_groups(n, own))
    if not own:
        changed = replace(state, likeness=ask_for_likeness(state))
    if not own and n and st.button("Keep these", key="graph_keep_groups"):
        changed = regroup(state, groups_of_shown(shown))
    if own and st.button("Suggest again", key="graph_suggest_groups"):
        changed = regroup(state, None)
    if changed != state:
        change_state(**vars(changed))
        st.rerun()


def ask_for_likeness(state: State) -> Likeness:
    """Let the visitor choose what features of a suggested supernode have in common."""
    picked = st.segmented_control(
        "Alike in",
        tuple(LIKENESS_TEXT),
        default=state.likeness,
        format_func=LIKENESS_TEXT.__getitem__,
        key=f"graph_likeness_{state.likeness}",
        label_visibility="collapsed",
    )
    return LIKENESSES[LIKENESSES.index(picked)] if picked else state.likeness


def whose_groups(n: int, own: bool) -> str:
    """Return the number of supernodes and who made them."""
    count = f"{n or 'No'} supernode{'' if n == 1 else 's'}"
    if own:
        return f"{count} of your own"
    if n:
        return f"{count} suggested: features alike in"
    return "No supernodes at this similarity: features alike in"


def groups_of_shown(shown: Shown) -> Groups:
    """Return the supernodes on the canvas."""
    return groups_of(shown.pruned, shown.supernodes)
