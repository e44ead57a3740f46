"""One forward pass as plain tensors: all that the frozen algebra needs, and no module."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.config import ReadPoint
from circuitscope_core.values import one_line


@one_line
@dataclass(frozen=True)
class NormMap:
    """A norm whose denominators are constants: an affine map at each position.

    ``None`` stands for no norm wherever a ``NormMap | None`` is asked for.
    """

    gain: Float[Tensor, " d_model"]
    bias: Float[Tensor, " d_model"] | None
    centred: bool
    """True for LayerNorm, which takes the mean away; False for RMSNorm."""
    scale: Float[Tensor, "*batch n_pos 1"]
    """The denominators."""

    def through(self, change: Float[Tensor, "*n d_model"]) -> Float[Tensor, "*n d_model"]:
        """Carry changes at all positions through the norm; its bias adds nothing to a change."""
        if self.centred:
            change = change - change.mean(dim=-1, keepdim=True)
        return change / self.scale * self.gain

    def apply(self, x: Float[Tensor, "*n d_model"]) -> Float[Tensor, "*n d_model"]:
        """Normalise ``x`` at all positions, the bias included."""
        normalized = self.through(x)
        return normalized if self.bias is None else normalized + self.bias

    def back(self, vectors: Float[Tensor, "*n d_model"]) -> Float[Tensor, "*n d_model"]:
        """Carry gradients back: the transpose of ``through``."""
        scaled = vectors * self.gain / self.scale
        return scaled - scaled.mean(dim=-1, keepdim=True) if self.centred else scaled

    def over(self, take: Callable[[Tensor], Tensor]) -> "NormMap":
        """Return the same norm with some of its denominators, or with their axes changed."""
        return replace(self, scale=take(self.scale))

    def at(self, positions: Tensor | int) -> "NormMap":
        """Return the same norm at some positions of one sequence."""
        return self.over(lambda scale: scale[positions])

    def rows(self, rows: Tensor | list[int]) -> "NormMap":
        """Return the same norm at some positions; batch axes are kept."""
        return self.over(lambda scale: scale[..., rows, :])

    def plain(self) -> "NormMap":
        """Return the same norm with gain 1 and no bias."""
        return replace(self, gain=torch.ones_like(self.gain), bias=None)

    def scaled(self, unit: Float[Tensor, "*n d_model"]) -> Float[Tensor, "*n d_model"]:
        """Return the norm's output, given what ``plain`` gives."""
        return unit * self.gain if self.bias is None else unit * self.gain + self.bias


@one_line
@dataclass(frozen=True)
class GatedNorm:
    """A linear layer, an activation function and a norm, as masked models have them in the place of
    the final norm: an affine map at each position, as the norm is.

    An activation is a gate times the value that it is computed from, and gates are constants like
    the norm's denominators.
    """

    W: Float[Tensor, "d_model d_hidden"]
    b: Float[Tensor, " d_hidden"]
    gates: Float[Tensor, "*batch n_pos d_hidden"]
    norm: NormMap

    def through(self, change: Float[Tensor, "*n d_model"]) -> Float[Tensor, "*n d_hidden"]:
        """Carry changes at all positions through; biases add nothing to a change."""
        return self.norm.through(change @ self.W * self.gates)

    def apply(self, x: Float[Tensor, "*n d_model"]) -> Float[Tensor, "*n d_hidden"]:
        """Map ``x`` at all positions, biases included."""
        return self.norm.apply((x @ self.W + self.b) * self.gates)

    def back(self, vectors: Float[Tensor, "*n d_hidden"]) -> Float[Tensor, "*n d_model"]:
        """Carry gradients back: the transpose of ``through``."""
        found: Tensor = self.norm.back(vectors) * self.gates @ self.W.T
        return found

    def over(self, take: Callable[[Tensor], Tensor]) -> "GatedNorm":
        """Return the same map with some of its constants, or with their axes changed."""
        return replace(self, gates=take(self.gates), norm=self.norm.over(take))

    def at(self, positions: Tensor | int) -> "GatedNorm":
        """Return the same map at some positions of one sequence."""
        return self.over(lambda constants: constants[positions])

    def rows(self, rows: Tensor | list[int]) -> "GatedNorm":
        """Return the same map at some positions; batch axes are kept."""
        return self.over(lambda constants: constants[..., rows, :])


FinalNorm: TypeAlias = NormMap | GatedNorm
"""The map from the last stream to the vectors that the unembedding reads."""


def through_norm(norm: FinalNorm | None, change: Tensor) -> Tensor:
    """Carry changes through a norm, or through none."""
    return change if norm is None else norm.through(change)


def apply_norm(norm: FinalNorm | None, x: Tensor) -> Tensor:
    """Normalise, where there is a norm."""
    return x if norm is None else norm.apply(x)


def back_through_norm(norm: FinalNorm | None, vectors: Tensor) -> Tensor:
    """Carry gradients back through a norm, or through none."""
    return vectors if norm is None else norm.back(vectors)


def norm_at(norm: NormMap | None, rows: Tensor | list[int]) -> NormMap | None:
    """Return a norm, where there is one, at some positions; see ``NormMap.rows``."""
    return None if norm is None else norm.rows(rows)


def norm_before(norm: NormMap | None, read_point: ReadPoint) -> NormMap | None:
    """Return the part of an MLP's norm that lies between the stream and a read point."""
    if norm is None or read_point in ("mid", "pre"):
        return None
    return norm.plain() if read_point == "unit" else norm


@dataclass(frozen=True)
class MlpInputs:
    """The tensors that a transcoder may read at one layer's MLP."""

    layer: int
    resid_mid: Float[Tensor, "*batch n_pos d_model"]
    """Residual stream that the MLP's norm reads: after attention, or before it in a layer whose
    attention and MLP are parallel."""
    mlp_in: Float[Tensor, "*batch n_pos d_model"]
    """The norm's output, the MLP's input."""
    resid_pre: Float[Tensor, "*batch n_pos d_model"] = field(kw_only=True)
    """Residual stream before the layer; ``resid_mid`` itself where attention and MLP are
    parallel."""
    norm: NormMap | None = field(kw_only=True)
    """The norm from ``resid_mid`` to ``mlp_in``."""

    def read(self, read_point: ReadPoint) -> Float[Tensor, "*batch n_pos d_model"]:
        """Return the tensor at a read point."""
        if read_point == "unit":
            return apply_norm(norm_before(self.norm, read_point), self.resid_mid)
        points = {"mid": self.resid_mid, "in": self.mlp_in, "pre": self.resid_pre}
        return points[read_point]

    def mlp_in_from(
        self, read: Float[Tensor, "*batch n_pos d_model"], read_point: ReadPoint
    ) -> Float[Tensor, "*batch n_pos d_model"]:
        """Return the MLP's input that another value at a read point makes.

        Denominators are those of the pass, and so is what attention adds in between.
        """
        if read_point == "in":
            return read
        if read_point == "unit":
            return read if self.norm is None else self.norm.scaled(read)
        added = self.resid_mid - self.resid_pre if read_point == "pre" else 0
        return apply_norm(self.norm, read + added)


@one_line
@dataclass(frozen=True)
class MlpSite(MlpInputs):
    """The tensors at one layer's MLP: where a transcoder reads, and the MLP's output."""

    mlp_out: Float[Tensor, "*batch n_pos d_model"]


@dataclass(frozen=True)
class MlpPass:
    """One pass as far as MLPs are concerned."""

    sites: tuple[MlpSite, ...]
    """Every layer's MLP inputs and output."""
    stream: Float[Tensor, "batch n_pos d_model"]
    """The stream after the last layer."""


@dataclass(frozen=True)
class MlpCall(MlpInputs):
    """One layer's MLP before it runs: the input of an edit, which may run it or not."""

    run: Callable[[Tensor], Tensor]
    """The MLP, from any rows of ``mlp_in`` to its output there."""
    positions: Int[Tensor, " n_pos"] | None = None
    """Positions of the rows; None where they are all of the sequence's."""

    def mlp_out(self) -> Float[Tensor, "*batch n_pos d_model"]:
        """Run the MLP on all rows."""
        return self.run(self.mlp_in)

    def with_output(self, mlp_out: Tensor) -> MlpSite:
        """Return the site with an output, the MLP's own or another."""
        inputs = (self.layer, self.resid_mid, self.mlp_in)
        return MlpSite(*inputs, mlp_out, resid_pre=self.resid_pre, norm=self.norm)


EditMlp = Callable[[MlpCall], Tensor]
"""Receives an MLP's inputs, returns the output to use in place of the MLP's own."""


@one_line
@dataclass(frozen=True)
class LayerRecord:
    """One layer in one pass.

    The layer adds ``attention_post_norm(attention(attention_norm(x)))`` to the stream ``x``, then
    ``write_norm(mlp(read_norm(…)))``; where ``parallel``, the MLP reads ``x`` itself. Some families
    normalise the stream itself: by ``mid_norm`` between the two, by ``end_norm`` behind the MLP.
    """

    pattern: Float[Tensor, "... n_heads n_pos n_pos"]
    """Attention of each query position (row) to each key position. One for all of the batch where
    it was frozen; so are frozen denominators."""
    W_V: Float[Tensor, "n_kv_heads d_model d_head"]
    """Fewer key/value heads than heads: each is read by as many neighbouring heads."""
    b_V: Float[Tensor, "n_kv_heads d_head"]
    W_O: Float[Tensor, "n_heads d_head d_model"]
    b_O: Float[Tensor, " d_model"]
    site: MlpSite
    attention_norm: NormMap | None
    attention_post_norm: NormMap | None = None
    """The norm on attention's output, before it is added to the stream."""
    write_norm: NormMap | None = None
    """The norm on the output that a transcoder replaces, before it is added to the stream."""
    parallel: bool = False
    mid_norm: NormMap | None = None
    """The norm on the stream after attention, before the MLP reads it."""
    end_norm: NormMap | None = None
    """The norm on the stream after the MLP."""

    @property
    def read_norm(self) -> NormMap | None:
        """The norm from the stream to the MLP's input."""
        return self.site.norm

    def norm_before_read(self, read_point: ReadPoint) -> NormMap | None:
        """Return the norm between the stream and a read point."""
        return norm_before(self.read_norm, read_point)

    @property
    def heads_per_value(self) -> int:
        """Heads that read the same values."""
        return len(self.W_O) // len(self.W_V)

    def attend(self, x: Float[Tensor, "n_pos d_model"]) -> Float[Tensor, "n_pos d_model"]:
        """Return what attention adds to a stream of one sequence, biases included.

        Pattern and denominators are those of the pass: an affine map.
        """
        normalized = apply_norm(self.attention_norm, x)
        values = normalized @ self.W_V + self.b_V[:, None]
        mixed = self.pattern @ values.repeat_interleave(self.heads_per_value, dim=0)
        written = (mixed @ self.W_O).sum(dim=0) + self.b_O
        return apply_norm(self.attention_post_norm, written)

    def middle(self, x: Float[Tensor, "n_pos d_model"]) -> Float[Tensor, "n_pos d_model"]:
        """Return the stream between attention and MLP, from the stream before the layer."""
        return apply_norm(self.mid_norm, x + self.attend(x))

    def after(
        self, middle: Float[Tensor, "n_pos d_model"], mlp_out: Float[Tensor, "n_pos d_model"]
    ) -> Float[Tensor, "n_pos d_model"]:
        """Return the stream after the layer, from the one in its middle and the MLP's output."""
        return apply_norm(self.end_norm, middle + apply_norm(self.write_norm, mlp_out))


@one_line
@dataclass(frozen=True)
class Record:
    """The record of one forward pass over a batch of equally long token sequences."""

    token_ids: Int[Tensor, "*batch n_pos"]
    token_vectors: Float[Tensor, "*batch n_pos d_model"]
    """Each token's part of the first stream."""
    position_vectors: Float[Tensor, "*#batch n_pos d_model"]
    """The constant part of the first stream; 0 with rotary positions."""
    layers: tuple[LayerRecord, ...]
    streams: tuple[Float[Tensor, "*batch n_pos d_model"], ...]
    """Residual stream before each layer, and after the last."""
    final_norm: FinalNorm | None
    final: Float[Tensor, "*batch n_pos d_model"]
    """The final norm's output, which the unembedding reads."""
    logits: Float[Tensor, "*batch n_pos d_vocab"]
    causal: bool
    embedding_norm: NormMap | None = None
    """The norm on the sum of token and position embeddings; the two parts of the first stream are
    behind it."""

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return len(self.layers)

    @property
    def n_pos(self) -> int:
        """Number of tokens of each sequence."""
        return int(self.token_ids.shape[-1])

    @property
    def sites(self) -> tuple[MlpSite, ...]:
        """Every layer's MLP inputs and output."""
        return tuple(layer.site for layer in self.layers)

    def inputs(self, read_point: ReadPoint) -> Float[Tensor, "n_layers *batch n_pos d_model"]:
        """Return what encoders read in every layer."""
        return torch.stack([site.read(read_point) for site in self.sites])

    def outputs(self) -> Float[Tensor, "n_layers *batch n_pos d_model"]:
        """Return every layer's MLP output."""
        return torch.stack([site.mlp_out for site in self.sites])

    def sequence(self, index: int = 0) -> "Record":
        """Return the record of one sequence of the batch, without gradients and batch axis."""

        def one(x: Tensor) -> Tensor:
            return x[min(index, len(x) - 1)].detach()

        def one_norm(norm: NormMap | None) -> NormMap | None:
            return None if norm is None else norm.over(one)

        def one_layer(layer: LayerRecord) -> LayerRecord:
            site = layer.site
            return replace(
                layer,
                pattern=one(layer.pattern),
                site=replace(
                    site,
                    resid_mid=one(site.resid_mid),
                    mlp_in=one(site.mlp_in),
                    mlp_out=one(site.mlp_out),
                    resid_pre=one(site.resid_pre),
                    norm=one_norm(site.norm),
                ),
                attention_norm=one_norm(layer.attention_norm),
                attention_post_norm=one_norm(layer.attention_post_norm),
                write_norm=one_norm(layer.write_norm),
                mid_norm=one_norm(layer.mid_norm),
                end_norm=one_norm(layer.end_norm),
            )

        positions = self.position_vectors
        return replace(
            self,
            token_ids=one(self.token_ids),
            token_vectors=one(self.token_vectors),
            position_vectors=positions.detach() if positions.ndim == 2 else one(positions),
            layers=tuple(map(one_layer, self.layers)),
            streams=tuple(map(one, self.streams)),
            final_norm=None if self.final_norm is None else self.final_norm.over(one),
            embedding_norm=one_norm(self.embedding_norm),
            final=one(self.final),
            logits=one(self.logits),
        )
