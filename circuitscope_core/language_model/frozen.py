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
from circuitscope_core.language_model.frozen_heads import FrozenHeads, Spread
from circuitscope_core.language_model.record import (
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
    """The stream at each layer's read point."""
    final: Float[Tensor, "n_pos d_model"]
    """The final norm's output."""


@dataclass(frozen=True)
class FrozenModel:
    """One prompt's forward pass, seen as a linear map from embeddings and MLP outputs to targets.

    Gradients are ``[n_pos, n, d_model]``: position first, so that positions to the right of a
    target can be cut away by slicing, and then targets, so that every product with weights is one
    large one, however few the targets are.
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
    def _heads(self) -> tuple["FrozenHeads", ...]:
        """Every layer's heads with norms folded in."""
        return tuple(map(FrozenHeads.of, self.record.layers))

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
        return Spread(vectors[None], stayed)

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
        carried = torch.bmm(vectors @ heads.out.mT, heads.values_by_head.mT)
        stayed = self.at_positions(vectors, positions, n_seen)
        return Spread(
            torch.cat([stayed.vectors, carried]),
            torch.cat([stayed.weights, heads.weights(queries=positions, keys=slice(n_seen)).mT]),
        )

    def back_to_values(
        self, layer: int, gradient: Float[Tensor, "n_seen n d_model"]
    ) -> Float[Tensor, "n_seen n d_values"]:
        """Carry gradients from after a layer's attention to its heads' values, side by side.

        Args:
            layer: The layer.
            gradient: At the first ``n_seen`` positions; nothing lies to the right of them.
        """
        heads = self._heads[layer]
        written = gradient @ heads.out_side_by_side
        by_head = written.unflatten(2, (self.n_heads, -1)).permute(2, 0, 1, 3).flatten(2)
        del written  # as large as the gradient
        found = heads.back_through_pattern(by_head, causal=self.causal)
        found = found.view(*found.shape[:2], -1, heads.d_head)
        return found.permute(1, 2, 0, 3).flatten(2)

    def back_from_values(
        self,
        layer: int,
        gradient: Float[Tensor, "n_seen n d_model"],
        values: Float[Tensor, "n_seen n d_values"],
    ) -> None:
        """Add to gradients after attention, in place, the part that comes from heads' values.

        With ``values`` from ``back_to_values`` the gradients are then those before attention.
        """
        rows = gradient.view(-1, gradient.shape[2])
        rows.addmm_(values.view(len(rows), -1), self._heads[layer].values_side_by_side.T)

    def to_values(
        self, layer: int, vectors: Float[Tensor, "*n d_model"]
    ) -> Float[Tensor, "*n d_values"]:
        """Return heads' values of vectors before attention, denominators aside."""
        return vectors @ self._heads[layer].values_side_by_side

    def back_through_heads(
        self, layer: int, gradient: Float[Tensor, "n_seen n d_model"]
    ) -> Float[Tensor, "n_heads n_seen n d_model"]:
        """Carry gradients from after attention to before it through each head alone.

        With ``gradient`` itself, which stays in place, the heads add up to all that attention does.
        """
        heads = self._heads[layer]
        n_seen = len(gradient)
        through = []
        for head, values in enumerate(heads.values_by_head):
            written = gradient @ heads.out[head].T
            weights = heads.weights(head, slice(n_seen), slice(n_seen))
            moved = weights.T @ written.flatten(start_dim=1)
            through.append(moved.view_as(written) @ values.T)
        return torch.stack(through)

    def attention(self, layer: int, head: int, query: int, key: int) -> float:
        """Return how much of a query's attention a key gets, 0 to 1."""
        return float(self.record.layers[layer].pattern[head, query, key])

    def through_attention(
        self, layer: int, change: Float[Tensor, "*n n_pos d_model"]
    ) -> Float[Tensor, "*n n_pos d_model"]:
        """Carry changes of the stream before attention to after it, biases aside."""
        heads = self._heads[layer]
        values = (change @ heads.values_side_by_side).unflatten(-1, (len(heads.values), -1))
        values = values.repeat_interleave(self.n_heads // len(heads.values), dim=-2)
        moved = heads.weights() @ values.transpose(-2, -3)  # [*n, n_heads, n_pos, d_head]
        written = moved.transpose(-2, -3).flatten(-2) @ heads.out_side_by_side.T
        return through_norm(self.record.layers[layer].mid_norm, change + written)

    def spread_by_attention(
        self, layer: int, vectors: Float[Tensor, "n_pos d_model"]
    ) -> Float[Tensor, "n_pos n_pos d_model"]:
        """Return what a vector at each position before attention becomes after it.

        The first index is the position that the vector was at, the second the one reached. Far less
        work than ``through_attention`` of changes that are 0 but at one position.
        """
        heads = self._heads[layer]
        written = vectors @ heads.values_by_head @ heads.out  # [n_heads, n_pos, d_model]
        spread = torch.bmm(heads.weights().permute(2, 1, 0), written.transpose(0, 1))
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
        self, layer: int, gradient: Float[Tensor, "n_seen n d_model"]
    ) -> Float[Tensor, "n_seen n d_model"]:
        """Carry gradients of the stream after a layer to the stream in its middle, its MLP aside.

        The same tensor where the layer has no norm there, as for ``back_from_mid_norm``.
        """
        return _back(self.record.layers[layer].end_norm, gradient)

    def back_from_mid_norm(
        self, layer: int, gradient: Float[Tensor, "n_seen n d_model"]
    ) -> Float[Tensor, "n_seen n d_model"]:
        """Carry gradients of the stream in a layer's middle to attention's sum with its input."""
        return _back(self.record.layers[layer].mid_norm, gradient)

    def back_from_write_point(
        self, layer: int, gradient: Float[Tensor, "n_seen n d_model"]
    ) -> Float[Tensor, "n_seen n d_model"]:
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
    norm: NormMap | None, gradient: Float[Tensor, "n_seen n d_model"]
) -> Float[Tensor, "n_seen n d_model"]:
    """Carry gradients back through a norm of the first positions, or through none."""
    if norm is None:
        return gradient
    return norm.at(torch.arange(len(gradient), device=gradient.device)[:, None]).back(gradient)
