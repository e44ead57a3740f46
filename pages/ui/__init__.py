"""What every page needs first."""

import streamlit as st

from pages.ui.address import read_address
from pages.ui.connection import draw_connection
from pages.ui.links import draw_menu
from pages.ui.models import list_models
from pages.ui.session import change_state, get_state
from pages.ui.text import plain

STYLE = """
.stMainBlockContainer { padding: 3.4rem 2.2rem 2rem; }
.stMainBlockContainer h1 { font-size: 1.75rem; padding: 0.25rem 0; }
.stMainBlockContainer h3 { font-size: 1.2rem; }
"""
"""What the theme's settings cannot say: a graph needs the width of the page."""


def begin_page(title: str) -> None:
    """Set a page up, so that it also works for a visitor who opens it before any other."""
    st.set_page_config(page_title=f"{title} - CircuitScope", page_icon="🔬", layout="wide")
    state = get_state()
    st.html(f"<style>{STYLE}</style>")
    _, dropped = read_address(st.query_params.to_dict())
    if dropped:
        st.warning(f"The address has values that make no sense and were left out: {dropped}.")
    draw_menu()
    choose_model(state.model)
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
    picked = st.sidebar.selectbox("Model", names, index=names.index(chosen), key="sidebar_model")
    change_state(model=picked)
