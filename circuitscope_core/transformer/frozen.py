"""The model with patterns and norm denominators frozen: linear between MLP outputs."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.config import ReadPoint
from circuitscope_core.transformer.activations import Activations
from circuitscope_core.transformer.components import Block, Norm
from circuitscope_core.transformer.model import Transformer

HeadSide: TypeAlias = Literal["query", "key"]


@dataclass(frozen=True)
class FrozenTransformer:
    """One prompt's forward pass, seen as a linear map from embeddings and MLP outputs to targets.

    Gradients are ``[n_pos, d_model, n]``: position first, so that positions to the right of a
    target can be cut away by slicing, and targets last, so that each head's part of every position
    is one block of memory.
    """

    model: Transformer
    activations: Activations
    token_ids: tuple[int, ...]

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return self.model.config.n_layers

    @property
    def n_heads(self) -> int:
        """Number of heads in each layer."""
        return self.model.config.n_heads

    @property
    def n_pos(self) -> int:
        """Number of tokens."""
        return len(self.token_ids)

    @property
    def causal(self) -> bool:
        """Whether positions only look to the left."""
        return self.model.config.causal

    def token_vectors(self) -> Float[Tensor, "n_pos d_model"]:
        """Return each token's embedding."""
        return self.model.embed.W_E[list(self.token_ids)].detach()

    def position_vectors(self) -> Float[Tensor, "n_pos d_model"]:
        """Return what position embeddings add; 0 with rotary positions."""
        if self.model.config.positions == "learned":
            return self.model.pos_embed.W_pos[: self.n_pos].detach()
        return torch.zeros_like(self.token_vectors())

    def attention_constant(self, layer: int) -> Float[Tensor, "n_pos d_model"]:
        """Return what a layer's attention writes when its normalised input is 0."""
        block, attn = self.model.block(layer), self.model.block(layer).attn
        zero = torch.zeros_like(self.token_vectors())[None]
        with torch.no_grad():
            return attn.mix(block.ln1.apply_gain(zero), self.activations.patterns[layer])[0]

    @cached_property
    def _heads(self) -> tuple["_FrozenHeads", ...]:
        """Every layer's heads with LN1 folded in."""
        scales = self.activations.ln1_scales
        return tuple(
            _FrozenHeads.of(self.model.block(layer), self.activations.patterns[layer], scale)
            for layer, scale in enumerate(scales)
        )

    def back_from_query(
        self, layer: int, vectors: Float[Tensor, "n d_model"], positions: Int[Tensor, " n"]
    ) -> "Spread":
        """Carry vectors, each at one position of ``resid_mid``, to a layer's ``resid_pre``.

        A vector at one position is carried by one row of each pattern: far less work than carrying
        a gradient that is 0 everywhere else.
        """
        heads, n_heads = self._heads[layer], self.n_heads
        n_seen = int(positions.max()) + 1 if self.causal else self.n_pos
        written = (heads.out @ vectors.T).unflatten(0, (n_heads, -1))
        by_head = heads.values.unflatten(1, (n_heads, -1)).transpose(0, 1)
        carried = torch.cat([vectors.T[None], torch.bmm(by_head, written)])
        stayed = torch.zeros(1, n_seen, len(vectors))
        stayed[0, positions, torch.arange(len(vectors))] = 1
        return Spread(carried, torch.cat([stayed, heads.pattern[:, :n_seen, positions]]))

    def back_to_values(
        self, layer: int, gradient: "Float[Tensor, 'n_seen d_model n'] | Spread"
    ) -> Float[Tensor, "n_seen d_heads n"]:
        """Carry gradients from ``resid_mid`` of a layer to what its heads read, their values.

        Args:
            layer: The layer.
            gradient: At the first ``n_seen`` positions; nothing lies to the right of them.
        """
        heads = self._heads[layer]
        if isinstance(gradient, Spread):
            written = Spread(heads.out @ gradient.vectors, gradient.weights).full()
        else:
            written = torch.bmm(heads.out.expand(len(gradient), -1, -1), gradient)
        moved = torch.empty_like(written)
        for head in range(self.n_heads):
            heads.move(head, written, moved)
        return moved

    def back_from_values(
        self,
        layer: int,
        gradient: Float[Tensor, "n_seen d_model n"],
        values: Float[Tensor, "n_seen d_heads n"],
    ) -> None:
        """Add to gradients at ``resid_mid``, in place, what comes from the heads' values.

        With ``values`` from ``back_to_values`` the gradients are then those at ``resid_pre``.
        """
        weights = self._heads[layer].values
        gradient.baddbmm_(weights.expand(len(gradient), -1, -1), values)

    def to_values(
        self, layer: int, vectors: Float[Tensor, "*n d_model"]
    ) -> Float[Tensor, "*n d_heads"]:
        """Return what heads read of vectors at ``resid_pre``, LN1's denominators aside."""
        return vectors @ self._heads[layer].values

    def back_through_heads(
        self, layer: int, gradient: Float[Tensor, "n_seen d_model n"]
    ) -> Float[Tensor, "n_heads n_seen d_model n"]:
        """Carry gradients from ``resid_mid`` to ``resid_pre`` through each head alone.

        With ``gradient`` itself, which stays in place, the heads add up to all that attention does.
        """
        heads = self._heads[layer]
        written = heads.out @ gradient
        moved = torch.empty_like(written)
        through = []
        for head in range(self.n_heads):
            heads.move(head, written, moved)
            part = heads.of_head(head)
            through.append(heads.values[:, part] @ moved[:, part])
        return torch.stack(through)

    def head_reads(
        self, layer: int, head: int, position: int, side: HeadSide
    ) -> tuple[Float[Tensor, "d_head d_model"], Float[Tensor, " d_head"]]:
        """Return what makes one head's query or key at a position: directions and biases.

        Each coordinate is the product of a direction with ``resid_pre`` plus a bias, LN1's
        denominator being frozen; rotary positions are in the directions.
        """
        block = self.model.block(layer)
        attn, norm = block.attn, block.ln1
        weights = (attn.W_Q if side == "query" else attn.W_K)[head].detach()
        bias = (attn.b_Q if side == "query" else attn.b_K)[head].detach()
        if self.model.config.positions == "rotary":
            basis = torch.eye(len(bias))[None, :, None].expand(-1, -1, self.n_pos, -1)
            turn = attn.rotate(basis)[0, :, position]
            weights, bias = weights @ turn, bias @ turn
        if norm.enabled:
            bias = bias + norm.b.detach() @ weights
        scale = self.activations.ln1_scales[layer][0, position]
        return back_through_norm(norm, weights.T, scale).detach(), bias

    def attention(self, layer: int, head: int, query: int, key: int) -> float:
        """Return how much of a query's attention a key gets, 0 to 1."""
        return float(self.activations.patterns[layer][0, head, query, key])

    def through_attention(
        self, layer: int, change: Float[Tensor, "*n n_pos d_model"]
    ) -> Float[Tensor, "*n n_pos d_model"]:
        """Carry changes of ``resid_pre`` to ``resid_mid``, biases aside."""
        heads = self._heads[layer]
        values = (change @ heads.values).unflatten(-1, (self.n_heads, -1)).transpose(-3, -2)
        mixed = heads.pattern.mT @ values
        written: Tensor = mixed.transpose(-3, -2).flatten(-2) @ heads.out
        return change + written

    def spread_by_attention(
        self, layer: int, vectors: Float[Tensor, "n_pos d_model"]
    ) -> Float[Tensor, "n_pos n_pos d_model"]:
        """Return what a vector at each position of ``resid_pre`` becomes at ``resid_mid``.

        The first index is the position that the vector was at, the second the one reached. Far less
        work than ``through_attention`` of changes that are 0 but at one position.
        """
        heads = self._heads[layer]
        by_head = (self.n_heads, -1)
        values = (vectors @ heads.values).unflatten(1, by_head).transpose(0, 1)
        written = torch.bmm(values, heads.out.unflatten(0, by_head))  # [n_heads, n_pos, d_model]
        spread = torch.bmm(heads.pattern.permute(1, 2, 0), written.transpose(0, 1))
        spread.diagonal().add_(vectors.T)
        return spread

    def through_read_point(
        self, layer: int, change: Float[Tensor, "*n n_pos d_model"], read_point: ReadPoint
    ) -> Float[Tensor, "*n n_pos d_model"]:
        """Carry changes of ``resid_mid`` to a read point, biases aside."""
        if read_point == "hook_resid_mid":
            return change
        scale = self.activations.ln2_scales[layer][0]
        return through_norm(self.model.block(layer).ln2, change, scale)

    def back_from_read_point(
        self,
        layer: int,
        vectors: Float[Tensor, "*n d_model"],
        positions: Tensor,
        read_point: ReadPoint,
    ) -> Float[Tensor, "*n d_model"]:
        """Carry vectors, one at each position given, from a read point to ``resid_mid``."""
        if read_point == "hook_resid_mid":
            return vectors
        norm = self.model.block(layer).ln2
        scale = self.activations.ln2_scales[layer][0, positions]
        return back_through_norm(norm, vectors, scale)

    def read_constant(
        self, layer: int, vectors: Float[Tensor, "*n d_model"], read_point: ReadPoint
    ) -> Float[Tensor, "*n"]:
        """Return what LN2's bias adds to each vector's product with the read point."""
        norm = self.model.block(layer).ln2
        if read_point == "hook_resid_mid" or not norm.enabled:
            return torch.zeros(vectors.shape[:-1])
        return vectors @ norm.b.detach()

    def back_from_final_norm(
        self, vectors: Float[Tensor, "n d_model"]
    ) -> Float[Tensor, "n d_model"]:
        """Carry vectors at the last position back through the final norm."""
        scale = self.activations.ln_final_scale[0, -1]
        return back_through_norm(self.model.ln_final, vectors, scale)

    def final_constant(self, vectors: Float[Tensor, "n d_model"]) -> Float[Tensor, " n"]:
        """Return what the final norm's bias adds to each vector's product with its output."""
        norm = self.model.ln_final
        return vectors @ norm.b.detach() if norm.enabled else torch.zeros(len(vectors))


@dataclass(frozen=True)
class _FrozenHeads:
    """One layer's attention as a constant linear map, LN1 being part of it.

    LN1's gain and centring are folded into ``values`` and its denominators, one at each position
    read, into ``pattern``: so nothing but matrix products is left. ``d_heads`` is the ``d_head`` of
    all heads, side by side.
    """

    pattern: Float[Tensor, "n_heads n_pos n_pos"]
    """The position read first, the one that reads it second."""
    out: Float[Tensor, "d_heads d_model"]
    values: Float[Tensor, "d_model d_heads"]
    d_head: int

    @classmethod
    def of(cls, block: Block, pattern: Tensor, scale: Tensor) -> "_FrozenHeads":
        attn = block.attn
        values = attn.W_V.detach().transpose(0, 1).flatten(start_dim=1)
        folded = pattern[0].detach()
        if block.ln1.enabled:
            values = values * block.ln1.w.detach()[:, None]
            values = values - values.mean(dim=0)
            folded = folded / scale[0, :, 0]
        out = attn.W_O.detach().flatten(end_dim=1)
        return cls(folded.mT.contiguous(), out, values.contiguous(), attn.W_O.shape[1])

    def of_head(self, head: int) -> slice:
        """Return where one head's part of ``out`` and ``values`` lies."""
        return slice(head * self.d_head, (head + 1) * self.d_head)

    def move(
        self,
        head: int,
        written: Float[Tensor, "n_seen d_heads n"],
        moved: Float[Tensor, "n_seen d_heads n"],
    ) -> None:
        """Carry one head's part from the positions that read to those read, into ``moved``."""
        n_seen, part = len(written), self.of_head(head)
        pattern = self.pattern[head, :n_seen, :n_seen]
        source = written[:, part].view(n_seen, -1)
        torch.mm(pattern, source, out=moved[:, part].view(n_seen, -1))


@dataclass(frozen=True)
class Spread:
    """Gradients that are the same few vectors at every position, weighted differently."""

    vectors: Float[Tensor, "few d n"]
    weights: Float[Tensor, "few n_seen n"]

    def full(self) -> Float[Tensor, "n_seen d n"]:
        """Return the gradient at every position."""
        gradient = self.weights[0][:, None] * self.vectors[0]
        for vectors, weights in zip(self.vectors[1:], self.weights[1:], strict=True):
            gradient.addcmul_(weights[:, None], vectors)
        return gradient


def place(
    vectors: Float[Tensor, "n d_model"], positions: Int[Tensor, " n"], n_pos: int
) -> Float[Tensor, "n_pos d_model n"]:
    """Return gradients that are 0 but at each vector's own position."""
    n, d_model = vectors.shape
    gradient = vectors.new_zeros(n_pos, d_model, n)
    gradient[positions, :, torch.arange(n)] = vectors
    return gradient


def back_through_norm(norm: Norm, gradient: Tensor, scale: Tensor) -> Tensor:
    """Carry gradients back through a norm whose denominator is a constant.

    Centring and gain stay linear: the transposed map multiplies by the gain, divides, and centres.
    """
    if not norm.enabled:
        return gradient
    scaled = gradient * norm.w / scale
    return scaled - scaled.mean(dim=-1, keepdim=True)


def through_norm(norm: Norm, change: Tensor, scale: Tensor) -> Tensor:
    """Carry a change through a norm whose denominator is a constant, its bias aside."""
    if not norm.enabled:
        return change
    return (change - change.mean(dim=-1, keepdim=True)) / scale * norm.w
