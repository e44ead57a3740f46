"""The selected node's own part of the Graph page: check it, compare it, try it, name it."""

import pandas as pd
import streamlit as st

import circuitscope_core as cs
from pages.ui.graph_component import draw_tokens
from pages.ui.models import load_model
from pages.ui.notebook import cards_of, write_notes
from pages.ui.session import leave_graph
from pages.ui.text import plain
from pages.ui.tracing import Shown, name_feature, similar_to, switch_off, try_on

PARTS = ("Switch it off", "Similar features", "Try on your text", "Label")


def draw_selected(shown: Shown, selected: str) -> None:
    """Draw what can be asked about the selected node."""
    name = name_feature(shown, selected)
    if not name:
        draw_ablation(shown, selected)
        return
    layer, _, feature = map(int, name.split("."))
    with st.container(border=True):
        label = cards_of(shown.tracing.model).label(layer, feature)
        st.subheader(f"Feature {feature} of layer {layer}")
        st.text(label)
        off, similar, trial, naming = st.tabs(PARTS)
        with off:
            draw_ablation(shown, selected)
            offer_explanation(name)
        with similar:
            draw_similar(shown, layer, feature)
        with trial:
            draw_trial(shown, layer, feature)
        with naming:
            ask_for_label(shown, layer, feature)


def offer_explanation(name: str) -> None:
    """Offer to explain the selected feature instead of the output."""
    if st.button(
        "Explain this feature",
        key="graph_explain_feature",
        icon=":material/account_tree:",
        help="Build the graph of what made this feature active here.",
    ):
        leave_graph(target="feature", feature=name)
        st.rerun()


def draw_ablation(shown: Shown, selected: str) -> None:
    """Draw what the model does without the selected feature or supernode."""
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
    signed = st.column_config.NumberColumn
    st.dataframe(
        pd.DataFrame([vars(row) for row in rows]),
        hide_index=True,
        width="stretch",
        key="graph_ablation",
        column_config={
            "token": "Output",
            "predicted": signed("Logit change: predicted by the graph", format="%+.4f"),
            "measured": signed("measured in the model", format="%+.4f"),
            "probability_before": signed("Probability before", format="percent"),
            "probability_after": signed("Probability after", format="percent"),
        },
    )


def draw_similar(shown: Shown, layer: int, feature: int) -> None:
    """Draw the features that write most like one."""
    st.caption("By the cosine of their decoder vectors, over the layers that both write to.")
    st.dataframe(
        pd.DataFrame([vars(row) for row in similar_to(shown, layer, feature)]),
        hide_index=True,
        width="stretch",
        key="graph_similar",
        column_config={
            "similarity": st.column_config.NumberColumn("Similarity", format="%.3f"),
            "label": st.column_config.TextColumn("Label", width="medium"),
            "layer": "Layer",
            "feature": "Feature",
            "frequency": st.column_config.NumberColumn("Fires on", format="percent"),
        },
    )


def draw_trial(shown: Shown, layer: int, feature: int) -> None:
    """Let the visitor type a text and draw where the feature fires on it."""
    text = st.text_input("Your text", key="graph_trial", placeholder="Type, then press Enter")
    if not text:
        return
    try:
        trial = try_on(shown, layer, feature, text)
    except cs.CircuitScopeError as error:
        st.error(plain(str(error)))
        return
    most = cards_of(shown.tracing.model).card(layer, feature).max_activation
    draw_tokens(list(trial.tokens), list(trial.activations), most, key="graph_trial_tokens")
    fired = sum(value > 0 for value in trial.activations)
    st.caption(
        f"It fires on {fired} of {len(trial.tokens)} tokens, at most with "
        f"{max(trial.activations):.2f}; over the corpus its strongest was {most:.2f}."
    )


def ask_for_label(shown: Shown, layer: int, feature: int) -> None:
    """Let the visitor name the feature, here and in every graph of this model."""
    card = cards_of(shown.tracing.model).card(layer, feature)
    rule = load_model(shown.tracing.model).feature_cards.label(layer, feature)
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
        st.error(plain(str(error)))
