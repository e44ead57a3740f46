"""What outputs lose with a feature, over all paths: the linear prediction of a graph."""

from jaxtyping import Float
from torch import Tensor

from circuitscope_core.graph import AttributionGraph


def total_effects(
    graph: AttributionGraph, losses: Float[Tensor, " n_nodes"]
) -> Float[Tensor, "n_logits n_features"]:
    """Return what a graph's outputs would lose with each feature, over all paths.

    Every feature on the way is linear, and loses the same share of its activation as it gets less.
    Features in ``losses`` that are not 0 pass nothing on.
    """
    n, layers = graph.n_features, graph.features[:, 0]
    total = graph.adjacency[graph.logit_nodes, :n].clone()
    passing = losses[:n] == 0
    for layer in range(graph.n_layers - 1, 0, -1):
        rows = ((layers == layer) & passing).nonzero()[:, 0]
        total += (total[:, rows] / graph.activations[rows]) @ graph.adjacency[rows, :n]
    return total
