"""Rank correlation, cosine and error of vectors, and means with their uncertainty."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.interventions.divergence import kl_bits as kl_bits

N_RESAMPLES = 2_000
LEAST_RANKED = 3
"""Two values always correlate fully: fewer than these are not ranked."""


@dataclass(frozen=True)
class Figure:
    """A mean over prompts and the interval that holds it with 95 % confidence."""

    mean: float
    low: float
    high: float
    n: int
    """Prompts on which the figure is defined."""


def rank(values: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return ranks from 0; equal values share their mean rank."""
    _, places, counts = values.unique(return_inverse=True, return_counts=True)
    last = counts.cumsum(0) - 1
    ranks: Tensor = (last - (counts - 1) / 2)[places].double()
    return ranks


def spearman(ours: Float[Tensor, " n"], measured: Float[Tensor, " n"]) -> float:
    """Return Spearman's rank correlation, -1 to 1.

    NaN where it is not defined: fewer than three values, or all the same.
    """
    if len(ours) < LEAST_RANKED:
        return math.nan
    first, second = rank(ours), rank(measured)
    first, second = first - first.mean(), second - second.mean()
    scale = first.norm() * second.norm()
    return float(first @ second / scale) if scale > 0 else math.nan


def cosine(
    ours: Float[Tensor, "n_pairs ..."], measured: Float[Tensor, "n_pairs ..."]
) -> Float[Tensor, " n_pairs"]:
    """Return the cosine of each pair, all its numbers taken as one vector; NaN for 0."""
    first, second = ours.flatten(1).double(), measured.flatten(1).double()
    cosines: Tensor = (first * second).sum(dim=1) / (first.norm(dim=1) * second.norm(dim=1))
    return cosines


def normalized_error(
    ours: Float[Tensor, "n_pairs ..."], measured: Float[Tensor, "n_pairs ..."]
) -> Float[Tensor, " n_pairs"]:
    """Return ``|ours - measured|^2 / |measured|^2`` of each pair; 0 is exact, 1 as bad as 0."""
    first, second = ours.flatten(1).double(), measured.flatten(1).double()
    return (first - second).square().sum(dim=1) / second.square().sum(dim=1)


def mean_of_defined(values: Sequence[float] | Tensor) -> float:
    """Return the mean of the values that are numbers; NaN where there is none."""
    array = np.asarray(values, dtype=np.float64)
    array = array[np.isfinite(array)]
    return float(array.mean()) if len(array) else math.nan


def summarize(values: Sequence[float], seed: int = 0) -> Figure | None:
    """Return the mean with a bootstrap interval over prompts; None where no prompt has a value.

    The interval goes from the 2.5th to the 97.5th percentile of the means of resampled prompts.

    Args:
        values: One for each prompt; NaN where a prompt has none.
        seed: Decides which prompts are drawn.
    """
    array = np.asarray(values, dtype=np.float64)
    array = array[np.isfinite(array)]
    if not len(array):
        return None
    drawn = np.random.default_rng(seed).integers(0, len(array), (N_RESAMPLES, len(array)))
    low, high = np.percentile(array[drawn].mean(axis=1), [2.5, 97.5])
    mean = float(array.mean())
    # rounding may put the mean of equal values beside them
    return Figure(mean, min(float(low), mean), max(float(high), mean), len(array))
