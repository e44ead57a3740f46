"""Actions on one model of the list: use it, check it, remove it."""

from collections.abc import Sequence

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.values import in_bytes
from pages.ui.models.removal import ASKED, confirm_removal
from pages.ui.shared import models
from pages.ui.shared.device import chosen_device
from pages.ui.shared.errors import draw_error
from pages.ui.shared.session import get_state
from pages.ui.shared.text import plain


def draw_actions(found: Sequence[cs.ListedModel]) -> None:
    """Let the visitor choose a model, and what is done with it."""
    by_name = {model.name: model for model in found}
    names = list(by_name)
    st.session_state.setdefault("models_chosen", get_state().model or names[0])
    if st.session_state["models_chosen"] not in names:
        st.session_state["models_chosen"] = names[0]
    place, use, check, remove, _ = st.columns([3, 1.3, 1.3, 1.3, 4], vertical_alignment="bottom")
    model = by_name[place.selectbox("With the model", names, key="models_chosen")]
    use.button(
        "Use it",
        key="models_use",
        icon=":material/check:",
        width="stretch",
        disabled=model.name == get_state().model,
        help="Choose it in the sidebar: all pages then show it.",
        on_click=st.session_state.update,
        args=({"sidebar_model": model.name},),
    )
    if check.button(
        "Check",
        key="models_check",
        icon=":material/fact_check:",
        width="stretch",
        help="Open it, and hold it against itself and its transcoder.",
    ):
        check_model(model)
    remove.button(
        "Remove",
        key="models_remove",
        icon=":material/delete:",
        width="stretch",
        disabled=model.kind == "trained",
        help="A trained model has its weights in its own folder and nowhere else: delete the "
        "folder yourself."
        if model.kind == "trained"
        else "Take it off the list; its weights stay where they are.",
        on_click=st.session_state.update,
        args=({ASKED: model.name},),
    )
    if st.session_state.get(ASKED) == model.name:
        confirm_removal(model)


def check_model(model: cs.ListedModel) -> None:
    """Open a model and say what was found, or what is wrong."""
    with st.spinner(f"Opening the model ({in_bytes(model.n_bytes)}) …"):
        try:
            found = cs.check_added(model.name, models.MODELS, device=chosen_device())
        except cs.CircuitScopeError as error:
            draw_error(error)
            return
    st.success(plain(found.describe()))
