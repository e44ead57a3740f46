"""Removing a model that was added, asked for twice."""

import streamlit as st

import circuitscope_core as cs
from pages.ui.shared import models
from pages.ui.shared.session import change_state, get_state
from pages.ui.shared.text import plain

ASKED = "models_remove_asked"
"""The model whose removal waits for a confirmation, in the session."""


def confirm_removal(model: cs.ListedModel) -> None:
    """Ask once more, then take a model off the list."""
    st.warning(plain(f"Take “{model.name}” off the list? Its weights stay in {model.source}."))
    yes, no, _ = st.columns([1.3, 1.3, 8])
    no.button("Keep it", key="models_keep", on_click=st.session_state.pop, args=(ASKED,))
    if yes.button("Remove it", key="models_remove_now", type="primary"):
        st.session_state.pop(ASKED)
        cs.remove_model(model.name, models.MODELS)
        if get_state().model == model.name:
            change_state(model="")
        st.rerun()
