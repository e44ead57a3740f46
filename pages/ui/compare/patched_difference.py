"""Whether the features of two graphs carry the change of the answer from A to B."""

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.tokenizer import token_label
from pages.ui.compare.graphs import SideBySide
from pages.ui.graph.patching import draw_curve
from pages.ui.shared.errors import draw_error
from pages.ui.shared.notes import cards_of
from pages.ui.shared.tables import Columns, draw_table, number, words
from pages.ui.shared.tracing import pass_of, recent_views, trace

MOST_NODES = 20


def draw_change(found: SideBySide) -> None:
    """Offer to patch the features that either graph keeps, and draw what the model does then."""
    if not found.same_features:
        return  # a feature of one model cannot be given the activation of another's
    with st.expander("Do these features make the change?", icon=":material/experiment:"):
        st.caption(
            "The features that A or B keeps are given, in A, the activations that they have in B. "
            "All other features are encoded again, and attention is free. Both prompts must have "
            "equally many tokens."
        )
        if st.button("Patch A from B", key="compare_patch"):
            st.session_state["compare_patched"] = found.tracings
        if st.session_state.get("compare_patched") != found.tracings:
            return
        try:
            with st.spinner("Running the model with its features patched …"):
                curve = curve_of(found)
        except cs.CircuitScopeError as error:
            draw_error(error)
            return
        draw_curve(curve)
        draw_nodes(found, curve)


def curve_of(found: SideBySide) -> cs.PatchingCurve:
    """Return what becomes of A's answer with the features of both graphs patched from B."""

    def compute() -> cs.PatchingCurve:
        a, b = (cs.prune_graph(trace(tracing), *found.thresholds) for tracing in found.tracings)
        return cs.verify_by_patching(pass_of(found.tracings[0]), a, b)

    return recent_views().get(("change", *found.tracings, found.thresholds), compute)


def draw_nodes(found: SideBySide, curve: cs.PatchingCurve) -> None:
    """Draw the features whose change does most to the answer, by the graphs."""
    tracing = found.tracings[0]
    cards = cards_of(tracing.model)
    texts = pass_of(tracing).token_texts
    rows = [
        {
            **vars(node),
            "node": cards.label(node.layer, node.feature) or f"feature {node.feature}",
            "token": token_label(texts[node.position]),
        }
        for node in curve.nodes[:MOST_NODES]
    ]
    st.caption(
        "The features patched, by what the graphs say that their change does to the answer, over "
        "all paths: above zero it favours A's."
    )
    columns: Columns = {
        "node": words("Feature", "medium"),
        "layer": "Layer",
        "token": "Token",
        "activation": number("Activation in A", "%.2f"),
        "other": number("in B", "%.2f"),
        "effect": number("Effect of the change", "%+.3f"),
    }
    draw_table(rows, columns, key="compare_patched_nodes")
