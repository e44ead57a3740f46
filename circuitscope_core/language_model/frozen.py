"""The frozen algebra: a recorded pass with patterns and norm denominators as constants.

The rest of a model is linear between MLP outputs. Everything a family of models can differ in
is data of its records, so the algebra is the same for all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.config import ReadPoint
from circuitscope_core.language_model.record import (
    LayerRecord,
    NormMap,
    Record,
    apply_norm,
    back_through_norm,
    through_norm,
)


@dataclass(frozen=True)
class SilencedPass:
    """One pass of the frozen model with every node at 0: only constants are left."""

    streams: Float[Tensor, "n_layers n_pos d_model"]
    """Before each layer."""
    reads: Float[Tensor, "n_layers n_pos d_model"]
    """At each layer's read point."""
    final: Float[Tensor, "n_pos d_model"]
    """The final norm's output."""


@dataclass(frozen=True)
class FrozenModel:
    """One prompt's forward pass, seen as a linear map from embeddings and MLP outputs to targets.

    Gradients are ``[n_pos, d_model, n]``: position first, so that positions to the right of a
    target can be cut away by slicing, and targets last, so that each head's part of every position
    is one block of memory.
    """

    record: Record
    """The record of one sequence, without batch axes; see ``Record.sequence``."""
    read_point: ReadPoint
    """The place that encoders read."""

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return self.record.n_layers

    @property
    def n_heads(self) -> int:
        """Number of heads in each layer."""
        return len(self.record.layers[0].W_O)

    @property
    def n_pos(self) -> int:
        """Number of tokens."""
        return self.record.n_pos

    @property
    def causal(self) -> bool:
        """Whether positions only look to the left."""
        return self.record.causal

    @property
    def norms_stream(self) -> bool:
        """Whether layers normalise the stream itself, after attention or after the MLP."""
        first = self.record.layers[0]
        return first.mid_norm is not None or first.end_norm is not None

    def n_seen(self, positions: Int[Tensor, " n"]) -> int:
        """Return how many positions can act on any of those given."""
        return int(positions.max()) + 1 if self.causal else self.n_pos

    @cached_property
    def _heads(self) -> tuple["_FrozenHeads", ...]:
        """Every layer's heads with norms folded in."""
        return tuple(map(_FrozenHeads.of, self.record.layers))

    def starts_before_attention(self, layer: int) -> bool:
        """Return whether a layer's encoder reads the stream that its attention reads."""
        if layer == self.n_layers:
            return False
        return self.read_point == "pre" or self.record.layers[layer].parallel

    def at_positions(
        self, vectors: Float[Tensor, "n d_model"], positions: Int[Tensor, " n"], n_seen: int
    ) -> "Spread":
        """Return gradients of the stream that are 0 but at each vector's own position."""
        stayed = vectors.new_zeros(1, n_seen, len(vectors))
        stayed[0, positions, torch.arange(len(vectors), device=vectors.device)] = 1
        return Spread(vectors.T[None], stayed)

    def back_from_query(
        self,
        layer: int,
        vectors: Float[Tensor, "n d_model"],
        positions: Int[Tensor, " n"],
        n_seen: int,
    ) -> "Spread":
        """Carry vectors, each at one position after attention, to before a layer's attention.

        A vector at one position is carried by one row of each pattern: far less work than carrying
        a gradient that is 0 everywhere else.
        """
        heads = self._heads[layer]
        vectors = back_through_norm(_at(self.record.layers[layer].mid_norm, positions), vectors)
        written = (heads.out @ vectors.T).unflatten(0, (self.n_heads, -1))
        carried = torch.bmm(heads.values_by_head, written)
        stayed = self.at_positions(vectors, positions, n_seen)
        return Spread(
            torch.cat([stayed.vectors, carried]),
            torch.cat([stayed.weights, heads.pattern[:, :n_seen, positions]]),
        )

    def back_to_values(
        self,
        layer: int,
        gradient: Float[Tensor, "n_seen d_model n"],
        fresh: "Spread | None" = None,
    ) -> Float[Tensor, "n_seen d_values n"]:
        """Carry gradients from after a layer's attention to its heads' values.

        Args:
            layer: The layer.
            gradient: At the first ``n_seen`` positions; nothing lies to the right of them.
            fresh: The last columns of the gradient, where they are known as a few vectors: these
                are then multiplied in the place of the gradient at every position.
        """
        heads = self._heads[layer]
        n_seen, _, n = gradient.shape
        n_fresh = 0 if fresh is None else fresh.weights.shape[2]
        written = gradient.new_empty(n_seen, len(heads.out), n)
        old = written[:, :, : n - n_fresh]
        torch.bmm(heads.out.expand(n_seen, -1, -1), gradient[:, :, : n - n_fresh], out=old)
        if fresh is not None:
            Spread(heads.out @ fresh.vectors, fresh.weights).full(written[:, :, n - n_fresh :])
        if heads.heads_per_value == 1:
            moved = torch.empty_like(written)
        else:
            moved = written.new_empty(n_seen, heads.values.shape[1], n)
        for head in range(self.n_heads):
            heads.move(head, written, moved)
        return moved

    def back_from_values(
        self,
        layer: int,
        gradient: Float[Tensor, "n_seen d_model n"],
        values: Float[Tensor, "n_seen d_values n"],
    ) -> None:
        """Add to gradients after attention, in place, the part that comes from heads' values.

        With ``values`` from ``back_to_values`` the gradients are then those before attention.
        """
        weights = self._heads[layer].values
        gradient.baddbmm_(weights.expand(len(gradient), -1, -1), values)

    def to_values(
        self, layer: int, vectors: Float[Tensor, "*n d_model"]
    ) -> Float[Tensor, "*n d_values"]:
        """Return heads' values of vectors before attention, denominators aside."""
        return vectors @ self._heads[layer].values

    def back_through_heads(
        self, layer: int, gradient: Float[Tensor, "n_seen d_model n"]
    ) -> Float[Tensor, "n_heads n_seen d_model n"]:
        """Carry gradients from after attention to before it through each head alone.

        With ``gradient`` itself, which stays in place, the heads add up to all that attention does.
        """
        heads = self._heads[layer]
        n_seen = len(gradient)
        by_head = heads.out.unflatten(0, (self.n_heads, -1))
        through = []
        for head in range(self.n_heads):
            written = by_head[head] @ gradient
            moved = heads.pattern[head, :n_seen, :n_seen] @ written.flatten(start_dim=1)
            through.append(heads.values_by_head[head] @ moved.view_as(written))
        return torch.stack(through)

    def attention(self, layer: int, head: int, query: int, key: int) -> float:
        """Return how much of a query's attention a key gets, 0 to 1."""
        return float(self.record.layers[layer].pattern[head, query, key])

    def through_attention(
        self, layer: int, change: Float[Tensor, "*n n_pos d_model"]
    ) -> Float[Tensor, "*n n_pos d_model"]:
        """Carry changes of the stream before attention to after it, biases aside."""
        heads = self._heads[layer]
        values = heads.expand(change @ heads.values).transpose(-3, -2)
        mixed = heads.pattern.mT @ values
        written: Tensor = mixed.transpose(-3, -2).flatten(-2) @ heads.out
        return through_norm(self.record.layers[layer].mid_norm, change + written)

    def spread_by_attention(
        self, layer: int, vectors: Float[Tensor, "n_pos d_model"]
    ) -> Float[Tensor, "n_pos n_pos d_model"]:
        """Return what a vector at each position before attention becomes after it.

        The first index is the position that the vector was at, the second the one reached. Far less
        work than ``through_attention`` of changes that are 0 but at one position.
        """
        heads = self._heads[layer]
        values = heads.expand(vectors @ heads.values).transpose(0, 1)
        by_head = heads.out.unflatten(0, (self.n_heads, -1))
        written = torch.bmm(values, by_head)  # [n_heads, n_pos, d_model]
        spread = torch.bmm(heads.pattern.permute(1, 2, 0), written.transpose(0, 1))
        spread.diagonal().add_(vectors.T)
        return through_norm(self.record.layers[layer].mid_norm, spread)

    def through_read_point(
        self, layer: int, change: Float[Tensor, "*n n_pos d_model"]
    ) -> Float[Tensor, "*n n_pos d_model"]:
        """Carry changes of the stream that an encoder starts from to its read point, biases aside.

        It starts from the stream before or after attention; see ``starts_before_attention``.
        """
        return through_norm(self.record.layers[layer].norm_before_read(self.read_point), change)

    def back_from_read_point(
        self, layer: int, vectors: Float[Tensor, "*n d_model"], positions: Tensor
    ) -> Float[Tensor, "*n d_model"]:
        """Carry vectors, one at each position given, from the read point to that stream."""
        norm = self.record.layers[layer].norm_before_read(self.read_point)
        return back_through_norm(_at(norm, positions), vectors)

    def through_write_point(
        self, layer: int, vectors: Float[Tensor, "*n d_model"], positions: Tensor
    ) -> Float[Tensor, "*n d_model"]:
        """Carry vectors, one at each position given, from a write point to after the layer."""
        own = self.record.layers[layer]
        added = through_norm(_at(own.write_norm, positions), vectors)
        return through_norm(_at(own.end_norm, positions), added)

    def through_end_norm(
        self, layer: int, change: Float[Tensor, "*n n_pos d_model"]
    ) -> Float[Tensor, "*n n_pos d_model"]:
        """Carry changes of the stream in a layer's middle to after it, biases and MLP aside."""
        return through_norm(self.record.layers[layer].end_norm, change)

    def back_from_end_norm(
        self, layer: int, gradient: Float[Tensor, "n_seen d_model n"]
    ) -> Float[Tensor, "n_seen d_model n"]:
        """Carry gradients of the stream after a layer to the stream in its middle, its MLP aside.

        The same tensor where the layer has no norm there, as for ``back_from_mid_norm``.
        """
        return _back(self.record.layers[layer].end_norm, gradient)

    def back_from_mid_norm(
        self, layer: int, gradient: Float[Tensor, "n_seen d_model n"]
    ) -> Float[Tensor, "n_seen d_model n"]:
        """Carry gradients of the stream in a layer's middle to attention's sum with its input."""
        return _back(self.record.layers[layer].mid_norm, gradient)

    def back_from_write_point(
        self, layer: int, gradient: Float[Tensor, "n_seen d_model n"]
    ) -> Float[Tensor, "n_seen d_model n"]:
        """Carry gradients from the stream after a layer back to its write point."""
        return _back(self.record.layers[layer].write_norm, self.back_from_end_norm(layer, gradient))

    def back_from_final_norm(
        self, vectors: Float[Tensor, "n d_model"], positions: Int[Tensor, " n"]
    ) -> Float[Tensor, "n d_model"]:
        """Carry vectors, each at its position, back through the final norm."""
        norm = self.record.final_norm
        return vectors if norm is None else norm.at(positions).back(vectors)

    def run_silenced(self, write: Callable[[int, Tensor], Tensor]) -> SilencedPass:
        """Run the frozen model with every node at 0: the streams that constants alone make.

        The product of a target's vector with what it then reads is the constant part of its value,
        the ``bias`` of its row.

        Args:
            write: Returns a layer's constant output at its write point, ``[n_pos, d_model]``, given
                the layer and what its encoder reads.
        """
        stream = self.record.position_vectors
        streams, reads = [], []
        for number, layer in enumerate(self.record.layers):
            streams.append(stream)
            middle = layer.middle(stream)
            source = stream if self.starts_before_attention(number) else middle
            reads.append(apply_norm(layer.norm_before_read(self.read_point), source))
            stream = layer.after(middle, write(number, reads[-1]))
        final = apply_norm(self.record.final_norm, stream)
        return SilencedPass(torch.stack(streams), torch.stack(reads), final)


def _at(norm: NormMap | None, positions: Tensor) -> NormMap | None:
    return None if norm is None else norm.at(positions)


def _back(
    norm: NormMap | None, gradient: Float[Tensor, "n_seen d_model n"]
) -> Float[Tensor, "n_seen d_model n"]:
    """Carry gradients back through a norm of the first positions, or through none."""
    if norm is None:
        return gradient
    positions = torch.arange(len(gradient), device=gradient.device)[:, None]
    return norm.at(positions).back(gradient.mT).mT


@dataclass(frozen=True)
class _FrozenHeads:
    """One layer's attention as a constant linear map, its norms being part of it.

    The gain and centring of the norm before attention are folded into ``values``, those of a norm
    after it into ``out``, and the denominators of both into ``pattern``: so nothing but matrix
    products is left.
    """

    pattern: Float[Tensor, "n_heads n_pos n_pos"]
    """The position read first, the one that reads it second."""
    out: Float[Tensor, "d_heads d_model"]
    """``d_heads`` is the ``d_head`` of all heads, side by side."""
    values: Float[Tensor, "d_model d_values"]
    """``d_values`` is the ``d_head`` of all key/value heads, side by side."""
    d_head: int
    heads_per_value: int

    @classmethod
    def of(cls, layer: LayerRecord) -> "_FrozenHeads":
        values = layer.W_V.transpose(0, 1).flatten(start_dim=1)
        out = layer.W_O.flatten(end_dim=1)
        pattern = layer.pattern
        before, after = layer.attention_norm, layer.attention_post_norm
        if before is not None:
            values = values * before.gain[:, None]
            values = values - values.mean(dim=0) if before.centred else values
            pattern = pattern / before.scale[:, 0]
        if after is not None:
            out = out - out.mean(dim=1, keepdim=True) if after.centred else out
            out = out * after.gain
            pattern = pattern / after.scale
        return cls(
            pattern.mT.contiguous(),
            out.contiguous(),
            values.contiguous(),
            layer.W_O.shape[1],
            layer.heads_per_value,
        )

    @property
    def values_by_head(self) -> Float[Tensor, "n_heads d_model d_head"]:
        """Each head's value weights; heads that share values stand side by side."""
        return self.expand(self.values).transpose(0, 1)

    def expand(self, values: Float[Tensor, "*n d_values"]) -> Float[Tensor, "*n n_heads d_head"]:
        """Return values for every head."""
        by_head: Tensor = values.unflatten(-1, (-1, self.d_head))
        if self.heads_per_value > 1:
            by_head = by_head.repeat_interleave(self.heads_per_value, dim=-2)
        return by_head

    def move(
        self,
        head: int,
        written: Float[Tensor, "n_seen d_heads n"],
        moved: Float[Tensor, "n_seen d_values n"],
    ) -> None:
        """Carry one head's part from the positions that read to those read, into ``moved``.

        Heads that share values are added up there, the first of them overwriting.
        """
        n_seen, number = len(written), head // self.heads_per_value
        pattern = self.pattern[head, :n_seen, :n_seen]
        source = written[:, head * self.d_head : (head + 1) * self.d_head].view(n_seen, -1)
        target = moved[:, number * self.d_head : (number + 1) * self.d_head].view(n_seen, -1)
        if head % self.heads_per_value == 0:
            torch.mm(pattern, source, out=target)
        else:
            target.addmm_(pattern, source)


@dataclass(frozen=True)
class Spread:
    """Gradients that are the same few vectors at every position, weighted differently."""

    vectors: Float[Tensor, "few d n"]
    weights: Float[Tensor, "few n_seen n"]

    def full(self, out: Tensor | None = None) -> Float[Tensor, "n_seen d n"]:
        """Return the gradient at every position, written into ``out`` where that is given."""
        gradient = torch.mul(self.weights[0][:, None], self.vectors[0], out=out)
        for vectors, weights in zip(self.vectors[1:], self.weights[1:], strict=True):
            gradient.addcmul_(weights[:, None], vectors)
        return gradient


def scatter(
    vectors: Float[Tensor, "n d_model"], positions: Int[Tensor, " n"], n_pos: int
) -> Float[Tensor, "n_pos d_model n"]:
    """Return gradients that are 0 but at each vector's own position."""
    n, d_model = vectors.shape
    gradient = vectors.new_zeros(n_pos, d_model, n)
    gradient[positions, :, torch.arange(n, device=vectors.device)] = vectors
    return gradient
