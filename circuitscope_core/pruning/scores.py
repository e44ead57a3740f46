"""The two scores of a graph: how much of the prediction goes through features."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.cores import one_core
from circuitscope_core.graph import AttributionGraph
from circuitscope_core.pruning.influence import ROWS_AT_ONCE, propagate, propagate_edges


@dataclass(frozen=True)
class GraphScores:
    """How much of the prediction goes through features rather than errors, 0 to 1."""

    replacement: float
    """Influence of tokens against that of tokens and errors."""
    completeness: float
    """Share of each node's input that is no error, averaged by the node's influence, over the
    nodes that have inputs: features and logits."""
    completeness_circuit_tracer: float
    """The same averaged over all nodes, those without inputs counting as complete, as
    circuit-tracer does. For comparison only: it is never the lower of the two."""


@checked
@one_core()
def graph_scores(graph: AttributionGraph, features: Iterable[int] | None = None) -> GraphScores:
    """Score how well features, rather than errors, explain the prediction.

    Args:
        graph: The graph.
        features: Nodes that explain; the graph's other features then count as errors, and what
            caused them is not asked. None: all of them.

    Raises:
        GraphError: If there is no such node.

    Source: Ameisen et al. (2025), graph scores. The two means of completeness differ only in the
    nodes they run over.
    """
    is_error = torch.zeros_like(graph.bias, dtype=torch.bool)
    is_error[graph.error_nodes] = True
    if features is not None:
        nodes = list(features)
        for node in nodes:
            graph.node(node)  # refuses numbers that no node has
        is_error[graph.feature_nodes] = True
        is_error[[node for node in nodes if node < graph.n_features]] = False
    is_token = torch.zeros_like(is_error)
    is_token[graph.token_nodes] = True
    return matrix_scores(
        graph.node_layers, graph.logit_weights, graph.adjacency, is_error, is_token
    )


def matrix_scores(
    layers: Int[Tensor, " n"],
    weights: Float[Tensor, " n"],
    adjacency: Float[Tensor, "n n"],
    is_error: Bool[Tensor, " n"],
    is_token: Bool[Tensor, " n"],
) -> GraphScores:
    """Score any matrix of direct effects, for example a file's: see ``graph_scores``.

    Args:
        layers: Of each node, -1 for tokens; effects lead to higher layers.
        weights: Probability at outputs, 0 elsewhere.
        adjacency: Row: target, column: source.
        is_error: Nodes that explain nothing.
        is_token: Nodes that need no explanation.
    """
    influence = propagate(layers, weights, adjacency, is_error)
    reach = influence + weights
    explained = torch.ones_like(reach)
    for rows in ((reach > 0) & ~is_error).nonzero()[:, 0].split(ROWS_AT_ONCE):
        effects = adjacency[rows].abs_()
        totals = effects.sum(dim=1).clamp(min=1e-10)
        explained[rows] -= effects[:, is_error].sum(dim=1) / totals
    return _scores(influence, reach, explained, is_error, is_token)


def edge_scores(
    layers: Int[Tensor, " n"],
    weights: Float[Tensor, " n"],
    edges: tuple[Int[Tensor, " n_edges"], Int[Tensor, " n_edges"], Float[Tensor, " n_edges"]],
    is_error: Bool[Tensor, " n"],
    is_token: Bool[Tensor, " n"],
) -> GraphScores:
    """Return the scores that ``matrix_scores`` gives, from a list of edges.

    Args:
        layers: Of each node, -1 for tokens; edges lead to higher layers.
        weights: Weight of each output, 0 elsewhere.
        edges: Source, target and direct effect of each edge.
        is_error: Nodes that explain nothing.
        is_token: Nodes that need no explanation.
    """
    sources, targets, effects = edges
    open_ends = ~is_error[targets]  # influence that reaches an error stays there
    sources, targets, effects = sources[open_ends], targets[open_ends], effects[open_ends].abs()
    influence = propagate_edges(layers, weights, sources, targets, effects)
    totals = torch.zeros_like(weights).index_add_(0, targets, effects)
    wrong = torch.zeros_like(weights).index_add_(0, targets, effects * is_error[sources])
    reach = influence + weights
    explained = 1 - torch.where(reach > 0, wrong / totals.clamp(min=1e-10), 0.0)
    return _scores(influence, reach, explained, is_error, is_token)


def _scores(
    influence: Float[Tensor, " n"],
    reach: Float[Tensor, " n"],
    explained: Float[Tensor, " n"],
    is_error: Bool[Tensor, " n"],
    is_token: Bool[Tensor, " n"],
) -> GraphScores:
    tokens, errors = influence[is_token].sum(), influence[is_error].sum()
    has_inputs = reach * ~(is_error | is_token)
    return GraphScores(
        replacement=_share(tokens, tokens + errors),
        completeness=_share((explained * has_inputs).sum(), has_inputs.sum()),
        completeness_circuit_tracer=_share((explained * reach).sum(), reach.sum()),
    )


def _share(part: Tensor, whole: Tensor) -> float:
    """Return part of whole; 1 where there is nothing to explain."""
    return float(part / whole) if whole > 0 else 1.0
