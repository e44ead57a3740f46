"""The Compare page's parts: the other prompt, both predictions, the canvas, what differs most."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st
from streamlit.elements.lib.column_types import ColumnConfig

import circuitscope_core as cs
from circuitscope_core.comparison import OutputsBy, Side
from circuitscope_core.skills import exam
from circuitscope_core.view import (
    EdgeDifference,
    Naming,
    NodeDifference,
    edge_differences,
    layout_comparison,
    node_differences,
)
from pages.ui.shared.component import draw_graph
from pages.ui.shared.long_work import Cancelled, trace_with_steps
from pages.ui.shared.models import list_models, load_model, model_key
from pages.ui.shared.notes import cards_of
from pages.ui.shared.prediction import draw_prediction
from pages.ui.shared.prompts import prompt_of
from pages.ui.shared.session import change_state, get_state, leave_graph
from pages.ui.shared.state import STATE_DEFAULTS, State
from pages.ui.shared.tables import Columns, draw_table, number, words
from pages.ui.shared.text import plain
from pages.ui.shared.tracing import Tracing, recent_views, trace, tracing_of

N_ROWS = 50
"""Most rows of a table."""
N_LIKELY = 5
"""Next tokens shown of each prompt."""
OTHER_SEED = 2
"""Seed of the suggested prompt to compare with."""
SHARES = ("change", "influence_a", "influence_b", "share_a", "share_b")
"""Columns of the tables that are shown in per cent."""
BY_TOKEN = "compare_by_token"
"""Key of the toggle that tells outputs apart by their token, and not by their rank."""
SIDES = {Side.BOTH: "in both", Side.A: "only in A", Side.B: "only in B"}


@dataclass(frozen=True)
class SideBySide:
    """The shown part of two graphs; the graphs themselves may be large."""

    is_same: bool
    same_features: bool
    node_counts: dict[Side, int]
    edge_counts: dict[Side, int]
    text: str
    """The view's JSON."""
    nodes: tuple[NodeDifference, ...]
    edges: tuple[EdgeDifference, ...]
    tracings: tuple[Tracing, ...]
    """The tracings of A and of B."""
    thresholds: tuple[float, float]
    """The shares of the influence on nodes and on edges that both keep."""


def draw_present(state: State) -> None:
    """Draw prompt and model of A, the graph of the other pages."""
    st.text_area(
        "Prompt of A",
        state.prompt,
        height=80,
        disabled=True,
        help="The prompt of the Graph page. Swap A and B to edit it here.",
    )
    st.selectbox(
        "Model of A", [state.model], disabled=True, help="The model chosen at the top of the page."
    )


def ask_for_other(state: State) -> State:
    """Let the visitor choose what the present graph is compared with."""
    models = list_models()
    if state.with_model and state.with_model not in models:
        st.warning(f"There is no model “{plain(state.with_model)}” here; B has the model of A.")
    known = state.with_model if state.with_model in models else state.model
    st.session_state.setdefault("compare_prompt", state.with_prompt or suggest(state.prompt))
    st.session_state.setdefault("compare_model", known)
    prompt = st.text_area(
        "Prompt of B",
        key="compare_prompt",
        height=80,
        help="Another start of a text, or the same one for another model. Ctrl-Enter reads it.",
    )
    model = st.selectbox("Model of B", models, key="compare_model")
    return change_state(with_prompt=prompt, with_model=model or "")


def suggest(prompt: str) -> str:
    """Return a prompt of the first skill that is not the present one."""
    questions = exam("acronyms", 3, OTHER_SEED)[1:]
    return next(question.prompt for question in questions if question.prompt != prompt)


def other_of(state: State) -> State:
    """Return the state whose graph is B."""
    return replace(state, prompt=state.with_prompt, model=state.with_model)


def swap() -> None:
    """Make B the present graph, and compare it with what was A."""
    state = get_state()
    other = {"with_prompt": state.prompt, "with_model": state.model}
    leave_graph(prompt=state.with_prompt, model=state.with_model, **other)
    st.session_state.update(
        compare_prompt=state.prompt, compare_model=state.model, sidebar_model=state.with_model
    )


def draw_likely(letter: str, state: State) -> None:
    """Draw the likeliest next tokens of A or B."""
    st.caption(f"Most likely next in {letter}")
    with speaking_of(letter):
        key = model_key(state.model)
        prompt = prompt_of(state, load_model(key))
        draw_prediction(key, prompt, N_LIKELY, name=f"compare_likely_{letter}")


@contextmanager
def speaking_of(letter: str) -> Iterator[None]:
    """Say in an error's message which of the two graphs it is about."""
    try:
        yield
    except Cancelled:
        raise  # the visitor knows which graph that was
    except cs.CircuitScopeError as error:
        raise cs.GraphError(f"Graph {letter} cannot be made. {error}") from error


def compare(state: State) -> SideBySide:
    """Trace, prune and compare both graphs.

    Raises:
        GraphError: If one of them cannot be traced.
    """
    if state.target == "feature":  # it is in one graph only
        state = replace(state, target="automatic")
    tracings = []
    for letter, half in (("A", state), ("B", other_of(state))):
        with speaking_of(letter):
            tracings.append(tracing_of(half))
            trace_with_steps(tracings[-1])
    cards = [cards_of(tracing.model) for tracing in tracings]
    thresholds = (state.node_threshold, state.edge_threshold)
    outputs: OutputsBy = "token" if st.session_state.get(BY_TOKEN) else "rank"

    def build() -> SideBySide:
        one, other = (cs.prune_graph(trace(tracing), *thresholds) for tracing in tracings)
        same_features = tracings[0].model == tracings[1].model
        found = cs.compare_graphs(one, other, same_features=same_features, outputs=outputs)
        a, b = (
            Naming(load_model(tracing.model).tokenizer, own)
            for tracing, own in zip(tracings, cards, strict=True)
        )
        return SideBySide(
            is_same=found.is_same,
            same_features=same_features,
            node_counts=found.node_counts,
            edge_counts=found.edge_counts,
            text=layout_comparison(found, a, b).to_text(),
            nodes=node_differences(found, a, b, n=N_ROWS),
            edges=edge_differences(found, a, b, n=N_ROWS),
            tracings=tuple(tracings),
            thresholds=thresholds,
        )

    labels = tuple(own.labels for own in cards)
    return recent_views().get(("compare", *tracings, thresholds, outputs, labels), build)


def draw_counts(found: SideBySide, state: State) -> None:
    """Draw the counts of shared nodes and edges, with notes on what cannot be shared."""
    for place, (side, where) in zip(st.columns(3), SIDES.items(), strict=True):
        place.metric(f"Nodes {where}", f"{found.node_counts[side]:,}")
        place.caption(f"{found.edge_counts[side]:,} edges {where}")
    st.caption(
        f"Both graphs keep {state.node_threshold:.0%} of the nodes’ score and "
        f"{state.edge_threshold:.0%} of the influence on edges, as on the Graph page. A node or "
        "edge is “only in A” if pruning keeps it in A and not in B."
    )
    st.toggle(
        "Tell outputs apart by their token",
        key=BY_TOKEN,
        help="Off: the likeliest output of A and that of B are one node, whatever their tokens "
        "are, so that the circuit behind “the letter that is wanted” can be the same one.",
    )
    if not found.same_features:
        st.info(
            "A and B come from different models. A feature of one is no feature of the other, "
            "even if their numbers are equal: only tokens, errors and outputs can be in both."
        )
    if state.target == "feature":
        st.info("The Graph page explains a feature; here both graphs explain the next token.")


@st.fragment
def draw_canvas(found: SideBySide) -> None:
    """Draw both graphs on shared axes; what is clicked concerns the canvas alone."""
    draw_graph(found.text, STATE_DEFAULTS, key="compare_canvas", answers=False)


def draw_nodes(found: SideBySide) -> None:
    """Draw the nodes whose influence changes most."""
    st.header("Largest differences of nodes")
    st.caption(
        "Influence is the share of the output that passes through a node. The change is that in "
        "B less that in A: above zero, the node matters more in B. A node that only one graph "
        "keeps can still be active in the other, with too little influence to be kept."
    )
    draw_differences(
        [{**vars(row), "activation": activations(row)} for row in found.nodes],
        {
            "change": percent("Change", sign="+"),
            "node": words("Node", "medium"),
            "place": "Layer",
            "token": "Token",
            "kept": "Kept in",
            "other": "In the other graph",
            "influence_a": percent("Influence in A"),
            "influence_b": percent("Influence in B"),
            "activation": "Activation in A, in B",
        },
        key="compare_nodes",
    )


def activations(row: NodeDifference) -> str:
    """Return a feature's activations in one cell: most nodes of the table have none."""
    values = (row.activation_a, row.activation_b)
    if values == (None, None):
        return ""
    return ", ".join("–" if value is None else f"{value:.2f}" for value in values)


def draw_edges(found: SideBySide) -> None:
    """Draw the edges whose share of their target's input changes most."""
    st.header("Largest differences of edges")
    st.caption(
        "The share is what an edge gives its target, as a signed part of all kept input; an edge "
        "that a graph does not keep has no share in it. The change is the share in B less that in "
        "A. Weights are raw; they are also given where pruning dropped the edge, and are 0 where "
        "one of its nodes is not there."
    )
    draw_differences(
        [vars(row) for row in found.edges],
        {
            "change": percent("Change", sign="+"),
            "source": words("From", "medium"),
            "target": words("To", "medium"),
            "kept": "Kept in",
            "share_a": percent("Share in A", sign="+"),
            "share_b": percent("Share in B", sign="+"),
            "weight_a": number("Weight in A", "%+.3f"),
            "weight_b": number("Weight in B", "%+.3f"),
            "weight_change": number("Change of weight", "%+.3f"),
        },
        key="compare_edges",
    )


def percent(title: str, sign: str = "") -> ColumnConfig:
    """Return a column of shares in per cent with one decimal, with their sign where asked for."""
    return number(title, f"%{sign}.1f %%")


def draw_differences(rows: Sequence[Mapping[str, Any]], columns: Columns, key: str) -> None:
    """Draw these columns of a table, shares in per cent."""
    if not rows:
        st.info("Nothing changed.")
        return
    draw_table([{**row, **in_per_cent(row)} for row in rows], columns, key=key)


def in_per_cent(row: Mapping[str, Any]) -> dict[str, float]:
    """Return a row's shares times a hundred; those that it does not have are left out."""
    return {name: 100 * row[name] for name in SHARES if row.get(name) is not None}
