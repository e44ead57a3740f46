"""The heads inside the edge that was clicked, and why one of them attended."""

from collections.abc import Sequence

import altair as alt
import pandas as pd
import streamlit as st

from circuitscope_core.attribution import LinkPath
from pages.ui.shared.state import State
from pages.ui.shared.tables import Columns, draw_table, number
from pages.ui.shared.tracing import Shown, look_at_head, look_inside

MOST_PATHS = 10
"""Bars drawn for an edge; the table beside them has all."""


def draw_edge(shown: Shown, state: State) -> None:
    """Draw the heads that carried the edge that was clicked, or the strongest of a node."""
    edge = state.edge or strongest_edge(shown, state)
    found = look_inside(shown, edge)
    if found is None:
        st.caption("Select a node that something feeds, or click an edge, to see its heads.")
        return
    pictures = (shown.view.full, shown.view.groups or shown.view.full)
    nodes = {node.id: node for picture in pictures for node in picture.nodes}
    source, target = (nodes[name] for name in edge)
    st.header("Inside the edge: the heads that carried it")
    st.text(
        f"{source.label} ({source.detail})  →  {target.label} ({target.detail})\n"
        f"weight {found.weight:+.4f}"
        + (f", {found.rest:+.4f} of it along ways not listed" if abs(found.rest) > 1e-4 else "")
    )
    st.caption(
        "At every layer in between, the signal stayed at its token or went through one of the "
        "attention heads, written layer.head. These ways add up to the edge, exactly."
    )
    if not found.paths:
        st.info("Nothing flows along this edge.")
        return
    if len(found.paths) > 1:
        st.altair_chart(chart_of_paths(found.paths[:MOST_PATHS]), width="stretch")
    columns: Columns = {
        "text": "Way",
        "weight": number("Weight", "%+.4f"),
        "share": number("Share", "percent"),
    }
    draw_table(found.paths, columns, key="graph_edge_paths")
    if found.single_heads:
        draw_head(shown, edge, found.single_heads)


def strongest_edge(shown: Shown, state: State) -> tuple[str, ...]:
    """Return the strongest edge from another token into the selected node, else of any token.

    Where nothing is selected, the output of the graph's story is.
    """
    story = shown.view.story
    selected = state.selected or (story.output if story else "")
    for picture in (shown.view.full, shown.view.groups or shown.view.full):
        names = [node.id for node in picture.nodes]
        if selected not in names:
            continue
        target = names.index(selected)
        into = [e for e in (*picture.others, *picture.edges) if e.target == target]
        place = picture.nodes[target].position
        crossing = [e for e in into if picture.nodes[e.source].position != place]
        best = max(crossing or into, key=lambda edge: abs(edge.share), default=None)
        return (names[best.source], selected) if best else ()
    return ()


def chart_of_paths(paths: Sequence[LinkPath]) -> alt.Chart:
    """Return the ways' weights as bars, coloured by sign as in the graph."""
    frame = pd.DataFrame([vars(path) for path in paths])
    weight = alt.X("weight:Q", title="Weight")
    sign = alt.condition("datum.weight < 0", alt.value("#9970ab"), alt.value("#5aae61"))
    way = alt.Y("text:N", title=None, sort=None, axis=alt.Axis(labelLimit=220))
    bars = alt.Chart(frame).mark_bar().encode(x=weight, y=way, color=sign)
    chart: alt.Chart = bars.properties(height=60 + 26 * len(frame))
    return chart


def draw_head(shown: Shown, edge: tuple[str, ...], heads: tuple[tuple[int, int], ...]) -> None:
    """Draw why one of an edge's heads attended."""
    names = {f"{layer}.{head}": (layer, head) for layer, head in heads}
    name = st.selectbox(
        "Why did this head attend?", list(names), key=f"graph_head_{'_'.join(edge)}"
    )
    found = look_at_head(shown, edge, names[name])
    st.caption(
        f"Head {name} gives {found.attention:.1%} of its attention to the edge’s source token. Its "
        f"score, {found.score:+.2f} before the softmax, is a sum over pairs of what the query and "
        f"the key were made of; the pairs not listed add {found.rest:+.2f}."
    )
    columns: Columns = {
        "query": "In the query (it attends)",
        "key": "In the key (it is attended to)",
        "weight": number("Adds to the score", "%+.3f"),
    }
    draw_table(found.rows, columns, key="graph_head_pairs")
