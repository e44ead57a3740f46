"""The test of a graph: its nodes are given another prompt's activations."""

from dataclasses import replace

import altair as alt
import pandas as pd
import streamlit as st

import circuitscope_core as cs
from pages.ui.shared.errors import draw_error
from pages.ui.shared.models import load_model
from pages.ui.shared.prompts import prompt_of
from pages.ui.shared.session import get_state
from pages.ui.shared.text import plain
from pages.ui.shared.tracing import Shown, pass_of_graph, recent_views

EXACT = """
**Exact:** every neuron's activation is the model's own; the numbers on a node's inputs add up to
it, for this prompt and under the rule below; what is folded or gathered is all the rest; removing a
node with attention, norms and the other nodes held changes every other node by just its edge.

**A choice of rule:** a gated neuron is a product, and half of it is credited to each side (RelP);
which neurons are nodes; the opening token, whose neurons are constants.

**Not what the edges say:** the effect of removing something while attention and gates are free to
move. The test here and the changes above measure that in the model itself.
"""


CAPTIONS = {
    "neurons": "They are given the activations that they have in the second prompt, more and more "
    "of them, in the model as it is, with nothing frozen.",
    "features": "The features that this graph keeps are given the activations that they have in "
    "the second prompt, which must have as many tokens. All other features are encoded again, and "
    "attention is free.",
}


def draw_patching(shown: Shown) -> None:
    """Draw what becomes of the answer as the graph's nodes are patched."""
    neurons = shown.pruned.graph.choice is not None
    with st.expander(f"Do these {'neurons' if neurons else 'features'} make the answer?"):
        st.caption(CAPTIONS["neurons" if neurons else "features"])
        st.session_state.setdefault("graph_against", get_state().against)
        against = st.text_input("Second prompt", key="graph_against")
        if st.button("Patch them", key="graph_patch", icon=":material/experiment:"):
            st.session_state["graph_patched"] = (shown.tracing, against)
        if st.session_state.get("graph_patched") == (shown.tracing, against):
            try:
                with st.spinner("Running the model with its nodes patched …"):
                    draw_curve(curve_of(shown, against))
            except cs.CircuitScopeError as error:
                draw_error(error)
        if neurons:
            st.markdown(EXACT)


def curve_of(shown: Shown, against: str) -> cs.PatchingCurve:
    """Return the curve for a second prompt: of neurons all are patched, of features those kept."""
    graph = shown.pruned.graph
    patched = shown.trace if graph.choice is None else graph

    def compute() -> cs.PatchingCurve:
        second = replace(get_state(), prompt=against)
        prompt = prompt_of(second, load_model(shown.tracing.model)) if against else None
        return cs.verify_by_patching(pass_of_graph(shown), patched, prompt)

    return recent_views().get(("patched", shown.tracing, shown.view.digest, against), compute)


def draw_curve(curve: cs.PatchingCurve) -> None:
    """Draw the answer's value over the number of nodes patched."""
    word = word_of(curve)
    names = (f"{word.capitalize()} of this graph", "As many by chance")
    rows = [
        {"nodes": size, "value": value, "patched": name}
        for name, values in zip(names, (curve.patched, curve.random), strict=True)
        for size, value in zip(curve.sizes, values, strict=True)
    ]
    lines = (
        alt.Chart(pd.DataFrame(rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("nodes:Q", title=f"{word.capitalize()} patched", scale=alt.Scale(type="log")),
            y=alt.Y("value:Q", title="Answer's logit against the other"),
            color=alt.Color("patched:N", title=None, scale=alt.Scale(domain=list(names))),
            tooltip=["patched", "nodes", alt.Tooltip("value", format="+.2f")],
        )
    )
    ends = pd.DataFrame({"value": [curve.clean, curve.other], "end": ["this prompt", "the other"]})
    rules = alt.Chart(ends).mark_rule(strokeDash=[4, 3]).encode(y="value:Q", tooltip=["end"])
    names = alt.Chart(ends).mark_text(align="left", dy=-6, x=4).encode(y="value:Q", text="end:N")
    st.altair_chart((lines + rules + names).properties(height=260), width="stretch")
    st.markdown(plain(describe_curve(curve)))


def word_of(curve: cs.PatchingCurve) -> str:
    """Return what was patched."""
    return "neurons" if curve.rest is None else "features"


def describe_curve(curve: cs.PatchingCurve) -> str:
    """Return the outcome in words."""
    left, n = curve.left[-1], curve.sizes[-1]
    text = (
        f"{curve.answer}: {curve.clean:+.2f} after this prompt, {curve.other:+.2f} after the "
        f"other. With all {n} {word_of(curve)} patched it is {curve.patched[-1]:+.2f}: "
        f"{left:.0%} of the difference is left"
    )
    if curve.left_by_chance:
        text += f", against {curve.left_by_chance[-1]:.0%} with as many drawn by chance"
    if curve.flips_at is None:
        text = f"{text}. The answer does not change sides."
    else:
        text = f"{text}. The answer changes sides with {curve.flips_at} of them."
    return text if curve.rest is None else f"{text} {describe_rest(curve, curve.rest)}"


def describe_rest(curve: cs.PatchingCurve, rest: cs.PatchedRest) -> str:
    """Say what more than the graph's features would do: where the rest of the change goes."""
    features, errors = (curve.share_carried(value) for value in (rest.features, rest.errors))
    return (
        f"All features that differ between the prompts carry {features:.0%} of the change, with "
        f"what the transcoder leaves {errors:.0%}; the rest goes from the tokens through attention "
        "alone."
    )
