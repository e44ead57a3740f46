"""A score for pruning: the effect of a node on the answer's distribution, as the graph says.

Softmax answers to differences of logits alone. So the tokens that may come at a position, outputs
and alternatives together, are held against their mean, and a node that lifts all of them alike
counts nothing.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuitscope_core.graph import Alternatives, AttributionGraph, Outcomes, outcomes_between
from circuitscope_core.pruning.influence import ROWS_AT_ONCE


def answer_score(graph: AttributionGraph) -> Float[Tensor, " n_nodes"] | None:
    """Return each node's share in what decides between the tokens that may come.

    The mean of two shares, each of all nodes together. ``p`` are the probabilities of a position's
    tokens, ``A'`` the direct effects on their logits, less ``sum_j p_j A_j``:

    * *Through absolute values*: a node's ``sum_k p_k |A'_k|``, and what it gives to others in
      proportion, as influence is propagated. Paths that cancel one another count in full.
    * *Through signed sums*: the standard deviation ``sqrt(sum_k p_k d_k^2)`` of a node's total
      effects ``d_k`` on the same, paths added up with their signs. Half its square is what the
      answer's divergence begins with when the node is taken away.

    Where an answer has several positions, the first is a sum over them, the second the root of the
    sum of squares.

    Returns:
        Shares that add up to 1, or to 0 where nothing has an effect. None where there is nothing to
        tell apart: an output is no token, a position has one token only, or the graph is of a
        model's own neurons, which are ranked by what they were chosen for.
    """
    outcomes = outcomes_of(graph)
    if outcomes is None:
        return None
    weights = torch.cat([part.weights for part in outcomes])
    rows = torch.cat([part.rows for part in outcomes])
    absolute = propagate_from(graph, weights @ rows.abs())
    signed = (weights @ total_effects(graph, rows).square()).sqrt()
    return ((_shares(absolute) + _shares(signed)) / 2).float()


def outcomes_of(graph: AttributionGraph) -> tuple[Outcomes, ...] | None:
    """Return the tokens that may come at each explained position; None as for ``answer_score``."""
    if graph.choice is not None:
        return None
    own = (graph.logit_token_ids, graph.logit_probabilities, graph.target_positions)
    rows = graph.rows(graph.every_node[graph.logit_nodes])
    return outcomes_between(Alternatives(*own, rows), graph.alternatives)


def propagate_from(
    graph: AttributionGraph, start: Float[Tensor, " n_nodes"]
) -> Float[Tensor, " n_nodes"]:
    """Return what nodes have, and hand on to those that they come from.

    Args:
        graph: The graph.
        start: What each node has of its own. A feature hands on all that it gets, in proportion to
            the absolute direct effects on it.
    """
    reached = start.double().clone()
    for rows, effects in _from_the_top(graph):
        effects = effects.abs_()
        shares = reached[rows] / effects.sum(dim=1).clamp(min=1e-10)
        reached += shares.float() @ effects
    return reached


def total_effects(
    graph: AttributionGraph,
    rows: Float[Tensor, "n n_nodes"],
    held: Bool[Tensor, " n_features"] | None = None,
) -> Float[Tensor, "n n_nodes"]:
    """Return what some outputs would lose with each node, over all paths, signs kept.

    Every feature on the way is linear, and loses the same share of its activation as it gets less.

    Args:
        graph: The graph.
        rows: Direct effects on the outputs.
        held: Features that stay as they are, and so pass nothing on; None: there are none.
    """
    still = torch.zeros_like(graph.activations, dtype=torch.bool) if held is None else held
    still = still | (graph.activations == 0)
    totals = rows.double().clone()
    for nodes, effects in _from_the_top(graph):
        shares = (totals[:, nodes] / graph.activations[nodes]).masked_fill(still[nodes], 0)
        totals += shares.float() @ effects
    return totals


def _from_the_top(graph: AttributionGraph) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield features, those of the highest layer first, and copies of the effects on them."""
    layers = graph.features[:, 0]
    for layer in range(graph.n_layers - 1, -1, -1):
        for nodes in (layers == layer).nonzero()[:, 0].split(ROWS_AT_ONCE):
            yield nodes, graph.rows(nodes)


def _shares(values: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return values as shares of their sum; zeros where that is 0."""
    total = values.sum()
    return values / total if total > 0 else torch.zeros_like(values)
