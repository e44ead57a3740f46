"""The Graph page's parts: settings, canvas, scores, paths, table, downloads."""

from dataclasses import replace

import altair as alt
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.ui.events import (
    apply_event,
    keep_suggested,
    label_of_event,
    news,
    suggest_again,
    undo_grouping,
)
from pages.ui.graph_component import draw_graph
from pages.ui.grouping import Groups, groups_of
from pages.ui.intervening import canvas_changes, draw_intervening
from pages.ui.keeping import draw_views
from pages.ui.opening import draw_opener
from pages.ui.selected import draw_selected, write_label
from pages.ui.session import change_state, get_state, leave_graph, write_address
from pages.ui.state import State
from pages.ui.tracing import (
    Shown,
    look_at_head,
    look_inside,
    scores_of_pinned,
)

LIKENESS_TEXT = {
    "role": "what they do here",
    "decoders": "what they write",
}
MOST_PATHS = 10
"""Bars drawn for an edge; the table beside them has all."""


def ask_for_thresholds(state: State) -> tuple[State, DeltaGenerator]:
    """Let the visitor choose how much is shown; also returns the free place beside it."""
    questions = (
        (
            "node_threshold",
            "Node influence kept",
            "Keep the nodes that carry this share of all influence on the outputs.",
        ),
        (
            "edge_threshold",
            "Edge influence kept",
            "Then keep the edges that carry this share of the influence on edges.",
        ),
        (
            "similarity",
            "Similarity within supernodes",
            "Features at one token that are at least this similar are merged: alike in what they "
            "do here (what feeds them and what they feed), or in what they write.",
        ),
    )
    answers = {}
    widths = [1.8, 1.8, 1.8, 1.2, 1.3, 1.3]
    places = st.columns(widths, gap="small", vertical_alignment="bottom")
    for place, (field, label, meaning) in zip(places, questions, strict=False):
        key = f"graph_{field}"
        st.session_state.setdefault(key, round(getattr(state, field), 2))
        own = field == "similarity" and state.grouping.groups is not None
        answers[field] = place.slider(
            label, 0.0, 1.0, step=0.01, key=key, help=meaning, disabled=own
        )
    with places[-3]:
        draw_views(state.model)
    with places[-2]:
        draw_opener("beside")
    return change_state(**answers), places[-1].container()


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


def draw_grouping(shown: Shown, state: State) -> None:
    """Say whose supernodes these are, and offer to keep, undo or suggest them."""
    own, n = state.grouping.groups is not None, len(shown.supernodes.merged)
    changed = state
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(whose_groups(n, own), width="content")
        if not own:
            changed = replace(state, likeness=ask_for_likeness(state))
        if not own and n and st.button("Keep these", key="graph_keep_groups"):
            changed = keep_suggested(state, groups_of_shown(shown))
        if state.grouping.past and st.button("Undo", key="graph_undo_groups"):
            changed = undo_grouping(state)
        if own and st.button("Suggest again", key="graph_suggest_groups"):
            changed = suggest_again(state)
    if changed != state:
        change_state(**vars(changed))
        st.rerun()


def ask_for_likeness(state: State) -> str:
    """Let the visitor choose what features of a suggested supernode have in common."""
    picked = st.segmented_control(
        "Alike in",
        tuple(LIKENESS_TEXT),
        default=state.likeness,
        format_func=LIKENESS_TEXT.__getitem__,
        key=f"graph_likeness_{state.likeness}",
        label_visibility="collapsed",
    )
    return picked or state.likeness


def whose_groups(n: int, own: bool) -> str:
    """Return how many supernodes there are and who made them."""
    count = f"{n or 'No'} supernode{'' if n == 1 else 's'}"
    if own:
        return f"{count} of your own"
    if n:
        return f"{count} suggested: features alike in"
    return "No supernodes at this similarity: features alike in"


def groups_of_shown(shown: Shown) -> Groups:
    """Return the supernodes on the canvas."""
    return groups_of(shown.pruned, shown.supernodes)


def draw_pinned_scores(shown: Shown, state: State) -> None:
    """Draw how much of the prediction the pinned part explains by itself."""
    if not state.pinned:
        return
    scores = scores_of_pinned(shown, state.pinned)
    left, middle, right = st.columns([1, 1, 2], vertical_alignment="bottom")
    left.metric("Replacement score, pinned", f"{scores.replacement:.2f}")
    middle.metric("Completeness score, pinned", f"{scores.completeness:.2f}")
    right.caption(
        f"Of the {len(state.pinned)} pinned nodes alone: features that are not pinned count as "
        "errors. Tokens always count as explained."
    )


def draw_target(state: State) -> None:
    """Say where the graph explains a feature, and lead back to the next token."""
    if state.target != "feature":
        return
    layer, position, number = state.feature.split(".")
    left, right = st.columns([4, 1.3], vertical_alignment="center")
    left.info(
        f"This graph explains why feature {number} of layer {layer} is active at token {position}."
    )
    if right.button("Explain the next token", key="graph_explain_output", width="stretch"):
        leave_graph(target="automatic")
        st.rerun()


def draw_edge(shown: Shown, edge: tuple[str, ...]) -> None:
    """Draw which attention heads carried the edge that was clicked."""
    found = look_inside(shown, edge)
    if found is None:
        return
    pictures = (shown.view.full, shown.view.groups or shown.view.full)
    nodes = {node.id: node for picture in pictures for node in picture.nodes}
    source, target = (nodes[name] for name in edge)
    with st.container(border=True):
        st.subheader("Inside the edge: the heads that carried it")
        st.caption(
            "At every layer in between, the signal stayed at its token or went through one of the "
            "attention heads, written layer.head. These ways add up to the edge, exactly."
        )
        st.text(
            f"{source.label} ({source.detail})  →  {target.label} ({target.detail})\n"
            f"weight {found.weight:+.4f}"
            + (f", {found.rest:+.4f} of it along ways not listed" if abs(found.rest) > 1e-4 else "")
        )
        frame = pd.DataFrame([vars(path) for path in found.paths])
        if frame.empty:
            st.info("Nothing flows along this edge.")
            return
        right = st.container()
        if len(frame) > 1:
            left, right = st.columns([3, 2], gap="medium")
            left.altair_chart(chart_of_paths(frame.head(MOST_PATHS)), width="stretch")
        right.dataframe(
            frame,
            hide_index=True,
            width="stretch",
            key="graph_edge_paths",
            column_config={
                "text": "Way",
                "weight": st.column_config.NumberColumn("Weight", format="%+.4f"),
                "share": st.column_config.NumberColumn("Share", format="percent"),
            },
        )
        if found.single_heads:
            draw_head(shown, edge, found.single_heads)


def chart_of_paths(frame: pd.DataFrame) -> alt.Chart:
    """Return the ways' weights as bars, coloured by sign as in the graph."""
    weight = alt.X("weight:Q", title="Weight")
    sign = alt.condition("datum.weight < 0", alt.value("#9970ab"), alt.value("#5aae61"))
    way = alt.Y("text:N", title=None, sort=None, axis=alt.Axis(labelLimit=220))
    bars = alt.Chart(frame).mark_bar().encode(x=weight, y=way, color=sign)
    return bars.properties(height=60 + 26 * len(frame))


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
    st.dataframe(
        pd.DataFrame([vars(row) for row in found.rows]),
        hide_index=True,
        width="stretch",
        key="graph_head_pairs",
        column_config={
            "query": "In the query (it attends)",
            "key": "In the key (it is attended to)",
            "weight": st.column_config.NumberColumn("Adds to the score", format="%+.3f"),
        },
    )


def draw_scores(shown: Shown) -> None:
    """Draw how far the graph can be trusted."""
    scores, pruned = shown.scores, shown.pruned
    graph = pruned.graph
    one, two, three, four = st.columns(4)
    one.metric("Replacement score", f"{scores.replacement:.2f}")
    one.caption("Share of the influence that starts at tokens rather than at errors.")
    two.metric("Completeness score", f"{scores.completeness:.2f}")
    two.caption("Share of a node's input that features and tokens explain, not errors.")
    three.metric("Nodes kept", f"{pruned.n_nodes:,}")
    features = f"{graph.n_active_features:,} features are active on the prompt"
    if graph.n_active_features > graph.n_features:
        features = (
            f"the {graph.n_features:,} most influential features of {graph.n_active_features:,}"
        )
    three.caption(f"Of {graph.n_nodes:,}; {features}.")
    four.metric("Edges kept", f"{pruned.n_edges:,}")
    groups = len(shown.supernodes.merged)
    four.caption(f"Of {graph.n_edges:,}; {groups} supernodes group similar features.")


def draw_details(shown: Shown) -> None:
    """Draw the strongest paths as text, and the kept features as a table."""
    st.subheader("Strongest paths")
    st.caption(
        "Each step's sign and share of its target's kept input. The first number is the part of "
        "the outputs' influence that flows along the whole path."
    )
    lines = (f"{path.strength:6.2%}  {path.text}" for path in shown.view.paths)
    st.code("\n".join(lines), language=None, wrap_lines=True)
