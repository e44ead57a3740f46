"""The unembedding of a Hugging Face model as the engine asks for it."""

from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

ROWS_AT_ONCE = 16_384
"""Rows of the unembedding that are turned into float32 together."""


class Unembedding:
    """The layer that makes logits of the final norm's output.

    Args:
        module: A model of ``transformers``, whose own layer keeps its precision; rows are given in
            float32, or in float64 where it is in double precision.
    """

    def __init__(self, module: Any) -> None:
        self._head: nn.Module = module.get_output_embeddings()

    @property
    def _weight(self) -> Float[Tensor, "d_vocab d_model"]:
        weight = self._head.weight
        assert isinstance(weight, Tensor)
        return weight.detach()

    @property
    def _dtype(self) -> torch.dtype:
        return torch.float64 if self._weight.dtype == torch.float64 else torch.float32

    @property
    def d_vocab(self) -> int:
        """Number of logits."""
        return len(self._weight)

    @cached_property
    def _bias(self) -> Float[Tensor, " d_vocab"]:
        bias: Tensor | None = getattr(self._head, "bias", None)
        if bias is None:
            return self._weight.new_zeros(self.d_vocab, dtype=self._dtype)
        return bias.detach().to(self._dtype)

    @cached_property
    def mean(self) -> tuple[Float[Tensor, " d_model"], Float[Tensor, ""]]:
        """The direction and bias of the mean of all logits."""
        return self._weight.mean(dim=0, dtype=self._dtype), self._bias.mean()

    @cached_property
    def _place(self) -> torch.device:
        return self._weight.device

    def of(
        self, token_ids: Int[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n d_model"], Float[Tensor, " n"]]:
        """Return the directions and biases of some tokens' logits."""
        rows = token_ids.to(self._place)
        found = self._weight[rows].to(self._dtype), self._bias[rows]
        return found[0].to(token_ids.device), found[1].to(token_ids.device)

    def logits(self, final: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_vocab"]:
        """Return all logits of the final norm's output."""
        weight = self._weight
        parts = weight.split(len(weight) if weight.dtype == self._dtype else ROWS_AT_ONCE)
        here = final.to(self._place)  # of a model on several devices, another than the record's
        logits = [F.linear(here, rows.to(self._dtype)) for rows in parts]
        return (torch.cat(logits, dim=-1) + self._bias).to(final.device)
