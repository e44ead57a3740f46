"""Errors of the core, as every page shows them."""

import streamlit as st

import circuitscope_core as cs
from pages.ui.shared.text import plain


def draw_error(error: cs.CircuitScopeError) -> None:
    """Show an error in the core's own words, none of which count as Markdown."""
    st.error(plain(str(error)))
