"""Walk-throughs: the visitor's steps with captions, replayed here or in a page of their own."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import pandas as pd
import streamlit as st

from circuitscope_core.export import WalkStep, render_walk
from pages.ui.graph.experiments import canvas_changes
from pages.ui.graph.interventions import describe_step
from pages.ui.shared.address import read_address
from pages.ui.shared.component import opening_of
from pages.ui.shared.session import get_state, get_trail, go_to_stage
from pages.ui.shared.state import State
from pages.ui.shared.tracing import Shown, label_of, recent_views, show, tracing_of
from pages.ui.shared.walk import MOST_STEPS, Stage, read_walk, write_walk


def offer_walk() -> None:
    """Offer to make a walk-through of the steps that were taken."""
    if not st.toggle("Make a walk-through of my steps", key="graph_walk_make"):
        return  # the steps are read now: a click in the graph does not run this part again
    stops = get_trail().stops[-MOST_STEPS:]
    if len(stops) < 2:
        st.caption("Take some steps in the graph first: each click, pin and change is one.")
        return
    places = [dict(stop.place) for stop in stops]
    table = pd.DataFrame({"keep": [True] * len(places), "caption": captions_of(places)})
    edited = st.data_editor(
        table,
        hide_index=True,
        width="stretch",
        key=f"graph_walk_{len(stops)}",
        column_config={
            "keep": st.column_config.CheckboxColumn("Keep", width="small"),
            "caption": st.column_config.TextColumn("Caption", max_chars=240),
        },
    )
    stages = tuple(
        Stage(str(row.caption), tuple(sorted(place.items())))
        for row, place in zip(edited.itertuples(), places, strict=True)
        if row.keep
    )
    if st.button("Begin at its first step", key="graph_walk_begin", disabled=not stages):
        go_to_stage(write_walk(stages), 0)
        st.rerun()


def captions_of(places: list[dict[str, str]]) -> list[str]:
    """Return a caption for each place: what became other than at the place before."""
    states = [state_of(place) for place in places]
    found = [f"The graph of “{states[0].prompt}”"]
    for before, after in pairwise(states):
        found.append(describe_change(before, after))
    return found


def state_of(place: Mapping[str, str]) -> State:
    """Return the state that a place of the trail stands for."""
    return read_address(place)[0]


def describe_change(before: State, after: State) -> str:
    """Return the step from one state to another, as a sentence without a full stop."""
    if (before.prompt, before.model) != (after.prompt, after.model):
        return f"The graph of “{after.prompt}”"
    shown = show(tracing_of(after), after)
    if after.steps != before.steps:
        new = [step for step in after.steps if step not in before.steps]
        return describe_step(shown, new[-1]) if new else "The change is taken back"
    if after.pinned != before.pinned:
        added = [name for name in after.pinned if name not in before.pinned]
        return f"Pin {label_of(shown, added[0])}" if added else "Unpin a node"
    if after.selected != before.selected:
        story = shown.view.story
        selected = after.selected or (story.output if story else "")
        return f"Select {label_of(shown, selected)}" if selected else "Select nothing"
    changed = (name for name in CHANGES if getattr(after, name) != getattr(before, name))
    name = next(changed, None)
    return CHANGES[name].format(getattr(after, name)) if name else "Another view of the graph"


CHANGES = {
    "target": "Explain something else",
    "groups": "Group features into supernodes",
    "node_threshold": "Keep {:.0%} of the node score",
    "edge_threshold": "Keep {:.0%} of the edge influence",
    "view": "Look at the graph in another way",
    "places": "Move a tile",
    "unfolded": "Unfold a word",
}
"""Captions by the field that changed."""


def walk_page(walk: str) -> str:
    """Return a walk-through as one page that needs no server.

    It is written while the page is drawn: its graphs are asked for in the visitor's session.
    """
    key = ("walk", get_state().model, walk)
    stages = read_walk(walk) or ()
    return recent_views().get(key, lambda: render_walk([walk_step(stage) for stage in stages]))


def walk_step(stage: Stage) -> WalkStep:
    """Return one step with its graph, as an exported page needs it."""
    state = replace(state_of(dict(stage.address)), model=get_state().model)
    shown: Shown = show(tracing_of(state), state)
    changes = canvas_changes(shown, state)
    return WalkStep(stage.caption, shown.view, opening_of(state), changes)
