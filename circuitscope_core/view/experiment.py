"""An intervention and what follows: predicted by the graph, measured in the model, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.errors import GraphError
from circuitscope_core.graph import AttributionGraph
from circuitscope_core.interventions import (
    Change,
    How,
    Intervention,
    InterventionResult,
    Mode,
    change_nodes,
    intervene_many,
    intervene_on,
    predict_direct,
    predict_total,
)
from circuitscope_core.prompt_pass import PromptPass
from circuitscope_core.view.text import token_label

MOST_OUTPUTS = 8


@dataclass(frozen=True)
class Handle:
    """Some nodes and what is done to them."""

    nodes: tuple[int, ...]
    how: How
    strength: float = 0.0


@dataclass(frozen=True)
class OutputRow:
    """One possible next token, before and after."""

    token: str
    probability_before: float
    probability_after: float
    predicted: float | None
    """Change of its logit, less the mean logit's, as the graph says; None if it is no output of
    the graph."""
    measured: float
    """The same in the model."""


@dataclass(frozen=True)
class NodeChange:
    """What becomes of a node or supernode, as a share of its activation."""

    predicted: float
    measured: float


@dataclass(frozen=True)
class Experiment:
    """An intervention's outcome."""

    outputs: tuple[OutputRow, ...]
    """The likeliest tokens before and after, the likeliest before first."""
    losses_predicted: Float[Tensor, " n_features"]
    losses_measured: Float[Tensor, " n_features"]
    """Share of each feature's activation that goes; below 0 it grows."""


def run_experiment(
    graph: AttributionGraph, clean: PromptPass, handles: Sequence[Handle], mode: Mode
) -> Experiment:
    """Do something to nodes of a graph, and set what the graph says beside what the model does.

    Args:
        graph: Of the same prompt as the clean pass.
        clean: The prompt's clean pass.
        handles: Each node in one of them.
        mode: ``direct`` is predicted along direct edges, the others along all paths of the graph.

    Raises:
        GraphError: If a node is in two handles, or cannot be changed in this way.
    """
    result = intervene_on(clean, changes_of(graph, handles), mode=mode)
    taken = taken_away(graph, handles)
    if mode == "direct":
        changes = predict_direct(graph, taken)
        losses = torch.where(
            taken[: graph.n_features] != 0,
            taken[: graph.n_features],
            -changes[: graph.n_features] / graph.activations,
        )
    else:
        predicted = predict_total(graph, taken)
        changes, losses = predicted.changes, predicted.losses[: graph.n_features]
    measured = measured_losses(graph, clean, result, taken[: graph.n_features])
    return Experiment(_output_rows(graph, clean, result, changes), losses, measured)


def changes_of(graph: AttributionGraph, handles: Sequence[Handle]) -> tuple[Change, ...]:
    """Return the changes that handles stand for."""
    return tuple(
        change
        for handle in handles
        for change in change_nodes(graph, handle.nodes, handle.how, handle.strength)
    )


def taken_away(graph: AttributionGraph, handles: Sequence[Handle]) -> Float[Tensor, " n_nodes"]:
    """Return which share of each node's effect handles take away.

    Raises:
        GraphError: If a node is in two handles.
    """
    taken = torch.zeros(graph.n_nodes)
    for handle in handles:
        for node, change in zip(
            handle.nodes,
            change_nodes(graph, handle.nodes, handle.how, handle.strength),
            strict=True,
        ):
            if taken[node] != 0:
                raise GraphError(f"Node {node} is changed twice; change it once.")
            if isinstance(change, Intervention):
                taken[node] = 1 - change.value / float(graph.activations[node])
            else:
                taken[node] = 1 - change.scale
    return taken


def measured_losses(
    graph: AttributionGraph,
    clean: PromptPass,
    result: InterventionResult,
    taken: Float[Tensor, " n_features"],
) -> Float[Tensor, " n_features"]:
    """Return which share of its activation each feature lost in the model.

    Those changed by hand lose what was taken. In ``direct`` mode nothing switches off: what counts
    there is the pre-activation's change.
    """
    layers, positions, numbers = graph.features.T
    after = result.pre_activations_after[layers, positions, numbers]
    if result.mode != "direct":
        thresholds = clean.replacement.transcoder.thresholds(graph.features)
        after = after * (after > thresholds)
    else:
        before = result.pre_activations_before[layers, positions, numbers]
        after = graph.activations + after - before
    lost = 1 - after / graph.activations
    return torch.where(taken != 0, taken, lost).detach()


def _output_rows(
    graph: AttributionGraph,
    clean: PromptPass,
    result: InterventionResult,
    changes: Float[Tensor, " n_nodes"],
) -> tuple[OutputRow, ...]:
    before, after = result.probabilities_before, result.probabilities_after
    half = MOST_OUTPUTS // 2
    likely = dict.fromkeys(before.topk(min(MOST_OUTPUTS, len(before))).indices.tolist()[:half])
    likely |= dict.fromkeys(after.topk(min(half, len(after))).indices.tolist())
    outputs = dict(
        zip(graph.logit_token_ids.tolist(), changes[graph.logit_nodes].tolist(), strict=True)
    )
    moved = (result.logits_after - result.logits_before)[-1]
    moved = moved - moved.mean()  # the graph's outputs are logits less the mean logit
    tokenizer = clean.replacement.tokenizer
    return tuple(
        OutputRow(
            token_label(tokenizer.token_text(token)),
            float(before[token]),
            float(after[token]),
            outputs.get(token),
            float(moved[token]),
        )
        for token in likely
    )


def node_changes(
    experiment: Experiment,
    graph: AttributionGraph,
    members: Mapping[str, Sequence[int]],
) -> dict[str, NodeChange]:
    """Return what becomes of each node or supernode of a picture that holds features.

    Args:
        experiment: What was done.
        graph: The graph.
        members: The graph's nodes behind each id of the picture.
    """
    found = {}
    for name, nodes in members.items():
        features = [node for node in nodes if node < graph.n_features]
        if not features:
            continue
        weights = graph.activations[features]
        predicted = float((experiment.losses_predicted[features] * weights).sum() / weights.sum())
        measured = float((experiment.losses_measured[features] * weights).sum() / weights.sum())
        found[name] = NodeChange(-predicted, -measured)
    return found


@dataclass(frozen=True)
class Sweep:
    """How the next token changes with the strength of one handle."""

    strengths: tuple[float, ...]
    tokens: tuple[str, ...]
    probabilities: tuple[tuple[float, ...], ...]
    """One row for each strength."""


def sweep(
    graph: AttributionGraph,
    clean: PromptPass,
    handles: Sequence[Handle],
    strengths: Sequence[float],
    mode: Mode,
) -> Sweep:
    """Give the last handle one strength after the other, the others as they are, in one call."""
    *others, last = handles
    fixed = changes_of(graph, others)
    sets = [
        (*fixed, *change_nodes(graph, last.nodes, last.how, strength)) for strength in strengths
    ]
    after = intervene_many(clean, (), sets, mode=mode).logits_after.softmax(dim=1)
    likely = list(dict.fromkeys(after.argmax(dim=1).tolist()))
    best = clean.logits.topk(3).indices.tolist()
    tokens = list(dict.fromkeys([*best, *likely]))[:6]
    tokenizer = clean.replacement.tokenizer
    return Sweep(
        tuple(strengths),
        tuple(token_label(tokenizer.token_text(token)) for token in tokens),
        tuple(map(tuple, after[:, tokens].tolist())),
    )
