"""Passes that are put together from records: the stream as the sum of what is written to it.

A layer's attention is a pattern and four weights, its norms are measured or frozen, its MLP output
is given. So the parts of a record add up to its stream whatever precision the model computes in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from circuitscope_core.language_model import (
    Compute,
    EditMlp,
    FinalNorm,
    Frozen,
    LayerRecord,
    MlpCall,
    NormMap,
    Record,
    apply_norm,
    norm_at,
)
from circuitscope_core.pretrained.families import Family, ValueWeights
from circuitscope_core.pretrained.mlp_weights import activation_of
from circuitscope_core.pretrained.modules import matrix, part
from circuitscope_core.pretrained.norms import (
    FinalWeights,
    GatedNormWeights,
    NormWeights,
    read_norm,
)


@dataclass(frozen=True)
class LayerNorms:
    """The norms of one layer; None where it has none."""

    attention_norm: NormWeights | None
    attention_post_norm: NormWeights | None
    read_norm: NormWeights | None
    write_norm: NormWeights | None
    mid_norm: NormWeights | None
    end_norm: NormWeights | None


def layer_norms(layer: nn.Module, family: Family, width: int, home: Compute) -> LayerNorms:
    """Read the norms of a layer of a family, whose stream has a width, onto a model's device."""
    paths = (
        family.attention_norm,
        family.attention_post_norm,
        family.read_norm,
        family.write_norm,
        family.mid_norm,
        family.end_norm,
    )
    return LayerNorms(
        *(None if path is None else norm_at_home(layer, path, width, home) for path in paths)
    )


def norm_at_home(root: nn.Module, path: str, width: int, home: Compute) -> NormWeights:
    """Read a norm in the precision of a model's records, onto the device of these."""
    return read_norm(part(root, path), width, home.dtype).on(home.device)


def final_weights(module: Any, family: Family, width: int, home: Compute) -> FinalWeights:
    """Read what lies between the last stream of a model and its unembedding."""
    linear = family.final_linear
    if linear is None:
        return norm_at_home(module, family.final_norm, width, home)
    weight, bias = (home.take(tensor) for tensor in matrix(part(module, linear)))
    norm = norm_at_home(module, family.final_norm, len(bias), home)
    return GatedNormWeights(weight, bias, activation_of(module), norm)


@dataclass(frozen=True)
class LayerParts:
    """One layer: its attention's linear part and its norms as numbers, its MLP as a function."""

    number: int
    weights: ValueWeights
    norms: LayerNorms
    parallel: bool
    run_mlp: Callable[[Tensor], Tensor]
    """Takes rows of the MLP's input to its output at the write point."""

    @property
    def heads_per_value(self) -> int:
        """Heads that read the same values."""
        return len(self.weights.W_O) // len(self.weights.W_V)

    def values(self, normed: Tensor) -> Tensor:
        """Return every head's values ``[*batch, n_heads, n_pos, d_head]``."""
        own = normed[..., None, :, :] @ self.weights.W_V + self.weights.b_V[:, None]
        return own.repeat_interleave(self.heads_per_value, dim=-3)

    def write(self, mixed: Tensor) -> Tensor:
        """Return what heads add to the stream, from their mixed values."""
        return (mixed @ self.weights.W_O).sum(dim=-3) + self.weights.b_O


WhichNorm: TypeAlias = Literal[
    "attention_norm", "attention_post_norm", "read_norm", "write_norm", "mid_norm", "end_norm"
]


@dataclass(frozen=True)
class FrozenParts:
    """The parts of a clean pass that another takes over."""

    clean: Record | None
    norms: bool

    @classmethod
    def of(cls, clean: Record | None, frozen: Frozen) -> "FrozenParts":
        """Return what is frozen: nothing where there is no clean pass."""
        return cls(None if frozen == "nothing" else clean, frozen == "norms")

    def norm(
        self, layer: LayerParts, which: WhichNorm, x: Tensor, rows: Tensor | None = None
    ) -> NormMap | None:
        """Return a layer's norm on ``x``: measured, or with the clean pass's denominators.

        Args:
            layer: The layer.
            which: The norm.
            x: Its input.
            rows: The positions of ``x``; None where they are all.
        """
        own: NormWeights | None = getattr(layer.norms, which)
        if own is None:
            return None
        if self.clean is None or not self.norms:
            return own.measure(x)
        norm: NormMap | None = getattr(self.clean.layers[layer.number], which)
        return norm if rows is None else norm_at(norm, rows)

    def final_norm(
        self, own: FinalWeights, x: Tensor, position: int | None = None
    ) -> FinalNorm | None:
        """Return the final norm, likewise; at all positions where none is given."""
        norm = self.clean.final_norm if self.clean and self.norms else None
        if norm is None:
            return own.measure(x)
        return norm if position is None else norm.rows([position])


def run_layer(
    parts: LayerParts,
    stream: Tensor,
    pattern: Tensor,
    frozen: FrozenParts,
    output: Callable[[MlpCall], Tensor],
) -> tuple[LayerRecord, Tensor]:
    """Return a layer's record and the stream after it.

    Args:
        parts: The layer.
        stream: Before it, ``[batch, n_pos, d_model]``.
        pattern: Of its attention.
        frozen: The parts that are taken over from a clean pass.
        output: Gives the MLP's output at the write point.
    """
    weights = parts.weights
    before = frozen.norm(parts, "attention_norm", stream)
    written = parts.write(pattern @ parts.values(apply_norm(before, stream)))
    post = frozen.norm(parts, "attention_post_norm", written)
    total = stream + apply_norm(post, written)
    mid_norm = frozen.norm(parts, "mid_norm", total)
    middle = apply_norm(mid_norm, total)
    source = stream if parts.parallel else middle
    read_norm = frozen.norm(parts, "read_norm", source)
    inputs = (parts.number, source, apply_norm(read_norm, source))
    call = MlpCall(*inputs, parts.run_mlp, resid_pre=stream, norm=read_norm)
    site = call.with_output(output(call))
    write_norm = frozen.norm(parts, "write_norm", site.mlp_out)
    after = middle + apply_norm(write_norm, site.mlp_out)
    end_norm = frozen.norm(parts, "end_norm", after)
    record = LayerRecord(
        pattern=pattern,
        W_V=weights.W_V,
        b_V=weights.b_V,
        W_O=weights.W_O,
        b_O=weights.b_O,
        site=site,
        attention_norm=before,
        attention_post_norm=post,
        write_norm=write_norm,
        parallel=parts.parallel,
        mid_norm=mid_norm,
        end_norm=end_norm,
    )
    return record, apply_norm(end_norm, after)


@dataclass(frozen=True)
class Suffix:
    """A stream in the middle of a pass, the positions left of it being those of a clean pass."""

    clean: Record
    stream: Tensor
    """``[batch, n_pos - start, d_model]``, before ``first_layer``."""
    first_layer: int
    start: int
    asked: int
    """The position whose logits are wanted; not left of ``start``."""

    @property
    def of_asked(self) -> Tensor:
        """The stream at the position asked, ``[batch, 1, d_model]``."""
        place = self.asked - self.start
        return self.stream[:, place : place + 1]

    def left(self, layer: int) -> Tensor:
        """Return the clean stream before a layer at the positions to the left."""
        stream = self.clean.streams[layer]
        return stream.reshape(1, self.clean.n_pos, -1)[:, : self.start]

    @property
    def whole(self) -> Tensor:
        """The stream at all positions, ``[batch, n_pos, d_model]``."""
        left = self.left(self.first_layer).expand(len(self.stream), -1, -1)
        return torch.cat([left, self.stream], dim=1)


def run_frozen_suffix(
    layers: Sequence[LayerParts],
    suffix: Suffix,
    frozen: FrozenParts,
    output: Callable[[MlpCall], Tensor],
) -> Tensor:
    """Return one position's stream after the last layer, patterns being those of a clean pass.

    Only positions that may have changed are computed, and in the last layer the one asked alone.
    """
    for parts in layers[suffix.first_layer :]:
        stream, start = suffix.stream, suffix.start
        is_last = parts.number == len(layers) - 1
        seen = (
            range(suffix.asked, suffix.asked + 1) if is_last else range(start, suffix.clean.n_pos)
        )
        rows = torch.arange(seen.start, seen.stop, device=stream.device)
        pattern = suffix.clean.layers[parts.number].pattern[..., rows, :]
        written = parts.write(pattern @ _values(parts, suffix, frozen))
        post = frozen.norm(parts, "attention_post_norm", written, rows)
        own = stream[:, seen.start - start : seen.stop - start]
        total = own + apply_norm(post, written)
        middle = apply_norm(frozen.norm(parts, "mid_norm", total, rows), total)
        source = own if parts.parallel else middle
        norm = frozen.norm(parts, "read_norm", source, rows)
        inputs = (parts.number, source, apply_norm(norm, source))
        call = MlpCall(*inputs, parts.run_mlp, rows, resid_pre=own, norm=norm)
        out = output(call)
        write_norm = frozen.norm(parts, "write_norm", out, rows)
        total = middle + apply_norm(write_norm, out)
        after = apply_norm(frozen.norm(parts, "end_norm", total, rows), total)
        suffix = replace(suffix, stream=after, first_layer=parts.number + 1, start=seen.start)
    return suffix.of_asked


def _values(parts: LayerParts, suffix: Suffix, frozen: FrozenParts) -> Tensor:
    """Return all positions' values: those to the left as in the clean pass."""
    stream, start = suffix.stream, suffix.start
    every = torch.arange(suffix.clean.n_pos, device=stream.device)
    norm = frozen.norm(parts, "attention_norm", stream, every[start:])
    seen = parts.values(apply_norm(norm, stream))
    left_norm = norm_at(suffix.clean.layers[parts.number].attention_norm, every[:start])
    left = parts.values(apply_norm(left_norm, suffix.left(parts.number)))
    return torch.cat([left.expand(len(seen), -1, -1, -1), seen], dim=-2)


def edited_or_run(edit_mlp: EditMlp | None) -> Callable[[MlpCall], Tensor]:
    """Return what gives an MLP's output: the edit, or the MLP."""
    return edit_mlp or MlpCall.mlp_out


def given(output: Tensor) -> Callable[[MlpCall], Tensor]:
    """Return what gives an MLP's output where it is known."""
    return lambda _: output
