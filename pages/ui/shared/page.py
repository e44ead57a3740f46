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
from pages.ui.shared.style import PAGE, RAIL
from pages.ui.shared.text import plain


def begin_page(title: str) -> None:
    """Set a page up, so that it also works for a visitor who opens it before any other."""
    prepare_page(title)
    with st.container(horizontal=True, key="page_line"):
        st.title(title, width="stretch")
        choose_model()


def prepare_page(title: str, style: str = "") -> None:
    """Do all that comes before a page's own first line.

    Args:
        title: The page's name in the browser.
        style: A style sheet of the page's own.
    """
    st.set_page_config(page_title=f"{title} - CircuitScope", page_icon="🔬", layout="wide")
    follow_history()
    st.html(f"<style>{PAGE}{RAIL}{style}</style>")
    draw_menu()
    draw_settings()
    _, dropped = read_address(st.query_params.to_dict())
    if dropped:
        left_out = ", ".join(dropped)
        st.warning(f"The address has values that make no sense and were left out: {left_out}.")
    names, chosen = list_models(), get_state().model
    if chosen and names and chosen not in names:
        st.warning(plain(f"There is no model “{chosen}” here; “{names[0]}” is shown instead."))


def choose_model() -> None:
    """Let the visitor choose among the models."""
    names, chosen = list_models(), get_state().model
    if not names:
        st.caption("No model yet.", width="content")
        return
    if st.session_state.get("sidebar_model") not in names:
        st.session_state["sidebar_model"] = chosen if chosen in names else names[0]
    picked = st.selectbox(
        "Model", names, key="sidebar_model", width=170, label_visibility="collapsed"
    )
    change_state(model=picked)


def draw_settings() -> None:
    """Draw the choice of a device and the connection to Snowflake below the menu, where any is."""
    with st.sidebar, page_errors():
        choose_device()
        draw_connection()


@contextmanager
def page_errors() -> Iterator[None]:
    """Show the core's errors as the end of the page, with a link to Train if no model exists."""
    try:
        yield
    except cs.CircuitScopeError as error:
        draw_error(error)
        if not get_state().model:
            link_to("train", "Train a model")
