"""The faithfulness of a model's graphs, measured by intervening, weakest figures first."""

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.evals.faithfulness import (
    METHODS,
    FaithfulnessProgress,
    FaithfulnessReport,
    describe_measure,
    held_out_prompts,
    measure_faithfulness,
)
from pages.ui.shared.models import ModelKey, load_model, model_key
from pages.ui.shared.session import get_state
from pages.ui.shared.tables import draw_table, number, words
from pages.ui.shared.text import plain

COUNTS = (10, 30, 100)


def draw_trust() -> None:
    """Offer to measure, and draw what was measured."""
    st.header("Do its graphs tell the truth?")
    st.caption(
        "Features are taken away in the model, and what it does then is held against what its "
        "graphs say: on how many prompts?"
    )
    key = model_key(get_state().model)
    one, two, _ = st.columns([1.6, 1, 3], vertical_alignment="bottom")
    n = one.segmented_control("Prompts", COUNTS, default=COUNTS[0], key="home_trust_prompts")
    if two.button("Measure", key="home_trust_measure", icon=":material/experiment:"):
        report = measure(key, n or COUNTS[0])
        st.session_state["home_trust"] = (key, report)
    kept = st.session_state.get("home_trust")
    if kept and kept[0] == key and kept[1] is not None:
        draw_report(kept[1])


def measure(key: ModelKey, n: int) -> FaithfulnessReport | None:
    """Measure with a progress bar; a click on Cancel, or anywhere else, ends it."""
    bundle = load_model(key)
    config = cs.TrainConfig.from_json(dict(bundle.metadata.training))
    bar = st.progress(0.0, "Choosing prompts …")
    cancel = st.empty()
    cancel.button("Cancel", key="home_trust_cancel")
    prompts = held_out_prompts(None, n, bundle.tokenizer, config.corpus)
    report = None
    for event in measure_faithfulness(bundle, prompts.token_ids, n_direct=1):
        if isinstance(event, FaithfulnessProgress):
            share = event.done / max(1, event.total)
            bar.progress(share, f"{event.step}: {event.done} of {event.total}")
        else:
            report = event
    bar.empty()
    cancel.empty()
    return report


def draw_report(report: FaithfulnessReport) -> None:
    """Draw the figures, the hardest first, beside what they are held against."""
    st.caption(
        f"On {report.n_prompts} prompts: exam questions, which no training reads, and built-in "
        "text. Means; the interval holds the graph's with 95 % confidence. Each figure is "
        "defined in docs/faithfulness.md."
    )
    rows = []
    for name, by_method in report.figures.items():
        ours = by_method.get("graph")
        if ours is None:
            continue
        line = describe_measure(name)
        others = {
            METHODS[method].capitalize(): figure.mean
            for method, figure in by_method.items()
            if method != "graph"
        }
        interval = f"{ours.low:.2f} to {ours.high:.2f}"
        rows.append(
            {"Figure": line.title, "Graph": ours.mean, "Interval": interval, "Asked": line.bar}
            | {"Published": line.published}
            | others
        )
    columns = {name: number(name, "%.2f") for row in rows for name in row}
    columns |= {"Figure": words("Figure", "large"), "Interval": words("Interval", "small")}
    draw_table(rows, columns, key="home_trust_figures")
    if report.direct:
        st.caption(
            plain(
                f"Every edge of {report.direct.n_graphs} graph was measured: the largest error of "
                f"{report.direct.n_columns:,} columns is {report.direct.largest:.1e} of the column."
            )
        )
