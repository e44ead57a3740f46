"""Questions about the selected node: the model without it, its likes, its activity on a text."""

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.feature_cards import Trial
from pages.ui.shared.component import draw_tokens
from pages.ui.shared.errors import draw_error
from pages.ui.shared.notes import cards_of
from pages.ui.shared.session import leave_graph
from pages.ui.shared.state import State
from pages.ui.shared.tables import Columns, draw_table, number, words
from pages.ui.shared.text import one_line, plain
from pages.ui.shared.tracing import (
    Shown,
    effects_alone,
    label_of,
    members_of,
    name_feature,
    past_features,
    similar_to,
    switch_off,
    try_on,
)

LONGEST_NAME = 60
"""Characters of a node's name in a heading."""


def selected_of(shown: Shown, state: State) -> str:
    """Return the selected node; where none is, the one that the graph's story names."""
    story = shown.view.story
    return state.selected or (story.source if story else "")


def draw_check(shown: Shown, selected: str) -> None:
    """Draw the effect of switching a node off, and offer to explain a feature."""
    name = name_feature(shown, selected)
    neurons = shown.pruned.graph.choice is not None
    if neurons and name:
        draw_alone(shown, selected)
    draw_ablation(shown, selected)
    if not name:
        return
    draw_skipped(shown, selected)
    offer_explanation(name, "neuron" if neurons else "feature")


def draw_alone(shown: Shown, selected: str) -> None:
    """Say how much the answer loses without the selected neuron alone."""
    (node,) = members_of(shown, selected)
    try:
        effect = float(effects_alone(shown)[node])
    except cs.CircuitScopeError:
        return  # the target is no token
    target = plain(shown.pruned.graph.logit_texts[0])
    st.caption(
        f"If only this neuron were removed, “{target}” would lose about {effect:+.3f}, by the "
        "slope of the whole model with attention and gates free to move."
    )


def offer_explanation(name: str, word: str = "feature") -> None:
    """Offer to explain the selected feature or neuron instead of the output."""
    if st.button(
        f"Explain this {word}",
        key="graph_explain_feature",
        icon=":material/account_tree:",
        help=f"Build the graph of what made this {word} active here.",
    ):
        leave_graph(target="feature", feature=name)
        st.rerun()


def draw_ablation(shown: Shown, selected: str) -> None:
    """Draw the effect of ablating the selected feature or supernode."""
    try:
        rows = switch_off(shown, selected)
    except cs.CircuitScopeError as error:
        st.caption(plain(str(error)))
        return
    if not rows:
        return
    st.header(f"Without {one_line(label_of(shown, selected), LONGEST_NAME)}")
    st.caption(
        "The node switched off. The graph predicts how each output's logit changes. The model, run "
        "without it and all else frozen, must agree; the probabilities let later layers react."
    )
    columns: Columns = {
        "token": "Output",
        "predicted": number("Logit change: predicted by the graph", "%+.4f"),
        "measured": number("measured in the model", "%+.4f"),
        "probability_before": number("Probability before", "percent"),
        "probability_after": number("Probability after", "percent"),
    }
    draw_table(rows, columns, key="graph_ablation")


def draw_skipped(shown: Shown, selected: str) -> None:
    """Say how much of a feature's input goes past the features of lower layers."""
    (share,) = past_features(shown, members_of(shown, selected))
    if share:
        st.caption(
            f"{share:.0%} of this feature's input goes past the features of lower layers, through "
            "skip connections: linear parts of the MLPs that no feature stands for."
        )


def draw_similar(shown: Shown, selected: str) -> None:
    """Draw the features that write most like the selected one; neurons have no such list."""
    name = name_feature(shown, selected)
    if not name or shown.pruned.graph.choice is not None:
        return
    layer, _, feature = map(int, name.split("."))
    with st.expander(f"Similar to feature {feature} of layer {layer}"):
        st.caption("By the cosine of their decoder vectors, over the layers that both write to.")
        columns: Columns = {
            "similarity": number("Similarity", "%.3f"),
            "label": words("Label", "medium"),
            "layer": "Layer",
            "feature": "Feature",
            "frequency": number("Fires on", "percent"),
        }
        draw_table(similar_to(shown, layer, feature), columns, key="graph_similar")


def draw_trial(shown: Shown, selected: str) -> None:
    """Let the visitor type a text and draw where the selected feature fires on it."""
    name = name_feature(shown, selected)
    if not name:
        return
    layer, _, feature = map(int, name.split("."))
    with st.expander("Try it on your text"):
        ask_for_trial(shown, layer, feature)


def ask_for_trial(shown: Shown, layer: int, feature: int) -> None:
    """Ask for a text and draw a feature's activations on it."""
    text = st.text_input("Your text", key="graph_trial", placeholder="Type, then press Enter")
    if not text:
        return
    try:
        trial = try_on(shown, layer, feature, text)
    except cs.CircuitScopeError as error:
        draw_error(error)
        return
    if shown.pruned.graph.choice is not None:
        draw_neuron_trial(trial)
        return
    most = cards_of(shown.tracing.model).card(layer, feature).max_activation
    draw_tokens(list(trial.tokens), list(trial.activations), most, key="graph_trial_tokens")
    fired = sum(value > 0 for value in trial.activations)
    st.caption(
        f"It fires on {fired} of {len(trial.tokens)} tokens, at most with "
        f"{max(trial.activations):.2f}; over the corpus its strongest was {most:.2f}."
    )


def draw_neuron_trial(trial: Trial) -> None:
    """Draw a neuron's activations on a text, those above and those below 0."""
    sides = (
        ("Above 0", [max(0.0, value) for value in trial.activations]),
        ("Below 0", [max(0.0, -value) for value in trial.activations]),
    )
    most = max(max(heat) for _, heat in sides)
    for name, heat in sides:
        st.caption(f"{name}: at most {max(heat):.2f}")
        draw_tokens(list(trial.tokens), heat, most, key=f"graph_trial_{name[:5]}")
