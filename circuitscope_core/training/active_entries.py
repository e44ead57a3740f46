"""The active features of a batch: the few entries of a large matrix, by token and by feature."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuitscope_core.transcoder import nonzero_entries


@dataclass(frozen=True)
class ActiveEntries:
    """One layer's active features of a batch: a sparse matrix, by token and by feature."""

    tokens: Int[Tensor, " n"]
    features: Int[Tensor, " n"]
    acts: Float[Tensor, " n"]
    token_starts: Int[Tensor, " batch"]
    by_feature: Int[Tensor, " n"]
    """Order that sorts the entries by their feature."""
    n_active: Int[Tensor, " d_transcoder"]
    """Tokens on which each feature is active."""

    @classmethod
    def of(
        cls,
        pre_acts: Float[Tensor, "batch d_transcoder"],
        threshold: Float[Tensor, " d_transcoder"],
    ) -> "ActiveEntries":
        """Find what exceeds its threshold."""
        return cls.where(pre_acts, pre_acts > threshold)

    @classmethod
    def where(
        cls,
        pre_acts: Float[Tensor, "batch d_transcoder"],
        is_active: Bool[Tensor, "batch d_transcoder"],
    ) -> "ActiveEntries":
        """Return the entries that are marked."""
        batch, width = pre_acts.shape
        tokens, features = nonzero_entries(is_active)
        if features.is_cpu:  # NumPy sorts 16-bit numbers by radix
            keys = features.numpy().astype(np.uint16 if width <= 2**16 else np.int64)
            order = torch.from_numpy(keys.argsort(kind="stable"))
        else:
            order = features.argsort(stable=True)
        acts = pre_acts[tokens, features]
        n_active = torch.bincount(features, minlength=width)
        starts = starts_of(torch.bincount(tokens, minlength=batch))
        return cls(tokens, features, acts, starts, order, n_active)

    def sum_by_token(
        self, weights: Float[Tensor, " n"], vectors: Float[Tensor, "d_transcoder width"]
    ) -> Float[Tensor, "batch width"]:
        """Return, for each token, the weighted sum of its active features' vectors."""
        return F.embedding_bag(
            self.features, vectors, self.token_starts, mode="sum", per_sample_weights=weights
        )

    def sum_by_feature(
        self, weights: Float[Tensor, " n"], vectors: Float[Tensor, "batch width"]
    ) -> Float[Tensor, "d_transcoder width"]:
        """Return, for each feature, the weighted sum of the vectors where it is active."""
        tokens, weights = self.tokens[self.by_feature], weights[self.by_feature]
        starts = starts_of(self.n_active)
        return F.embedding_bag(tokens, vectors, starts, mode="sum", per_sample_weights=weights)

    def total(self, values: Float[Tensor, " n"]) -> Float[Tensor, " d_transcoder"]:
        """Return each feature's sum of a value."""
        return values.new_zeros(len(self.n_active)).index_add_(0, self.features, values)


def starts_of(counts: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Return where each run begins, given how long the runs are."""
    return counts.cumsum(dim=0) - counts


def gradient_of(weight: Tensor) -> Tensor:
    """Return a weight's gradient, which is there."""
    gradient = weight.grad
    assert gradient is not None, "a step makes all of them first"
    return gradient
