"""The canvas of the Graph page with the column beside it, which a click in it runs again."""

from dataclasses import replace

import streamlit as st
from streamlit.errors import StreamlitAPIException

from pages.ui.graph.canvas_events import Event, apply_event, label_of_event, news
from pages.ui.graph.edge import draw_edge
from pages.ui.graph.experiments import canvas_changes
from pages.ui.graph.feature_table import draw_table_tab
from pages.ui.graph.interventions import draw_intervene_tab
from pages.ui.graph.labels import write_label
from pages.ui.graph.scores import describe_pinned
from pages.ui.graph.supernodes import groups_of_shown
from pages.ui.shared.component import draw_graph
from pages.ui.shared.session import (
    change_state,
    get_state,
    get_trail,
    go_to_stage,
    settle_step,
    take_step,
    write_address,
)
from pages.ui.shared.state import State
from pages.ui.shared.tracing import Shown
from pages.ui.shared.trail import Relabel, redone, undone
from pages.ui.shared.walk import read_walk

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
        "walk": describe_walk(state),
    }


def describe_walk(state: State) -> dict[str, object] | None:
    """Return what the canvas shows of a walk-through; None where none is on."""
    stages = read_walk(state.walk) if state.walk else None
    if not stages:
        return None
    number = min(state.walk_step, len(stages) - 1)
    return {"caption": stages[number].caption, "number": number, "total": len(stages)}


def walk_on(state: State, by: object) -> None:
    """Go on in a walk-through, or end it where the step is 0."""
    if isinstance(by, int) and by:
        go_to_stage(state.walk, state.walk_step + (1 if by > 0 else -1))
    else:
        change_state(walk="", walk_step=0)


def deal_with(shown: Shown, message: object) -> None:
    """Change the state as the canvas's events ask, and run again what they change elsewhere."""
    before = get_state()
    changed_elsewhere = [deal_with_one(shown, event) for event in news(before, message)]
    state, redrawn = get_state(), ("groups", "words", "unfolded")
    is_redrawn = any(getattr(state, name) != getattr(before, name) for name in redrawn)
    if any(changed_elsewhere) or is_redrawn:
        st.rerun()


def deal_with_one(shown: Shown, event: Event) -> bool:
    """Change the state as one event asks; return whether the page beside the canvas changes.

    Events that come in one message are steps of their own, as if each had come by itself.
    """
    before = get_state()
    state = apply_event(before, event, groups_of_shown(shown))
    if shown.view.story and state.selected == shown.view.story.output:
        state = replace(state, selected="")  # the graph opens so, with nothing in its address
    if state != before:
        change_state(**vars(state))
    if event.get("follows"):
        settle_step(state)
        return False
    label = label_of_event(event)
    write_address(state, write_label(shown, *label) if label else None)
    if event.get("event") == "walk":
        walk_on(state, event.get("by"))
        return True
    told = get_trail()
    if event.get("event") in STEPS_BACK:
        go_along(shown, STEPS_BACK[str(event["event"])] is undone)
    return label is not None or get_trail() != told


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
