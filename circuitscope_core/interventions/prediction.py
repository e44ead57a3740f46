"""Predictions of a graph: the changes of its nodes when parts of its sources are taken away."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.graph import AttributionGraph
from circuitscope_core.values import one_line


@one_line
@dataclass(frozen=True)
class PredictedChanges:
    """The changes that a graph predicts for each of its nodes."""

    losses: Float[Tensor, " n_nodes"]
    """Share of a feature's, an error's or a token's own effect that goes: 1 is all of it."""
    changes: Float[Tensor, " n_nodes"]
    """The change of a feature's pre-activation or of a logit less the mean logit; 0 elsewhere."""


def predict_direct(
    graph: AttributionGraph, losses: Float[Tensor, " n_nodes"]
) -> Float[Tensor, " n_nodes"]:
    """Return what each feature and logit gains if the sources lose a share of their effect.

    Along direct edges alone, all else frozen: exact.
    """
    return -(graph.adjacency @ losses)


def predict_total(
    graph: AttributionGraph,
    losses: Float[Tensor, " n_nodes"],
    thresholds: Float[Tensor, " n_features"] | None = None,
) -> PredictedChanges:
    """Carry a loss along all paths: a feature that gets less gives less to all that it feeds.

    Attention and norms stay frozen. A feature whose pre-activation falls to its threshold gives
    nothing; one that stays above is linear. Features in ``losses`` that are not 0 are held where
    they are.

    Args:
        graph: The graph.
        losses: Share of each source's effect that is taken away by hand; below 0 it grows.
        thresholds: Of each feature node; 0 where None. Minus infinity, as of a top-k without a
            ReLU, for a feature that is linear whatever happens; which features are among the k
            largest is held as it is.
    """
    total = losses.clone()
    limits = torch.zeros_like(graph.activations) if thresholds is None else thresholds
    if thresholds is None and graph.choice is not None:
        limits = limits - torch.inf  # nothing switches a neuron off
    held = losses != 0
    changes = torch.zeros_like(losses)
    layers = graph.node_layers
    for layer in range(graph.n_layers):
        rows = graph.every_node[: graph.n_features][layers[: graph.n_features] == layer]
        if not len(rows):
            continue
        changes[rows] = -(graph.adjacency[rows] @ total)
        lost = -changes[rows] / graph.activations[rows]
        lost[graph.activations[rows] + changes[rows] <= limits[rows]] = 1
        total[rows] = torch.where(held[rows], losses[rows], lost)
    outputs = graph.every_node[graph.logit_nodes]
    changes[outputs] = -(graph.adjacency[outputs] @ total)
    return PredictedChanges(total, changes)
