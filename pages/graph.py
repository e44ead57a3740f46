"""The graph of a prompt, what caused its next token, or the graph of a file."""

import streamlit as st

import circuitscope_core as cs
from pages.ui.graph.canvas import draw_canvas
from pages.ui.graph.downloads import draw_downloads
from pages.ui.graph.feature_table import draw_features
from pages.ui.graph.open_file import draw_opened, draw_opener, opened_file
from pages.ui.graph.patching import draw_patching
from pages.ui.graph.saved_views import draw_older_notes
from pages.ui.graph.scores import draw_details, draw_scores, draw_target
from pages.ui.graph.thresholds import ask_for_thresholds
from pages.ui.shared.errors import draw_error
from pages.ui.shared.menu import link_to
from pages.ui.shared.page import begin_page
from pages.ui.shared.session import get_state, show_demo
from pages.ui.shared.tracing import show, tracing_of


def draw_graph_of_prompt() -> None:
    """Draw everything about the prompt's graph."""
    tracing = tracing_of(get_state())
    state, place = ask_for_thresholds(get_state())
    with st.spinner("Building the graph …"):
        shown = show(tracing, state)
    with place:
        draw_downloads(shown)
    draw_older_notes(state.model)
    draw_target(state)
    draw_canvas(shown, state)
    draw_patching(shown)
    draw_scores(shown)
    draw_details(shown)
    draw_features(shown)


def draw_ways_out() -> None:
    """Offer ways out if the prompt has no graph."""
    if get_state().model:
        if st.button("Show the demo graph", key="graph_demo"):
            show_demo()
            st.rerun()
        link_to("prompt", "Change the prompt")
    else:
        link_to("train", "Train a model")
    draw_opener("below")


begin_page("Graph")
opened = opened_file()
try:
    if opened:
        draw_opened(opened)
    else:
        draw_graph_of_prompt()
except cs.CircuitScopeError as error:
    draw_error(error)
    draw_ways_out()
