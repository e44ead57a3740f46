"""Influence: every node's share in the outputs, over all paths."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuitscope_core.graph import AttributionGraph

ROWS_AT_ONCE = 128
"""Rows of the adjacency looked at together: a copy of so few stays small."""


def compute_node_influence(graph: AttributionGraph) -> Float[Tensor, " n_nodes"]:
    """Sum each node's effect on the outputs over every path.

    Equals ``w ((I - N)^-1 - I)`` with ``N`` the adjacency's absolute values, each row as shares of
    its sum, and ``w`` the probabilities of the logits. Features act only on higher layers, so one
    pass from the top is exact.

    Source: Ameisen et al. (2025), graph pruning,
    https://transformer-circuits.pub/2025/attribution-graphs/methods.html
    """
    return propagate(graph.node_layers, graph.logit_weights, graph.adjacency)


def propagate(
    layers: Int[Tensor, " n"],
    weights: Float[Tensor, " n"],
    adjacency: Float[Tensor, "n n"],
    ends: Bool[Tensor, " n"] | None = None,
) -> Float[Tensor, " n"]:
    """Return influence where ``adjacency`` leads from each node to nodes of lower layers only.

    Influence that reaches one of the ``ends`` stays there.
    """
    weights = weights.double()
    influence = torch.zeros_like(weights)
    for layer in layers[layers >= 0].unique().flip(0).tolist():
        # all that these nodes lead to has been added up
        reach = influence + weights
        on_the_way = (layers == layer) & (reach > 0)
        if ends is not None:
            on_the_way &= ~ends
        targets = on_the_way.nonzero()[:, 0]
        for rows in targets.split(ROWS_AT_ONCE):
            effects = adjacency[rows].abs_()
            shares = reach[rows] / effects.sum(dim=1).clamp(min=1e-10)
            influence += shares.float() @ effects
    return influence.float()


def propagate_edges(
    layers: Int[Tensor, " n"],
    weights: Float[Tensor, " n"],
    sources: Int[Tensor, " n_edges"],
    targets: Int[Tensor, " n_edges"],
    effects: Float[Tensor, " n_edges"],
) -> Float[Tensor, " n"]:
    """Return the influence that ``propagate`` gives, from a list of edges.

    Args:
        layers: Of each node, -1 for tokens; edges lead to higher layers.
        weights: Weight of each output, 0 elsewhere.
        sources: Node that each edge leaves.
        targets: Node that it enters.
        effects: Its direct effect.
    """
    totals = torch.zeros_like(weights).index_add_(0, targets, effects.abs())
    shares = (effects.abs() / totals[targets].clamp(min=1e-10)).double()
    order = layers[targets].argsort(descending=True, stable=True)
    counts = layers[targets[order]].unique_consecutive(return_counts=True)[1]
    reach, influence = weights.double(), torch.zeros_like(weights, dtype=torch.float64)
    for some in order.split(counts.tolist()):
        # all edges into these nodes' layer come at once, after those into all higher layers
        flow = (influence + reach)[targets[some]] * shares[some]
        influence.index_add_(0, sources[some], flow)
    return influence.float()


def find_threshold(scores: Float[Tensor, " n"], keep: float) -> float:
    """Return the score of the last item needed to hold a share ``keep`` of the total.

    Args:
        scores: At least 0, in any order.
        keep: From 0 to 1. At 1 every item above 0 is needed.
    """
    ordered = scores.double().sort(descending=True).values
    reached = ordered.cumsum(0)
    if not len(ordered) or reached[-1] == 0:
        return 0.0
    last = int(torch.searchsorted(reached / reached[-1], keep))
    n_above_zero = int(torch.count_nonzero(ordered))
    return float(ordered[min(last, n_above_zero - 1)])
