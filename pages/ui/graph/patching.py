"""The test of a graph of neurons: they are given another prompt's activations."""

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

BY_CHOICE, BY_CHANCE = "Neurons of this graph", "As many by chance"
EXACT = """
**Exact:** every neuron's activation is the model's own; the numbers on a node's inputs add up to
it, for this prompt and under the rule below; what is folded or gathered is all the rest; removing a
node with attention, norms and the other nodes held changes every other node by just its edge.

**A choice of rule:** a gated neuron is a product, and half of it is credited to each side (RelP);
which neurons are nodes; the opening token, whose neurons are constants.

**Not what the edges say:** the effect of removing something while attention and gates are free to
move. The test here and “Intervene” below measure that in the model itself.
"""


def draw_patching(shown: Shown) -> None:
    """Draw what becomes of the answer as the graph's neurons are patched."""
    graph = shown.pruned.graph
    if graph.choice is None:
        return
    with st.container(border=True):
        st.subheader("Do these neurons make the answer?")
        st.caption(
            "They are given the activations that they have in the second prompt, more and more of "
            "them, in the model as it is, with nothing frozen."
        )
        st.session_state.setdefault("graph_against", get_state().against)
        against = st.text_input("Second prompt", key="graph_against")
        if st.button("Patch them", key="graph_patch", icon=":material/experiment:"):
            st.session_state["graph_patched"] = (shown.tracing, against)
        if st.session_state.get("graph_patched") == (shown.tracing, against):
            try:
                with st.spinner("Running the model with its neurons patched …"):
                    draw_curve(curve_of(shown, against))
            except cs.CircuitScopeError as error:
                draw_error(error)
        with st.expander("Exact, chosen and approximate"):
            st.markdown(EXACT)


def curve_of(shown: Shown, against: str) -> cs.PatchingCurve:
    """Return the curve for a second prompt."""
    graph = shown.pruned.graph

    def compute() -> cs.PatchingCurve:
        second = replace(get_state(), prompt=against)
        prompt = prompt_of(second, load_model(shown.tracing.model)) if against else None
        return cs.verify_by_patching(pass_of_graph(shown), graph, prompt)

    return recent_views().get(("patched", shown.tracing, against), compute)


def draw_curve(curve: cs.PatchingCurve) -> None:
    """Draw the answer's value over the number of neurons patched."""
    rows = [
        {"neurons": size, "value": value, "patched": name}
        for name, values in ((BY_CHOICE, curve.patched), (BY_CHANCE, curve.random))
        for size, value in zip(curve.sizes, values, strict=True)
    ]
    lines = (
        alt.Chart(pd.DataFrame(rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("neurons:Q", title="Neurons patched", scale=alt.Scale(type="log")),
            y=alt.Y("value:Q", title="Answer's logit against the other"),
            color=alt.Color("patched:N", title=None, sort=[BY_CHOICE, BY_CHANCE]),
            tooltip=["patched", "neurons", alt.Tooltip("value", format="+.2f")],
        )
    )
    ends = pd.DataFrame({"value": [curve.clean, curve.other], "end": ["this prompt", "the other"]})
    rules = alt.Chart(ends).mark_rule(strokeDash=[4, 3]).encode(y="value:Q", tooltip=["end"])
    names = alt.Chart(ends).mark_text(align="left", dy=-6, x=4).encode(y="value:Q", text="end:N")
    st.altair_chart((lines + rules + names).properties(height=260), width="stretch")
    st.markdown(plain(describe_curve(curve)))


def describe_curve(curve: cs.PatchingCurve) -> str:
    """Return the outcome in words."""
    left, n = curve.left[-1], curve.sizes[-1]
    text = (
        f"{curve.answer}: {curve.clean:+.2f} after this prompt, {curve.other:+.2f} after the "
        f"other. With all {n} neurons patched it is {curve.patched[-1]:+.2f}: {left:.0%} of the "
        "difference is left"
    )
    if curve.left_by_chance:
        text += f", against {curve.left_by_chance[-1]:.0%} with as many drawn by chance"
    if curve.flips_at is None:
        return f"{text}. The answer does not change sides."
    return f"{text}. The answer changes sides with {curve.flips_at} of them."
