"""The selected node's own part of the Graph page: check it, compare it, try it, name it."""

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.feature_cards import Trial
from pages.ui.shared.component import draw_tokens
from pages.ui.shared.errors import draw_error
from pages.ui.shared.notes import cards_of, own_cards_of, write_notes
from pages.ui.shared.session import get_state, leave_graph
from pages.ui.shared.tables import Columns, draw_table, number, words
from pages.ui.shared.text import plain
from pages.ui.shared.tracing import (
    Shown,
    effects_alone,
    members_of,
    name_feature,
    past_features,
    similar_to,
    switch_off,
    try_on,
)

PARTS = ("Switch it off", "Similar features", "Try on your text", "Label")
NEURON_PARTS = ("Switch it off", "Try on your text", "Label")


def draw_selected(shown: Shown, selected: str) -> None:
    """Draw the tabs about the selected node."""
    name = name_feature(shown, selected)
    if not name:
        draw_ablation(shown, selected)
        return
    layer, _, feature = map(int, name.split("."))
    with st.container(border=True):
        if shown.pruned.graph.choice is not None:
            draw_neuron(shown, layer, feature)
            return
        st.subheader(f"Feature {feature} of layer {layer}")
        st.text(cards_of(shown.tracing.model).label(layer, feature))
        off, similar, trial, naming = st.tabs(PARTS)
        with off:
            draw_ablation(shown, selected)
            draw_skipped(shown, selected)
            offer_explanation(name)
        with similar:
            draw_similar(shown, layer, feature)
        with trial:
            draw_trial(shown, layer, feature)
        with naming:
            ask_for_label(shown, layer, feature)


def draw_neuron(shown: Shown, layer: int, number: int) -> None:
    """Draw the tabs about a neuron of the model itself."""
    st.subheader(f"Neuron {number} of layer {layer}")
    off, trial, naming = st.tabs(NEURON_PARTS)
    with off:
        draw_alone(shown)
        draw_ablation(shown, get_state().selected)
        offer_explanation(name_feature(shown, get_state().selected), "neuron")
    with trial:
        draw_trial(shown, layer, number)
    with naming:
        ask_for_label(shown, layer, number)


def draw_alone(shown: Shown) -> None:
    """Say how much the answer loses without the selected neuron alone."""
    (node,) = members_of(shown, get_state().selected)
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
    st.caption(
        "Check it: the selected node switched off. The graph predicts how each output's logit "
        "changes. The model, run without the feature and all else frozen, must agree; the "
        "probabilities let later layers react."
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


def draw_similar(shown: Shown, layer: int, feature: int) -> None:
    """Draw the features that write most like one."""
    st.caption("By the cosine of their decoder vectors, over the layers that both write to.")
    columns: Columns = {
        "similarity": number("Similarity", "%.3f"),
        "label": words("Label", "medium"),
        "layer": "Layer",
        "feature": "Feature",
        "frequency": number("Fires on", "percent"),
    }
    draw_table(similar_to(shown, layer, feature), columns, key="graph_similar")


def draw_trial(shown: Shown, layer: int, feature: int) -> None:
    """Let the visitor type a text and draw where the feature fires on it."""
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


def ask_for_label(shown: Shown, layer: int, feature: int) -> None:
    """Let the visitor name the feature, here and in every graph of this model."""
    card = cards_of(shown.tracing.model).card(layer, feature)
    rule = own_cards_of(shown.tracing.model).label(layer, feature)
    with st.form(f"graph_label_{layer}_{feature}", border=False):
        text = st.text_input("Label", card.label, max_chars=120)
        st.caption(
            "Yours; empty brings the automatic one back." if card.by_hand else "Made by rule."
        )
        if st.form_submit_button("Keep"):
            write_label(shown, layer, feature, "" if text == rule else text)
            st.rerun()


def write_label(shown: Shown, layer: int, feature: int, text: str) -> None:
    """Keep a feature's label; a failure is shown and nothing else is lost."""
    try:
        name = shown.tracing.model.name
        write_notes(name, lambda notes: notes.label(layer, feature, text))
    except cs.CircuitScopeError as error:
        draw_error(error)
