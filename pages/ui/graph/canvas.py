"""The canvas of the Graph page, and the parts that a click in it runs again."""

import streamlit as st

from pages.ui.graph.canvas_events import apply_event, label_of_event, news
from pages.ui.graph.edge import draw_edge
from pages.ui.graph.interventions import canvas_changes, draw_intervening
from pages.ui.graph.scores import draw_pinned_scores
from pages.ui.graph.selected_node import draw_selected, write_label
from pages.ui.graph.supernodes import draw_grouping, groups_of_shown
from pages.ui.shared.component import draw_graph
from pages.ui.shared.session import change_state, get_state, write_address
from pages.ui.shared.state import State
from pages.ui.shared.tracing import Shown


@st.fragment
def draw_canvas(shown: Shown, opening: State) -> None:
    """Draw the graph; a click runs only this part of the page again."""
    above = st.container()
    message = draw_graph(shown.text, opening, changes=canvas_changes(shown, get_state()))
    before = state = get_state()
    events = news(before, message)
    for event in events:
        state = apply_event(state, event, groups_of_shown(shown))
    if state != before:
        change_state(**vars(state))
    labels = [label for label in map(label_of_event, events) if label]
    for label in labels:
        write_label(shown, *label)
    if labels or state.grouping != before.grouping:
        st.rerun()
    write_address(state)
    with above:
        draw_grouping(shown, state)
    draw_pinned_scores(shown, state)
    draw_edge(shown, state.edge)
    draw_selected(shown, state.selected)
    draw_intervening(shown, state)
