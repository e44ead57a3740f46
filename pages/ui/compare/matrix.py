"""Many prompts: which feature works in all of them, and what it does in each."""

from dataclasses import replace

import altair as alt
import pandas as pd
import streamlit as st

import circuitscope_core as cs
from circuitscope_core.comparison import RowsBy, Value
from circuitscope_core.evals.exam import prompt_text
from circuitscope_core.skills import SKILLS, exam
from pages.ui.shared.long_work import show_with_steps
from pages.ui.shared.models import load_model, model_key
from pages.ui.shared.session import change_state, get_state
from pages.ui.shared.state import State
from pages.ui.shared.tables import number, words
from pages.ui.shared.tracing import tracing_of

MOST_PROMPTS = 24
MOST_ROWS = 25
"""Rows of the picture; the table has all."""
EXAMPLES = 6
VALUES: dict[Value, str] = {
    "bits": "Bits when switched off",
    "influence": "Influence",
    "activation": "Activation",
}
ROWS: dict[RowsBy, str] = {"feature": "Each feature", "label": "Features of one label together"}


def draw_many(state: State) -> None:
    """Ask for prompts, and draw the matrix of their features."""
    st.caption(
        "One line is one prompt. Each is traced as on the Graph page; the matrix shows in which "
        "prompts a feature is kept and what the answer loses there without it."
    )
    st.session_state.setdefault("compare_many", state.many or examples("acronyms"))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        skill = st.selectbox("Fill in prompts of a skill", list(SKILLS), key="compare_skill")
        st.button("Fill in", key="compare_fill", on_click=fill_in, args=(skill,))
    text = st.text_area("Prompts, one a line", key="compare_many", height=170)
    state = change_state(many=text)
    prompts = [line for line in text.split("\n") if line.strip()]
    if not 2 <= len(prompts) <= MOST_PROMPTS:
        st.info(f"Type 2 to {MOST_PROMPTS} prompts; there are {len(prompts)}.")
        return
    if st.button("Compare them", type="primary", key="compare_many_begin"):
        st.session_state["compare_many_of"] = (state.model, text)
    if st.session_state.get("compare_many_of") == (state.model, text):
        draw_matrix(trace_all(state, prompts))


def examples(skill: str) -> str:
    """Return prompts of a skill's exam, one a line."""
    tokenizer = load_model(model_key(get_state().model)).tokenizer
    return "\n".join(prompt_text(tokenizer, question) for question in exam(skill, EXAMPLES))


def fill_in(skill: str) -> None:
    """Put prompts of a skill into the field."""
    st.session_state["compare_many"] = examples(skill)


def trace_all(state: State, prompts: list[str]) -> list[cs.Trace]:
    """Trace prompts one after the other; those that were traced before are there at once."""
    bar = st.progress(0.0)
    traces = []
    for done, prompt in enumerate(prompts):
        bar.progress(done / len(prompts), f"{done + 1} of {len(prompts)}: {prompt}")
        own = replace(state, prompt=prompt, target="automatic", groups=None)
        traces.append(show_with_steps(tracing_of(own), own).trace)
    bar.empty()
    return traces


def draw_matrix(traces: list[cs.Trace]) -> None:
    """Draw the matrix as a picture and as a table to sort and take away."""
    with st.container(horizontal=True):
        picked_rows = st.segmented_control(
            "Rows",
            tuple(ROWS),
            default="feature",
            format_func=ROWS.__getitem__,
            key="compare_rows",
        )
        picked_value = st.segmented_control(
            "Cells",
            tuple(VALUES),
            default="bits",
            format_func=VALUES.__getitem__,
            key="compare_cell",
        )
    rows_by: RowsBy = picked_rows or "feature"
    value: Value = picked_value or "bits"
    matrix = cs.feature_matrix(traces, rows_by)
    table = matrix.to_pandas(value)
    if table.empty:
        st.info("No feature is kept in any of these graphs. Raise the node threshold.")
        return
    n = sum(row.n_prompts == len(traces) for row in matrix.rows)
    st.markdown(
        f"**{n} of {len(matrix.rows)}** rows are kept in all {len(traces)} prompts, and come first."
    )
    st.altair_chart(chart_of(matrix, value), width="stretch")
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        key="compare_matrix",
        column_config={
            "label": words("Label", "medium"),
            "layer": "Layer",
            "feature": "Feature",
            "prompts": "Prompts",
            "mean": number("Mean bits", "%.3g"),
        },
    )
    st.download_button(
        "Download as CSV",
        table.to_csv(index=False),
        file_name="feature-matrix.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="compare_matrix_csv",
    )


def chart_of(matrix: cs.FeatureMatrix, value: Value) -> alt.Chart:
    """Return the first rows as squares whose colour is their value."""
    order = [name_of(row.layer, row.feature, row.label) for row in matrix.rows[:MOST_ROWS]]
    columns = [f"{number}: {said}" for number, said in enumerate(matrix.answers, 1)]
    rows = [
        {
            "row": name,
            "prompt": column,
            "text": prompt,
            "value": getattr(cell, value) or 0.0,
            "tokens": ", ".join(cell.tokens),
        }
        for name, row in zip(order, matrix.rows, strict=False)
        for column, prompt, cell in zip(columns, matrix.prompts, row.cells, strict=True)
        if cell is not None
    ]
    chart: alt.Chart = (
        alt.Chart(pd.DataFrame(rows))
        .mark_rect(stroke="white")
        .encode(
            x=alt.X("prompt:N", sort=columns, title="Prompt and its answer"),
            y=alt.Y("row:N", sort=order, title=None, axis=alt.Axis(labelLimit=260)),
            color=alt.Color("value:Q", title=VALUES[value], scale=alt.Scale(scheme="greens")),
            tooltip=["row", "text", alt.Tooltip("value", format=".3g"), "tokens"],
        )
        .properties(height=60 + 20 * len(order))
    )
    return chart


def name_of(layer: int, feature: int, label: str) -> str:
    """Return a row's name, which no other row has."""
    number = f" · {feature}" if feature >= 0 else ""
    return f"L{layer} {label or 'feature'}{number}"
