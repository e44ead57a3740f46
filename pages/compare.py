"""Two graphs on shared axes: what is in both, what in one alone, what changed."""

import streamlit as st

import circuitscope_core as cs
from pages.ui import begin_page
from pages.ui.compare_graphs import (
    ask_for_other,
    compare,
    draw_canvas,
    draw_counts,
    draw_edges,
    draw_likely,
    draw_nodes,
    draw_present,
    other_of,
    swap,
)
from pages.ui.links import link_to
from pages.ui.models import model_key
from pages.ui.session import get_state, write_address
from pages.ui.text import plain

begin_page("Compare")
st.caption(
    "A is the graph of the Graph page. Compare it with that of another prompt or another model: "
    "which nodes and edges both keep, which only one of them, and how strongly they changed."
)
try:
    model_key(get_state().model)
    left, middle, right = st.columns([7, 1.3, 7])
    with left:
        draw_present(get_state())
    with right:
        state = ask_for_other(get_state())
    write_address(state)
    middle.button("Swap", key="compare_swap", on_click=swap, help="Make B the present graph.")
    with left:
        draw_likely("A", state)
    with right:
        draw_likely("B", other_of(state))
    with st.spinner("Comparing the graphs …"):
        found = compare(state)
    if found.is_same:
        st.info("The two graphs are the same. Give B another prompt or another model.")
    else:
        draw_counts(found, state)
        draw_canvas(found)
        draw_nodes(found)
        draw_edges(found)
except cs.CircuitScopeError as error:
    st.error(plain(str(error)))
    if not get_state().model:
        link_to("train", "Train a model")
