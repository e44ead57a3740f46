"""The tokens that may come at a position, each held against all of them."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.graph.alternatives import Alternatives
from circuitscope_core.values import one_line


@one_line
@dataclass(frozen=True)
class Outcomes:
    """The tokens that may come at one explained position, each less their mean."""

    weights: Float[Tensor, " n"]
    """Probabilities, which add up to 1 over these tokens."""
    rows: Float[Tensor, "n n_columns"]
    """Effects on each logit less the mean of all of them by ``weights``."""


def outcomes_between(
    outputs: Alternatives, others: Alternatives | None
) -> tuple[Outcomes, ...] | None:
    """Return the tokens that may come at each explained position.

    Where a position's outputs are less likely than its alternatives, the question is why these and
    not the others: the alternatives are then one outcome, which has half of the weight.

    Args:
        outputs: The tokens that are explained.
        others: Likely tokens beside them; None: there are none.

    Returns:
        None where there is nothing to tell apart: an output is no token, or a position has one
        token only.
    """
    if bool((outputs.token_ids < 0).any()):
        return None
    found = []
    for position in outputs.positions.unique():
        here = outputs.positions == position
        weights, rows = outputs.probabilities[here].double(), outputs.effects[here].double()
        beside = _others_at(others, position, float(weights.sum()))
        if beside is not None:
            shares = weights / weights.sum().clamp(min=1e-30) / 2
            weights = torch.cat([shares if beside.joined else weights, beside.weights])
            rows = torch.cat([rows, beside.rows])
        if len(weights) < 2 or not weights.sum() > 0:
            return None
        weights = weights / weights.sum()
        found.append(Outcomes(weights, rows - weights @ rows))
    return tuple(found)


@dataclass(frozen=True)
class _Others:
    """The alternatives of one position."""

    weights: Float[Tensor, " n"]
    rows: Float[Tensor, "n n_columns"]
    joined: bool
    """True where they are one outcome, of half the weight."""


def _others_at(others: Alternatives | None, position: Tensor, outputs: float) -> _Others | None:
    """Return the alternatives of a position whose outputs have some probability together."""
    if others is None:
        return None
    there = others.positions == position
    weights, rows = others.probabilities[there].double(), others.effects[there].double()
    total = weights.sum()
    if total <= outputs or not len(weights):
        return _Others(weights, rows, joined=False)
    return _Others(weights.new_full((1,), 0.5), (weights / total @ rows)[None], joined=True)
