"""Graphs as the pages need them, computed once for all visitors."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, TypeVar

import pandas as pd
import streamlit as st
import torch

import circuitscope_core as cs
from circuitscope_core.attribution import (
    HeadExplanation,
    LinkExplanation,
    explain_head,
    explain_link,
)
from circuitscope_core.attribution import (
    pass_of as nodes_of_pass,
)
from circuitscope_core.circuit import node_indices
from circuitscope_core.feature_cards import SimilarFeature, Trial, similar_features, try_feature
from circuitscope_core.interventions import AblationRow, ablate
from circuitscope_core.prompt_pass import NextToken, next_tokens
from circuitscope_core.view import Extras, GraphView, feature_rows, layout_graph, tell_story
from pages.ui.shared.groups import to_supernodes
from pages.ui.shared.models import ModelKey, load_model, model_key
from pages.ui.shared.notes import cards_of
from pages.ui.shared.prompts import Prompt, answer_of, prompt_of
from pages.ui.shared.state import (
    ADDED_BUDGET,
    State,
    attribution_of,
    folding_of,
    targets_of,
    trace_config_of,
)

Value = TypeVar("Value")
OnStep = Callable[[cs.AttributionProgress | cs.AttributionPlan], None]


@dataclass(frozen=True)
class Tracing:
    """The inputs that a graph is a function of."""

    model: ModelKey
    prompt: Prompt | cs.AnsweredPrompt
    targets: tuple[int | str | cs.TokenDifference | cs.FeatureTarget, ...] | None
    config: cs.AttributionConfig
    against: Prompt | None = None
    """The second prompt that a model's own neurons are chosen against."""


@dataclass(frozen=True)
class Shown:
    """A traced, pruned and laid-out graph."""

    tracing: Tracing
    trace: cs.Trace
    view: GraphView
    text: str
    """The view's JSON."""

    @property
    def pruned(self) -> cs.PrunedGraph:
        """The graph, and the part of it that is kept."""
        return self.trace.pruned

    @property
    def scores(self) -> cs.GraphScores:
        """The scores of the whole graph."""
        return self.trace.scores

    @property
    def supernodes(self) -> cs.Supernodes:
        """The groups, suggested or made by hand."""
        return self.trace.supernodes


class Recent:
    """The values used last. They are shared and frozen, so nothing is copied.

    Streamlit's own cache cannot be used here: a computation that reports its steps to a page
    would have them replayed into a page that is gone.
    """

    def __init__(self, max_entries: int) -> None:
        self._values: OrderedDict[Hashable, Any] = OrderedDict()
        self._max_entries = max_entries
        self._lock = Lock()

    def get(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """Return the value of a key, computed on a miss."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                found: Value = self._values[key]
                return found
        value = compute()
        with self._lock:
            self._values[key] = value
            while len(self._values) > self._max_entries:
                self._values.popitem(last=False)
        return value


@st.cache_resource
def recent_graphs() -> Recent:
    return Recent(max_entries=16)


@st.cache_resource
def recent_views() -> Recent:
    return Recent(max_entries=16)


def tracing_of(state: State) -> Tracing:
    """Return the tracing that a state asks for."""
    key = model_key(state.model)
    bundle = load_model(key)
    targets = targets_of(state, bundle.tokenizer)
    prompt = answered_of(state) if state.target == "answer" else prompt_of(state, bundle)
    parts = (prompt, targets, within_budget(state, bundle))
    if not (state.against and bundle.transcoder.shape.exact):
        return Tracing(key, *parts)
    return Tracing(key, *parts, against=prompt_of(replace(state, prompt=state.against), bundle))


def answered_of(state: State) -> cs.AnsweredPrompt:
    """Return a state's prompt with its answer, which the model may have to give itself.

    Raises:
        PromptError: If prompt or answer cannot be read, or are too long together.
        ModelError: If the model does not continue texts.
    """
    key = model_key(state.model)
    bundle = load_model(key)
    prompt, answer = prompt_of(state, bundle), answer_of(state, bundle)
    return recent_graphs().get(
        ("answer", key, prompt, answer), lambda: cs.answer_prompt(bundle, prompt, answer)
    )


def within_budget(state: State, bundle: cs.Bundle) -> cs.AttributionConfig:
    """Return the settings of the attribution, with a budget where all features would take minutes.

    The visitor's own budget goes first. Neurons are chosen by a budget of their own.
    """
    config, added = attribution_of(state), isinstance(bundle.model, cs.PretrainedModel)
    if (
        state.max_features
        or not added
        or not isinstance(bundle.transcoder, cs.CrossLayerTranscoder)
    ):
        return config
    return replace(config, max_feature_nodes=ADDED_BUDGET)


def pass_of(tracing: Tracing) -> cs.PromptPass:
    """Return the prompt's clean pass: one run of the model for all that is asked about it."""
    key = ("pass", tracing.model, tracing.prompt)
    return recent_graphs().get(
        key, lambda: cs.run_prompt(load_model(tracing.model), tracing.prompt)
    )


def pass_with_nodes(tracing: Tracing, graph: cs.AttributionGraph) -> cs.PromptPass:
    """Return the pass of a graph's prompt, in which its neurons are the nodes."""
    if graph.choice is None:
        return pass_of(tracing)
    key = ("nodes", tracing)
    return recent_graphs().get(key, lambda: nodes_of_pass(pass_of(tracing), graph)[0])


def pass_of_graph(shown: Shown) -> cs.PromptPass:
    """Return the pass of a shown graph's prompt, in which its neurons are the nodes."""
    return pass_with_nodes(shown.tracing, shown.pruned.graph)


def trace(tracing: Tracing, on_step: OnStep | None = None) -> cs.AttributionGraph:
    """Build a prompt's graph, or return it where it was built before."""

    def build() -> cs.AttributionGraph:
        parts = (tracing.config, tracing.targets, tracing.against)
        for item in cs.attribution_steps(pass_of(tracing), tracing.prompt, *parts):
            if isinstance(item, cs.AttributionGraph):
                return item
            if on_step:
                on_step(item)
        raise AssertionError("the last step is the graph")

    return recent_graphs().get(tracing, build)


def show(tracing: Tracing, state: State, on_step: OnStep | None = None) -> Shown:
    """Prune, group and lay out a prompt's graph."""

    def tell(step: str) -> None:
        if on_step:
            on_step(cs.AttributionProgress(step))

    graph = trace(tracing, on_step)
    own, folding = state.groups, folding_of(state)
    cards = cards_of(tracing.model)
    config = trace_config_of(state)

    def build() -> Shown:
        tell("Prune the graph, group similar features, and switch each off")
        found = cs.trace_graph(pass_of(tracing), graph, config, cards=cards)
        if own is not None:
            found = replace(found, supernodes=to_supernodes(found.pruned, own))
        bundle = load_model(tracing.model)
        tell("Tell where the output comes from")
        story = tell_story(pass_with_nodes(tracing, graph), found)
        extras = Extras(story, folding)
        parts = (bundle.tokenizer, found.cards, found.supernodes, bundle.global_weights, extras)
        view = layout_graph(found, *parts)
        return Shown(tracing, found, view, view.to_text())

    return recent_views().get((tracing, config, own, folding, cards.labels), build)


def switch_off(shown: Shown, selected: str) -> tuple[AblationRow, ...]:
    """Return the effect of ablating the selected feature or supernode; nothing for other nodes."""
    graph = shown.pruned.graph
    nodes = tuple(node for node in members_of(shown, selected) if node < graph.n_features)

    def compute() -> tuple[AblationRow, ...]:
        return ablate(pass_of(shown.tracing), graph, nodes)

    return recent_views().get(("off", shown.tracing, nodes), compute) if nodes else ()


def effects_alone(shown: Shown) -> torch.Tensor:
    """Return how much the answer loses without each neuron alone."""
    graph = shown.pruned.graph
    key = ("alone", shown.tracing)
    return recent_views().get(key, lambda: cs.predict_alone(pass_of(shown.tracing), graph))


def past_features(shown: Shown, nodes: tuple[int, ...]) -> tuple[float, ...]:
    """Return the share of each node's input that goes past the features; features and outputs."""
    graph = shown.pruned.graph

    def compute() -> tuple[float, ...]:
        return tuple(cs.skip_shares(pass_of(shown.tracing), graph, nodes).tolist())

    return recent_views().get(("past", shown.tracing, nodes), compute)


def scores_of_pinned(shown: Shown, pinned: tuple[str, ...]) -> cs.GraphScores:
    """Return the scores of the graph with all features that are not pinned counted as errors."""
    graph = shown.pruned.graph
    nodes = node_indices(shown.trace, pinned)
    key = ("pinned", shown.tracing, nodes)
    return recent_views().get(key, lambda: cs.graph_scores(graph, nodes))


def name_feature(shown: Shown, selected: str) -> str:
    """Return layer, token and number of the selected feature; nothing for other nodes."""
    graph = shown.pruned.graph
    nodes = members_of(shown, selected) if selected else ()
    if len(nodes) != 1 or nodes[0] >= graph.n_features:
        return ""
    return ".".join(map(str, graph.features[nodes[0]].tolist()))


def label_of(shown: Shown, name: str) -> str:
    """Return the label of a node or supernode in the picture."""
    pictures = (shown.view.groups or shown.view.full, shown.view.full)
    nodes = (node for picture in pictures for node in picture.nodes)
    return next((node.label for node in nodes if node.id == name), name)


def members_of(shown: Shown, name: str) -> tuple[int, ...]:
    """Return the graph's nodes behind a node or a supernode of the picture."""
    groups = shown.view.groups.nodes if shown.view.groups else ()
    members = next((node.members for node in groups if node.id == name and node.members), (name,))
    return node_indices(shown.trace, members)


def look_inside(shown: Shown, edge: tuple[str, ...]) -> LinkExplanation | None:
    """Return the heads that carried an edge of the picture; None if it is no longer there."""
    if len(edge) != 2:
        return None
    sources, targets = (members_of(shown, name) for name in edge)
    if not sources or not targets:
        return None
    key = ("edge", shown.tracing, sources, targets)
    graph, clean = shown.pruned.graph, pass_of(shown.tracing)
    return recent_views().get(key, lambda: explain_link(clean, graph, sources, targets))


def look_at_head(shown: Shown, edge: tuple[str, ...], head: tuple[int, int]) -> HeadExplanation:
    """Return why a head attends from an edge's target to its source."""
    graph = shown.pruned.graph
    key, query = (int(graph.node_positions[members_of(shown, name)[0]]) for name in edge)
    cards = shown.trace.cards or cards_of(shown.tracing.model)

    def compute() -> HeadExplanation:
        return explain_head(pass_of(shown.tracing), graph, head, (query, key), cards)

    return recent_views().get(("head", shown.tracing, head, query, key), compute)


def feature_table(shown: Shown, *, every: bool, selected: str) -> pd.DataFrame:
    """Return the active features, those that matter most first; empty columns are left out.

    Args:
        shown: The graph.
        every: Also those that pruning dropped.
        selected: A node whose direct effects on and from each feature are wanted.
    """
    partners = members_of(shown, selected) if selected else ()
    rows = feature_rows(
        shown.trace,
        shown.trace.cards,
        every=every,
        partner=partners[0] if len(partners) == 1 else None,
    )
    return pd.DataFrame([vars(row) for row in rows]).dropna(axis="columns", how="all")


def similar_to(shown: Shown, layer: int, feature: int) -> tuple[SimilarFeature, ...]:
    """Return the features that write most like one."""
    cards = cards_of(shown.tracing.model)
    bundle = load_model(shown.tracing.model)
    key = ("similar", shown.tracing.model, layer, feature, cards.labels)
    return recent_views().get(key, lambda: similar_features(bundle, cards, layer, feature))


def try_on(shown: Shown, layer: int, feature: int, text: str) -> Trial:
    """Return a feature's activations on a text of the visitor's."""
    return try_feature(load_model(shown.tracing.model).replacement, layer, feature, text)


@st.cache_data(max_entries=64, show_spinner=False)
def predict(key: ModelKey, prompt: Prompt) -> tuple[NextToken, ...]:
    """Return the most likely next tokens."""
    return next_tokens(load_model(key).replacement, prompt)
