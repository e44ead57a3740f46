"""The canvas of the Graph page with the column beside it, which a click in it runs again."""

from dataclasses import replace

import streamlit as st
from streamlit.errors import StreamlitAPIException

from pages.ui.graph.canvas_events import apply_event, label_of_event, news
from pages.ui.graph.edge import draw_edge
from pages.ui.graph.feature_table import draw_table_tab
from pages.ui.graph.interventions import canvas_changes, draw_intervene_tab
from pages.ui.graph.labels import write_label
from pages.ui.graph.scores import describe_pinned
from pages.ui.graph.supernodes import groups_of_shown
from pages.ui.shared.component import draw_graph
from pages.ui.shared.session import (
    change_state,
    get_state,
    get_trail,
    settle_step,
    take_step,
    write_address,
)
from pages.ui.shared.state import State
from pages.ui.shared.tracing import Shown
from pages.ui.shared.trail import Relabel, redone, undone

STEPS_BACK = {"undo": undone, "redo": redone}
"""Events of the canvas that go along the trail."""


@st.fragment
def draw_canvas(shown: Shown, opening: State) -> None:
    """Draw the graph; a click runs only this part of the page again."""
    write_address(get_state())  # what was changed outside of the canvas is a step of its own
    with st.container(key="workbench"):
        told = tell_canvas(shown, get_state())
        changes = canvas_changes(shown, get_state())
        message = draw_graph(shown.text, opening, changes=changes, told=told)
        deal_with(shown, message)
        state = get_state()
        if tell_canvas(shown, state) != told:
            run_again()  # an event changed what the canvas shows beside the graph
        st.html(f"<style>.st-key-workbench {{ --side: {state.side}px }}</style>")
        if state.tab in TAB_BODIES:
            with st.container(key="workbench_side"):
                TAB_BODIES[state.tab](shown, state)


def run_again() -> None:
    """Run this part of the page again; where the whole page is running, all of it."""
    try:
        st.rerun(scope="fragment")
    except StreamlitAPIException:
        st.rerun()


def tell_canvas(shown: Shown, state: State) -> dict[str, object]:
    """Return what the canvas shows beside the graph: steps that can be undone, scores of pins."""
    trail = get_trail()
    return {
        "height": 0,
        "canUndo": trail.can_undo,
        "canRedo": trail.can_redo,
        "pinnedScores": describe_pinned(shown, state),
    }


def deal_with(shown: Shown, message: object) -> None:
    """Change the state as the canvas's events ask, and run again what they change elsewhere."""
    before = state = get_state()
    events = news(before, message)
    for event in events:
        state = apply_event(state, event, groups_of_shown(shown))
    if shown.view.story and state.selected == shown.view.story.output:
        state = replace(state, selected="")  # the graph opens so, with nothing in its address
    if state != before:
        change_state(**vars(state))
    if events and all(event.get("follows") for event in events):
        settle_step(state)
        return
    relabels = [write_label(shown, *label) for label in map(label_of_event, events) if label]
    for relabel in relabels or [None]:
        write_address(state, relabel)
    told = get_trail()
    for event in events:
        if event.get("event") in STEPS_BACK:
            go_along(shown, STEPS_BACK[str(event["event"])] is undone)
    redrawn = ("groups", "words", "unfolded")
    is_redrawn = any(getattr(state, name) != getattr(before, name) for name in redrawn)
    if get_trail() != told or relabels or is_redrawn:
        st.rerun()


def go_along(shown: Shown, back: bool) -> None:
    """Take the last step back, or the next one again, with the label that was written with it."""
    trail = get_trail()
    moved = undone(trail) if back else redone(trail)
    step = (trail if back else moved).stop
    if step is not None and step.relabel is not None and moved != trail:
        label: Relabel = step.relabel
        write_label(shown, label.layer, label.feature, label.before if back else label.after)
    take_step(moved)


TAB_BODIES = {
    "heads": draw_edge,
    "intervene": draw_intervene_tab,
    "table": draw_table_tab,
}
"""Tabs whose bodies the page draws, over the place that the canvas leaves for them."""
