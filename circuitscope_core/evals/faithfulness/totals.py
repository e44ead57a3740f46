"""The loss of outputs without a feature, over all paths: the linear prediction of a graph."""

from jaxtyping import Float
from torch import Tensor

from circuitscope_core import pruning
from circuitscope_core.graph import AttributionGraph


def total_effects(
    graph: AttributionGraph, losses: Float[Tensor, " n_nodes"]
) -> Float[Tensor, "n_logits n_features"]:
    """Return what a graph's outputs would lose with each feature, over all paths.

    Features in ``losses`` that are not 0 pass nothing on; see ``pruning.total_effects``.
    """
    n = graph.n_features
    rows = graph.rows(graph.every_node[graph.logit_nodes])
    return pruning.total_effects(graph, rows, held=losses[:n] != 0)[:, :n].float()
