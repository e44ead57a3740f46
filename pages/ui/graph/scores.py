"""How far the graph goes: its features, what goes past them, and scores of what is pinned."""

import streamlit as st

from circuitscope_core.glossary import FIGURES
from circuitscope_core.graph import AttributionGraph
from circuitscope_core.pipeline.transcoder_job import describe_layers
from pages.ui.shared.models import load_model
from pages.ui.shared.state import State
from pages.ui.shared.tracing import Shown, past_features, scores_of_pinned


def draw_reach(shown: Shown) -> None:
    """Say which features the graph has, what goes past them, and where the model ran."""
    graph = shown.pruned.graph
    sentences = [describe_features(graph)]
    shape = load_model(shown.tracing.model).transcoder.shape
    if shape.trained_layers is not None:  # scores are low by construction then
        sentences.append(describe_layers(shape.trained_layers, shape.n_layers))
    if share := share_past_features(shown):
        sentences.append(
            f"{share:.0%} of the outputs' input goes past the features, through skip connections: "
            "a linear part of each MLP, which is in the edges and which no feature stands for."
        )
    sentences.append(f"The model ran on {shown.tracing.model.device}.")
    st.caption(" ".join(sentences))


def describe_features(graph: AttributionGraph) -> str:
    """Return which of a prompt's features a graph has, as a sentence."""
    if graph.choice is not None:
        return f"The graph has {graph.n_features:,} neurons of the model."
    if graph.n_active_features <= graph.n_features:
        return f"The graph has all {graph.n_features:,} features that are active on the prompt."
    text = (
        f"The graph has {graph.n_features:,} of the {graph.n_active_features:,} features that are "
        "active on the prompt, those that do most"
    )
    if graph.rest is None:
        return f"{text}."
    return f"{text}; the others give {graph.rest_share:.0%} of the outputs' input."


def share_past_features(shown: Shown) -> float:
    """Return how much of the outputs' input goes past the features; 0 where nothing can."""
    graph = shown.pruned.graph
    outputs = tuple(graph.every_node[graph.logit_nodes].tolist())
    weights = graph.logit_weights[graph.logit_nodes].tolist()
    shares = past_features(shown, outputs)
    return float(sum(map(float.__mul__, weights, shares)) / sum(weights)) if any(shares) else 0.0


def describe_pinned(shown: Shown, state: State) -> str:
    """Return the scores of the pinned part alone, in words; empty where they say nothing."""
    if not state.pinned or shown.pruned.graph.choice is not None:
        return ""  # neurons make MLP outputs without an error
    scores = scores_of_pinned(shown, state.pinned)
    found = (
        (FIGURES["replacement_score"], scores.replacement),
        (FIGURES["completeness_score"], scores.completeness),
    )
    return " · ".join(f"{figure.name} {figure.write(value)}" for figure, value in found)
