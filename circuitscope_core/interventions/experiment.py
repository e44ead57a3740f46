"""An intervention and what follows: predicted by the graph, measured in the model, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.attribution.edges import pass_of
from circuitscope_core.errors import GraphError
from circuitscope_core.graph import AttributionGraph
from circuitscope_core.interventions.changes import Change, Intervention
from circuitscope_core.interventions.intervene import InterventionResult, Mode, intervene_on
from circuitscope_core.interventions.many import logits_at
from circuitscope_core.interventions.node_changes import How, change_nodes
from circuitscope_core.interventions.outputs import (
    numbered,
    places_of_outputs,
    tokens_of,
)
from circuitscope_core.interventions.prediction import predict_direct, predict_total
from circuitscope_core.prompt_pass import PromptPass
from circuitscope_core.replacement import Explainable
from circuitscope_core.tokenizer import token_label
from circuitscope_core.values import one_line

MOST_OUTPUTS = 8


@dataclass(frozen=True)
class Handle:
    """Some nodes and what is done to them."""

    nodes: tuple[int, ...]
    how: How
    strength: float = 0.0


@dataclass(frozen=True)
class OutputRow:
    """One possible next token, or one token of an answer, before and after."""

    token: str
    position: int
    """The position that it is read at: the one before it."""
    probability_before: float
    probability_after: float
    predicted: float | None
    """Change of its logit, less the mean logit's, as the graph says; None if it is no output of
    the graph."""
    measured: float
    """The same in the model."""


@dataclass(frozen=True)
class NodeChange:
    """The change of a node or supernode, as a share of its activation."""

    predicted: float
    measured: float


@one_line
@dataclass(frozen=True)
class Experiment:
    """An intervention's outcome."""

    outputs: tuple[OutputRow, ...]
    """The likeliest tokens before and after, the likeliest before first; of a graph of an answer
    its tokens in their order."""
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
        # at 0 features are silent, as far as a graph can tell, unless they have no ReLU
        features = graph.features.to(clean.logits.device)
        thresholds = clean.replacement.transcoder.thresholds(features).clamp(max=0).cpu()
        predicted = predict_total(graph, taken, thresholds)
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
    taken = torch.zeros_like(graph.bias)
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
    if result.mode != "direct":
        activate = clean.replacement.transcoder.activate
        given = result.pre_activations_after.to(clean.logits.device)
        acts = torch.stack([activate(layer, values) for layer, values in enumerate(given)])
        after = acts.cpu()[layers, positions, numbers]
    else:
        after = result.pre_activations_after[layers, positions, numbers]
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
    places = places_of_outputs(graph)
    if len(places) > 1:
        return _answer_rows(graph, clean, result, changes)
    place = places[0] if places else clean.asked
    chances = clean.replacement.model.shape.probabilities
    before, after = chances(result.logits_before[place]), chances(result.logits_after[place])
    half = MOST_OUTPUTS // 2
    likely = dict.fromkeys(before.topk(min(MOST_OUTPUTS, len(before))).indices.tolist()[:half])
    likely |= dict.fromkeys(after.topk(min(half, len(after))).indices.tolist())
    outputs = dict(
        zip(graph.logit_token_ids.tolist(), changes[graph.logit_nodes].tolist(), strict=True)
    )
    moved = (result.logits_after - result.logits_before)[place]
    moved = moved - moved.mean()  # the graph's outputs are logits less the mean logit
    tokenizer = clean.replacement.tokenizer
    return tuple(
        OutputRow(
            token_label(tokenizer.token_text(token)),
            place,
            float(before[token]),
            float(after[token]),
            outputs.get(token),
            float(moved[token]),
        )
        for token in likely
    )


def _answer_rows(
    graph: AttributionGraph,
    clean: PromptPass,
    result: InterventionResult,
    changes: Float[Tensor, " n_nodes"],
) -> tuple[OutputRow, ...]:
    """Return a row for each token of an answer, read at its own position."""
    chances = clean.replacement.model.shape.probabilities
    columns = (
        tokens_of(graph),
        graph.target_positions.tolist(),
        graph.logit_texts,
        changes[graph.logit_nodes].tolist(),
        result.output_changes(graph).tolist(),
    )
    return tuple(
        OutputRow(
            token_label(text) if minus < 0 else text,
            place,
            float(chances(result.logits_before[place])[token]),
            float(chances(result.logits_after[place])[token]),
            predicted,
            measured,
        )
        for (token, minus), place, text, predicted, measured in zip(*columns, strict=True)
        if token >= 0
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
        weights = graph.activations[features].abs()
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
    """Give the last handle one strength after the other, the others as they are, in one call.

    In a graph of an answer its tokens are looked at, each at its position.
    """
    *others, last = handles
    fixed = changes_of(graph, others)
    sets = [
        (*fixed, *change_nodes(graph, last.nodes, last.how, strength)) for strength in strengths
    ]
    places, tokenizer = places_of_outputs(graph) or (clean.asked,), clean.replacement.tokenizer
    after = clean.replacement.model.shape.probabilities(logits_at(clean, sets, places, mode))
    if len(places) > 1:
        outputs = zip(tokens_of(graph), graph.target_positions.tolist(), strict=True)
        wanted = [(places.index(place), token) for (token, _), place in outputs if token >= 0]
        columns, tokens = map(list, zip(*wanted, strict=True))
        names = numbered([token_label(tokenizer.token_text(token)) for token in tokens])
        return Sweep(tuple(strengths), names, tuple(map(tuple, after[:, columns, tokens].tolist())))
    after = after[:, 0]
    likely = list(dict.fromkeys(after.argmax(dim=1).tolist()))
    best = clean.record.logits[0, places[0]].topk(3).indices.tolist()
    tokens = list(dict.fromkeys([*best, *likely]))[:6]
    return Sweep(
        tuple(strengths),
        tuple(token_label(tokenizer.token_text(token)) for token in tokens),
        tuple(map(tuple, after[:, tokens].tolist())),
    )


@dataclass(frozen=True)
class AblationRow:
    """One output without the features."""

    token: str
    """The token, or a difference of two, whose first one's probability is given."""
    predicted: float
    """Change of its logit by the graph's edges alone, all else frozen."""
    measured: float
    """The same, measured in the model with attention, norms and MLPs frozen."""
    probability_before: float
    probability_after: float
    """The probability with later layers free to react."""


def ablate(
    bundle: Explainable | PromptPass, graph: AttributionGraph, nodes: Sequence[int]
) -> tuple[AblationRow, ...]:
    """Set features to 0 and compare each output with the graph's prediction.

    Args:
        bundle: The bundle or replacement model that the graph was made with, or the prompt's pass.
        graph: The graph.
        nodes: Indices of feature nodes.

    Raises:
        GraphError: If a node is no feature, or no target of the graph is a token or a difference
            of two.
    """
    if not nodes or not all(0 <= node < graph.n_features for node in nodes):
        raise GraphError("Only features can be switched off; choose a feature or a supernode.")
    if not any(token >= 0 for token, _ in tokens_of(graph)):
        raise GraphError("This graph explains no token; build one for tokens to test it.")
    (clean, _), off = pass_of(bundle, graph), change_nodes(graph, nodes)
    direct = intervene_on(clean, off, mode="direct")
    free = intervene_on(clean, off, mode="constrained")
    outputs = graph.every_node[graph.logit_nodes]
    edges = graph.between(outputs, graph.every_node[list(nodes)]).sum(dim=1)
    chances = clean.replacement.model.shape.probabilities
    columns = (
        tokens_of(graph),
        graph.target_positions.tolist(),
        graph.logit_texts,
        edges.tolist(),
        direct.output_changes(graph).tolist(),
    )
    return tuple(
        AblationRow(
            token=text if minus >= 0 else token_label(text),
            predicted=-edge,
            measured=moved,
            probability_before=float(chances(free.logits_before[place])[token]),
            probability_after=float(chances(free.logits_after[place])[token]),
        )
        for (token, minus), place, text, edge, moved in zip(*columns, strict=True)
        if token >= 0
    )
