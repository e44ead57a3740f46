"""The graph of a prompt, what caused its next token, or the graph of a file: one screen."""

import streamlit as st

import circuitscope_core as cs
from pages.ui.graph.canvas import draw_canvas
from pages.ui.graph.downloads import draw_downloads
from pages.ui.graph.open_file import draw_opened, draw_opener, opened_file
from pages.ui.graph.saved_views import draw_older_notes, draw_views
from pages.ui.graph.supernodes import draw_grouping
from pages.ui.graph.thresholds import ask_for_thresholds
from pages.ui.graph.top_line import ask_for_prompt_line, offer_target
from pages.ui.shared.errors import draw_error
from pages.ui.shared.long_work import show_with_steps
from pages.ui.shared.menu import link_to
from pages.ui.shared.page import choose_model, prepare_page
from pages.ui.shared.session import get_state, show_demo
from pages.ui.shared.style import WORKBENCH
from pages.ui.shared.tracing import tracing_of


def draw_graph_of_prompt() -> None:
    """Draw everything about the prompt's graph."""
    with st.container(horizontal=True, key="graph_top"):
        ask_for_prompt_line()
        choose_model()
        offer_target()
        state, below_sliders = ask_for_thresholds(get_state())
        draw_views(state.model)
        draw_opener("beside")
        downloads = st.container(width="content")
    with st.container(key="graph_notes"):
        draw_older_notes(state.model)
        shown = show_with_steps(tracing_of(state), state)
    with downloads:
        draw_downloads(shown)
    with below_sliders:
        draw_grouping(shown, state)
    draw_canvas(shown, state)


def draw_ways_out() -> None:
    """Offer ways out if the prompt has no graph."""
    with st.container(horizontal=True, key="graph_ways_out"):
        if get_state().model:
            if st.button("Show the demo graph", key="graph_demo"):
                show_demo()
                st.rerun()
            link_to("prompt", "Change the prompt")
        else:
            link_to("train", "Train a model")


prepare_page("Graph", WORKBENCH)
with st.container(key="graph_title"):
    st.title("Graph")
opened = opened_file()
try:
    if opened:
        draw_opened(opened)
    else:
        draw_graph_of_prompt()
except cs.CircuitScopeError as error:
    draw_error(error)
    draw_ways_out()
