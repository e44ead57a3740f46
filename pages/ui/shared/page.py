"""The frame that all pages share: their set-up at the top, and the errors that end them."""

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

import circuitscope_core as cs
from pages.ui.shared.address import read_address
from pages.ui.shared.device import choose_device
from pages.ui.shared.errors import draw_error
from pages.ui.shared.menu import draw_menu, link_to
from pages.ui.shared.models import list_models
from pages.ui.shared.session import change_state, follow_history, get_state
from pages.ui.shared.snowflake import draw_connection
from pages.ui.shared.text import plain

STYLE = """
.stMainBlockContainer { padding: 3.4rem 2.2rem 2rem; }
.stMainBlockContainer h1 { font-size: 1.75rem; padding: 0.25rem 0; }
.stMainBlockContainer h3 { font-size: 1.2rem; }
"""
"""Layout that the theme's settings cannot express: a graph needs the width of the page."""


def begin_page(title: str) -> None:
    """Set a page up, so that it also works for a visitor who opens it before any other."""
    st.set_page_config(page_title=f"{title} - CircuitScope", page_icon="🔬", layout="wide")
    follow_history()
    state = get_state()
    st.html(f"<style>{STYLE}</style>")
    _, dropped = read_address(st.query_params.to_dict())
    if dropped:
        names = ", ".join(dropped)
        st.warning(f"The address has values that make no sense and were left out: {names}.")
    draw_menu()
    choose_model(state.model)
    with page_errors():
        choose_device()
    draw_connection()
    st.title(title)


def choose_model(chosen: str) -> None:
    """Let the visitor choose among the trained models, in the sidebar."""
    names = list_models()
    if not names:
        st.sidebar.caption("No model yet.")
        return
    if chosen not in names:
        if chosen:
            st.warning(plain(f"There is no model “{chosen}” here; “{names[0]}” is shown instead."))
        chosen = names[0]
    if st.session_state.get("sidebar_model") not in names:
        st.session_state["sidebar_model"] = chosen
    picked = st.sidebar.selectbox("Model", names, key="sidebar_model")
    change_state(model=picked)


@contextmanager
def page_errors() -> Iterator[None]:
    """Show the core's errors as the end of the page, with a link to Train if no model exists."""
    try:
        yield
    except cs.CircuitScopeError as error:
        draw_error(error)
        if not get_state().model:
            link_to("train", "Train a model")
