"""One forward pass as plain tensors: all that the frozen algebra needs, and no module."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

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

    def at(self, positions: Tensor | int) -> "NormMap":
        """Return the same norm at some positions of one sequence."""
        return replace(self, scale=self.scale[positions])

    def plain(self) -> "NormMap":
        """Return the same norm with gain 1 and no bias."""
        return replace(self, gain=torch.ones_like(self.gain), bias=None)

    def scaled(self, unit: Float[Tensor, "*n d_model"]) -> Float[Tensor, "*n d_model"]:
        """Return the norm's output, given what ``plain`` gives."""
        return unit * self.gain if self.bias is None else unit * self.gain + self.bias


def through_norm(norm: NormMap | None, change: Tensor) -> Tensor:
    """Carry changes through a norm, or through none."""
    return change if norm is None else norm.through(change)


def apply_norm(norm: NormMap | None, x: Tensor) -> Tensor:
    """Normalise, where there is a norm."""
    return x if norm is None else norm.apply(x)


def back_through_norm(norm: NormMap | None, vectors: Tensor) -> Tensor:
    """Carry gradients back through a norm, or through none."""
    return vectors if norm is None else norm.back(vectors)


def norm_at(norm: NormMap | None, rows: Tensor | list[int]) -> NormMap | None:
    """Return a norm, where there is one, with the denominators of some positions; see ``at``.

    Batch axes are kept.
    """
    return None if norm is None else replace(norm, scale=norm.scale[..., rows, :])


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
    """From ``resid_mid`` to ``mlp_in``."""

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
    ``write_norm(mlp(read_norm(…)))``; where ``parallel``, the MLP reads ``x`` itself.
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
    """On attention's output, before it is added to the stream."""
    write_norm: NormMap | None = None
    """On the output that a transcoder replaces, before it is added to the stream."""
    parallel: bool = False

    @property
    def read_norm(self) -> NormMap | None:
        """From the stream to the MLP's input."""
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


@one_line
@dataclass(frozen=True)
class Record:
    """The record of one forward pass over a batch of equally long token sequences."""

    token_ids: Int[Tensor, "*batch n_pos"]
    token_vectors: Float[Tensor, "*batch n_pos d_model"]
    """Each token's part of the first stream."""
    position_vectors: Float[Tensor, "n_pos d_model"]
    """The constant part of the first stream; 0 with rotary positions."""
    layers: tuple[LayerRecord, ...]
    streams: tuple[Float[Tensor, "*batch n_pos d_model"], ...]
    """Residual stream before each layer, and after the last."""
    final_norm: NormMap | None
    final: Float[Tensor, "*batch n_pos d_model"]
    """The final norm's output, which the unembedding reads."""
    logits: Float[Tensor, "*batch n_pos d_vocab"]
    causal: bool

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
            return None if norm is None else replace(norm, scale=one(norm.scale))

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
            )

        return replace(
            self,
            token_ids=one(self.token_ids),
            token_vectors=one(self.token_vectors),
            position_vectors=self.position_vectors.detach(),
            layers=tuple(map(one_layer, self.layers)),
            streams=tuple(map(one, self.streams)),
            final_norm=one_norm(self.final_norm),
            final=one(self.final),
            logits=one(self.logits),
        )
