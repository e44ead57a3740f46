"""Two graphs on shared axes, or many prompts and the features that work in them."""

import streamlit as st

from pages.ui.compare.graphs import (
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
from pages.ui.compare.matrix import draw_many
from pages.ui.compare.patched_difference import draw_change
from pages.ui.shared.models import model_key
from pages.ui.shared.page import begin_page, page_errors
from pages.ui.shared.session import get_state, write_address

WAYS = ("Two prompts", "Many prompts")


def draw_two() -> None:
    """Compare the present graph with another."""
    st.caption(
        "A is the graph of the Graph page. Compare it with that of another prompt or model: "
        "which nodes and edges both keep, which only one of them, and how strongly they changed."
    )
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
        draw_change(found)
        draw_nodes(found)
        draw_edges(found)


begin_page("Compare")
with page_errors():
    model_key(get_state().model)
    known = WAYS[1] if get_state().many else WAYS[0]
    way = st.segmented_control("Compare", WAYS, default=known, key="compare_way")
    if way == WAYS[1]:
        draw_many(get_state())
        write_address(get_state())
    else:
        draw_two()
