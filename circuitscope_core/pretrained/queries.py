"""The directions that make a head's query or key, through the family's own attention."""

from dataclasses import dataclass

import torch
from torch import Tensor

from circuitscope_core.language_model import (
    HeadSide,
    Record,
    apply_norm,
    back_through_norm,
    norm_at,
)
from circuitscope_core.pretrained.attention import jacobian, seeing
from circuitscope_core.pretrained.taps import Call


@dataclass(frozen=True)
class AskedHead:
    """One head's query or key at one position."""

    layer: int
    head: int
    n_heads: int
    """Heads of the layer."""
    position: int
    side: HeadSide


def read_head(
    clean: Record, attention: Call, asked: AskedHead, weight_dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return directions ``[d_head, d_model]`` and biases; see ``LanguageModel.head_reads``.

    Args:
        clean: The pass.
        attention: The layer's attention, as the model calls it.
        asked: The head.
        weight_dtype: The precision that the model computes in.
    """
    one, position = clean.sequence().layers[asked.layer], asked.position
    stream = clean.streams[asked.layer].reshape(1, clean.n_pos, -1)
    reads = apply_norm(one.attention_norm, stream.detach())
    with torch.enable_grad(), seeing() as seen:
        own = attention.input.device
        row = reads[0, position].to(own, weight_dtype).requires_grad_()
        rows = reads.to(own, weight_dtype, copy=True)
        rows[0, position] = row
        attention.run(rows)
        values = seen.query if asked.side == "query" else seen.key
        assert values is not None
        group = asked.n_heads // values.shape[1]
        value = values[0, asked.head // group, position]
        if asked.side == "query":
            value = value * (seen.settings.get("scaling") or len(value) ** -0.5)
            value = value * len(value) ** 0.5
        directions = jacobian(value, row).to(stream)
    directions = back_through_norm(norm_at(one.attention_norm, [position]), directions)
    return directions, value.detach().to(stream) - directions @ stream[0, position]
