"""The outputs of a graph: how much each counts, and the answer that several of them make."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

SMALLEST = 1e-30
"""A probability below this is taken for it where one is divided by."""


def output_weights(
    probabilities: Float[Tensor, " n_outputs"],
    positions: Int[Tensor, " n_outputs"],
    token_ids: Int[Tensor, " n_outputs"],
) -> Float[Tensor, " n_outputs"]:
    """Return how much each output counts in influence; never more than 1 together.

    The outputs of one position count by their probabilities. Where an answer is explained, whose
    tokens are read at several positions, all positions count alike, however sure the model was of
    each, and together as much as is explained of a position on average.

    Args:
        probabilities: The model's own, each at its position.
        positions: The position that each output is read at.
        token_ids: -1 for an output that is no token; then ``probabilities`` are weights already.
    """
    columns, at = torch.unique(positions, return_inverse=True)
    if len(columns) < 2 or bool((token_ids < 0).any()):
        return probabilities
    totals = probabilities.new_zeros(len(columns)).index_add_(0, at, probabilities)
    within = probabilities / totals[at].clamp(min=SMALLEST)
    return within * (totals.mean() / len(columns))


@dataclass(frozen=True)
class ExplainedAnswer:
    """An answer of several tokens that a graph explains."""

    text: str
    """The answer's tokens in their order, the likeliest of each position."""
    probability: float
    """The probability of all of them, one after another."""


def answer_among(
    texts: Sequence[str], probabilities: Sequence[float], positions: Sequence[int]
) -> ExplainedAnswer | None:
    """Return the answer that outputs at several positions make; None where they have but one.

    Args:
        texts: Of each output that is a token.
        probabilities: Of each.
        positions: The position that each is read at.
    """
    best: dict[int, tuple[float, str]] = {}
    for text, probability, position in zip(texts, probabilities, positions, strict=True):
        if position not in best or probability > best[position][0]:
            best[position] = (probability, text)
    if len(best) < 2:
        return None
    whole, chance = "", 1.0
    for position in sorted(best):
        probability, text = best[position]
        gap = "…" if whole and position - 1 not in best else ""
        whole, chance = whole + gap + text, chance * probability
    return ExplainedAnswer(whole, chance)
