"""One layer's attention as a constant linear map, and gradients that it carries."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.language_model.record import LayerRecord

PATTERN_BLOCK = 64
"""Positions whose parts of a pattern are one product, where half of it is 0."""


@dataclass(frozen=True)
class FrozenHeads:
    """One layer's attention as a constant linear map, its norms being part of it.

    The gain and centring of the norm before attention are folded into ``values``, those of a norm
    after it into ``out``; the denominators of both belong to the weights between positions. These
    are made as they are needed: a pattern is as large as the square of the prompt.
    """

    pattern: Float[Tensor, "n_heads n_pos n_pos"]
    """The position that reads first, the one that is read second; the record's own."""
    out: Float[Tensor, "n_heads d_head d_model"]
    values: Float[Tensor, "n_kv_heads d_model d_head"]
    of_queries: Float[Tensor, "n_pos 1"]
    of_keys: Float[Tensor, " n_pos"]
    """Factors from the denominators."""

    @classmethod
    def of(cls, layer: LayerRecord) -> "FrozenHeads":
        """Return a recorded layer's attention, its norms folded in."""
        values, out, pattern = layer.W_V, layer.W_O, layer.pattern
        of_keys = pattern.new_ones(pattern.shape[-1])
        of_queries = of_keys[:, None]
        before, after = layer.attention_norm, layer.attention_post_norm
        if before is not None:
            values = values * before.gain[:, None]
            values = values - values.mean(dim=1, keepdim=True) if before.centred else values
            of_keys = 1 / before.scale[:, 0]
        if after is not None:
            out = out - out.mean(dim=2, keepdim=True) if after.centred else out
            out = out * after.gain
            of_queries = 1 / after.scale
        return cls(pattern, out.contiguous(), values.contiguous(), of_queries, of_keys)

    def weights(
        self,
        head: int | slice = slice(None),
        queries: Tensor | slice = slice(None),
        keys: slice = slice(None),
    ) -> Float[Tensor, "*n_heads n_queries n_keys"]:
        """Return how much of some positions' values is written to some others."""
        part = self.pattern[head][..., queries, keys]
        return part * self.of_queries[queries] * self.of_keys[keys]

    @property
    def d_head(self) -> int:
        """Width of a head."""
        return self.out.shape[1]

    @cached_property
    def values_side_by_side(self) -> Float[Tensor, "d_model d_values"]:
        """The value weights of all key/value heads."""
        return self.values.transpose(0, 1).flatten(start_dim=1)

    @cached_property
    def out_side_by_side(self) -> Float[Tensor, "d_model d_out"]:
        """The output weights of all heads, transposed."""
        return self.out.flatten(end_dim=1).T

    @property
    def values_by_head(self) -> Float[Tensor, "n_heads d_model d_head"]:
        """Each head's value weights; heads that share values stand side by side."""
        shared = len(self.out) // len(self.values)
        return self.values.repeat_interleave(shared, dim=0) if shared > 1 else self.values

    def back_through_pattern(
        self, written: Float[Tensor, "n_heads n_seen _"], *, causal: bool
    ) -> Float[Tensor, "n_kv_heads n_seen _"]:
        """Carry gradients of what heads write to the positions that their values are read from.

        Heads that share values are added up. Where positions only look to the left, blocks of the
        pattern that are 0 are left out.
        """
        n_seen, n_kv = written.shape[1], len(self.values)
        found = written.new_empty(n_kv, *written.shape[1:])
        by_group = written.unflatten(0, (n_kv, -1)).unbind(dim=1)
        for first in range(0, n_seen, PATTERN_BLOCK):
            last, start = min(first + PATTERN_BLOCK, n_seen), first if causal else 0
            weights = self.weights(queries=slice(start, n_seen), keys=slice(first, last)).mT
            here = found[:, first:last]
            groups = zip(weights.unflatten(0, (n_kv, -1)).unbind(dim=1), by_group, strict=True)
            for number, (own, heads) in enumerate(groups):
                torch.baddbmm(here, own, heads[:, start:], beta=min(number, 1), out=here)
        return found


@dataclass(frozen=True)
class Spread:
    """Gradients that are the same few vectors at every position, weighted differently."""

    vectors: Float[Tensor, "few n d_model"]
    weights: Float[Tensor, "few n_seen n"]

    def full(self) -> Float[Tensor, "n_seen n d_model"]:
        """Return the gradient at every position."""
        gradient = self.vectors.new_empty(self.weights.shape[1], *self.vectors.shape[1:])
        torch.mul(self.weights[0][..., None], self.vectors[0], out=gradient)
        for vectors, weights in zip(self.vectors[1:], self.weights[1:], strict=True):
            gradient.addcmul_(weights[..., None], vectors)
        return gradient


def scatter(
    vectors: Float[Tensor, "n d_model"], positions: Int[Tensor, " n"], n_pos: int
) -> Float[Tensor, "n_pos n d_model"]:
    """Return gradients that are 0 but at each vector's own position."""
    gradient = vectors.new_zeros(n_pos, *vectors.shape)
    gradient[positions, torch.arange(len(vectors), device=vectors.device)] = vectors
    return gradient
