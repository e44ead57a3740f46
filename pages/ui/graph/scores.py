"""Scores, target and strongest paths of the graph, and scores of what is pinned."""

import streamlit as st

from circuitscope_core.glossary import FIGURES
from circuitscope_core.pipeline.transcoder_job import describe_layers
from circuitscope_core.view.facts import trust_in
from pages.ui.shared.models import load_model
from pages.ui.shared.session import leave_graph
from pages.ui.shared.state import State
from pages.ui.shared.tracing import Shown, past_features, scores_of_pinned


def draw_target(state: State) -> None:
    """Name the feature that the graph explains, and lead back to the next token."""
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


def draw_scores(shown: Shown) -> None:
    """Draw the graph's scores and sizes."""
    pruned = shown.pruned
    graph = pruned.graph
    one, two, three, four = st.columns(4)
    for place, fact in zip((one, two), trust_in(graph), strict=True):
        place.metric(fact.name, fact.value)
        place.caption(fact.meaning)
    three.metric("Nodes kept", f"{pruned.n_nodes:,}")
    features = f"{graph.n_active_features:,} features are active on the prompt"
    if graph.choice is not None:
        features = f"{graph.n_features:,} neurons"
    if graph.n_active_features > graph.n_features:
        features = (
            f"the {graph.n_features:,} most influential features of {graph.n_active_features:,}"
        )
        if graph.rest is not None:
            features += f" (the others give {graph.rest_share:.0%} of the outputs' input)"
    three.caption(f"Of {graph.n_nodes:,}; {features}.")
    four.metric("Edges kept", f"{pruned.n_edges:,}")
    groups = len(shown.supernodes.merged)
    four.caption(f"Of {graph.n_edges:,}; {groups} supernodes group similar features.")
    draw_untrained(shown)
    draw_skipped(shown)
    st.caption(f"The model ran on {shown.tracing.model.device}.")


def draw_untrained(shown: Shown) -> None:
    """Say which layers have features, where not all have: scores are low by construction then."""
    shape = load_model(shown.tracing.model).transcoder.shape
    if shape.trained_layers is not None:
        st.caption(describe_layers(shape.trained_layers, shape.n_layers))


def draw_skipped(shown: Shown) -> None:
    """Say how much of the outputs' input goes past the features, where a part can."""
    graph = shown.pruned.graph
    outputs = tuple(graph.every_node[graph.logit_nodes].tolist())
    weights = graph.logit_weights[graph.logit_nodes].tolist()
    shares = past_features(shown, outputs)
    if not any(shares):
        return
    share = sum(map(float.__mul__, weights, shares)) / sum(weights)
    st.caption(
        f"{share:.0%} of the outputs' input goes past the features, through skip connections: a "
        "linear part of each MLP, which is in the edges and which no feature stands for."
    )


def draw_details(shown: Shown) -> None:
    """Draw the strongest paths as text, and the kept features as a table."""
    st.subheader("Strongest paths")
    st.caption(
        "Each step's sign and share of its target's kept input. The first number is the part of "
        "the outputs' influence that flows along the whole path."
    )
    lines = (f"{path.strength:6.2%}  {path.text}" for path in shown.view.paths)
    st.code("\n".join(lines), language=None, wrap_lines=True)


def draw_pinned_scores(shown: Shown, state: State) -> None:
    """Draw the scores of the pinned part alone."""
    if not state.pinned or shown.pruned.graph.choice is not None:
        return  # of neurons these scores say nothing
    scores = scores_of_pinned(shown, state.pinned)
    left, middle, right = st.columns([1, 1, 2], vertical_alignment="bottom")
    for place, figure, value in (
        (left, FIGURES["replacement_score"], scores.replacement),
        (middle, FIGURES["completeness_score"], scores.completeness),
    ):
        place.metric(f"{figure.name}, pinned", figure.write(value), help=figure.meaning)
    right.caption(
        f"Of the {len(state.pinned)} pinned nodes alone: features that are not pinned count as "
        "errors. Tokens always count as explained."
    )
