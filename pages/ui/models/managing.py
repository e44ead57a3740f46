"""Actions on one model of the list: use it, check it, rename it, remove it."""

from collections.abc import Sequence

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.values import in_bytes
from pages.ui.models.removal import (
    ASKED,
    RENAMED,
    ask_for_new_name,
    confirm_removal,
    may_change,
)
from pages.ui.shared import models
from pages.ui.shared.device import chosen_device
from pages.ui.shared.errors import draw_error
from pages.ui.shared.session import get_state
from pages.ui.shared.text import plain


def draw_actions(found: Sequence[cs.ListedModel]) -> None:
    """Let the visitor choose a model, and what is done with it."""
    by_name = {model.name: model for model in found}
    names = list(by_name)
    if next_one := st.session_state.pop("models_chosen_next", ""):
        st.session_state["models_chosen"] = next_one
    st.session_state.setdefault("models_chosen", get_state().model or names[0])
    if st.session_state["models_chosen"] not in names:
        st.session_state["models_chosen"] = names[0]
    widths = [3, 1.3, 1.3, 1.4, 1.4, 2]
    chosen, use, check, other, remove, _ = st.columns(widths, vertical_alignment="bottom")
    model = by_name[chosen.selectbox("With the model", names, key="models_chosen")]
    use.button(
        "Use it",
        key="models_use",
        icon=":material/check:",
        width="stretch",
        disabled=model.name == get_state().model,
        help="Choose it: all pages then show it.",
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
    own = may_change(model.name)
    why = "It comes with the app." if not own else ""
    for place, label, key, icon, asked, said in (
        (other, "Rename", "models_rename", "edit", RENAMED, "Labels and views follow it."),
        (remove, "Remove", "models_remove", "delete", ASKED, "Move it into the bin."),
    ):
        place.button(
            label,
            key=key,
            icon=f":material/{icon}:",
            width="stretch",
            disabled=not own,
            help=why or said,
            on_click=st.session_state.update,
            args=({asked: model.name},),
        )
    if st.session_state.get(ASKED) == model.name:
        confirm_removal(model)
    if st.session_state.get(RENAMED) == model.name:
        ask_for_new_name(model)


def check_model(model: cs.ListedModel) -> None:
    """Open a model and say what was found, or what is wrong."""
    with st.spinner(f"Opening the model ({in_bytes(model.n_bytes)}) …"):
        try:
            found = cs.check_added(model.name, models.MODELS, device=chosen_device())
        except cs.CircuitScopeError as error:
            draw_error(error)
            return
    st.success(plain(found.describe()))
