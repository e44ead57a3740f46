"""Cross-layer transcoder (CLT): JumpReLU features that replace the MLPs.

A feature reads one layer and writes to the MLP outputs of its own and all later layers. Per-layer
transcoders are the special case in which it writes to its own layer only.

Source: Ameisen et al. (2025), building an interpretable replacement model,
https://transformer-circuits.pub/2025/attribution-graphs/methods.html
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from circuitscope_core.config import TranscoderConfig, TranscoderTraining
from circuitscope_core.errors import ConfigError
from circuitscope_core.feature_dictionary import ActiveFeatures, DictionaryShape
from circuitscope_core.initial_values import draw_normal


class _JumpReLU(torch.autograd.Function):
    """``h`` where it exceeds the threshold, else 0; straight-through gradient for the threshold.

    Source: Conerly et al., "Dictionary Learning Optimization Techniques" (January 2025).
    """

    @staticmethod
    def forward(ctx: Any, pre_acts: Tensor, log_threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(pre_acts, log_threshold)
        ctx.bandwidth = bandwidth
        return pre_acts * (pre_acts > log_threshold.exp())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (gradient,) = gradients
        pre_acts, log_threshold = ctx.saved_tensors
        threshold = log_threshold.exp()
        near = (pre_acts - threshold).abs() < ctx.bandwidth / 2
        slope = -(threshold / ctx.bandwidth) * (gradient * near).sum(dim=0)
        return gradient * (pre_acts > threshold), slope, None


def jump_relu(
    pre_acts: Float[Tensor, "batch d_transcoder"],
    log_threshold: Float[Tensor, " d_transcoder"],
    bandwidth: float,
) -> Float[Tensor, "batch d_transcoder"]:
    """Return JumpReLU with a straight-through gradient for ``t`` of ``threshold = exp(t)``."""
    return _JumpReLU.apply(pre_acts, log_threshold, bandwidth)  # type: ignore[no-any-return,no-untyped-call]


def nonzero_entries(
    values: Shaped[Tensor, "n d_transcoder"],
) -> tuple[Int[Tensor, " n_entries"], Int[Tensor, " n_entries"]]:
    """Return rows and columns of what is not 0, row by row: ``nonzero``, three times as fast."""
    if values.is_cpu:
        flat = torch.from_numpy(np.flatnonzero(values.numpy()))
    else:
        flat = values.flatten().nonzero()[:, 0]
    rows = flat // values.shape[1]
    return rows, flat - rows * values.shape[1]


class LazyDecoders(nn.Module):
    """Decoders that stay on disk: those of a large transcoder are most of its memory.

    Stands in the place of ``CrossLayerTranscoder.W_dec``; what it returns are copies.
    """

    def __init__(self, layers: Sequence[Callable[[Tensor], Tensor]], d_transcoder: int) -> None:
        """Take, for each layer, what reads the decoders of the features asked for."""
        super().__init__()
        self._layers = tuple(layers)
        self._d_transcoder = d_transcoder

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[layer] for layer in range(len(self)))

    def __getitem__(self, layer: int) -> Float[Tensor, "d_transcoder n_writes d_model"]:
        return self.rows(layer, torch.arange(self._d_transcoder, device="cpu"))

    def rows(self, layer: int, features: Int[Tensor, " n"]) -> Float[Tensor, "n n_writes d_model"]:
        """Read some features' decoders, onto the device of their numbers."""
        return self._layers[layer](features).to(features.device)


class CrossLayerTranscoder(nn.Module):
    """Encoder, JumpReLU or top-k, and decoders of all layers.

    ``W_enc`` ``[n_layers, d_transcoder, d_model]``; ``W_dec[i]`` ``[d_transcoder, n_writes,
    d_model]`` with ``n_writes = n_layers - i``, or 1 for per-layer transcoders. ``W_skip``
    ``[n_layers, d_model, d_model]``, where there is one, adds ``x @ W_skip[layer]``.
    """

    def __init__(self, config: TranscoderConfig) -> None:
        super().__init__()
        self.config = config
        layers, features, d_model = config.n_layers, config.d_transcoder, config.d_model
        self.W_enc = nn.Parameter(draw_normal(layers, features, d_model, std=d_model**-0.5))
        self.b_enc = nn.Parameter(torch.zeros(layers, features))
        self.b_dec = nn.Parameter(torch.zeros(layers, d_model))
        self.log_threshold = nn.Parameter(torch.zeros(layers, features))
        writes = [layers - layer if config.cross_layer else 1 for layer in range(layers)]
        self.W_dec: nn.ParameterList | LazyDecoders = nn.ParameterList(
            [torch.zeros(features, n, d_model) for n in writes]
        )
        if config.skip_connection:
            self.W_skip = nn.Parameter(torch.zeros(layers, d_model, d_model))

    @property
    def shape(self) -> DictionaryShape:
        """Sizes, and where features read and write."""
        config = self.config
        return DictionaryShape(
            n_layers=config.n_layers,
            d_model=config.d_model,
            n_features=config.d_transcoder,
            read_point=config.read_point,
            cross_layer=config.cross_layer,
            skip_connection=config.skip_connection,
            write_point=config.write_point,
            trained_layers=config.trained_layers,
        )

    def describe(self) -> dict[str, Any]:
        """Return the configuration as plain values."""
        return self.config.to_json()

    @property
    def n_parameters(self) -> int:
        """Number of weights."""
        return self.config.count_parameters()

    @property
    def threshold(self) -> Float[Tensor, "n_layers d_transcoder"]:
        """Pre-activation that a feature must exceed."""
        return self.log_threshold.exp()

    def pre_activations(
        self, layer: int, x: Float[Tensor, "*batch d_model"]
    ) -> Float[Tensor, "*batch d_transcoder"]:
        """Return ``W_enc x + b_enc`` of one layer."""
        pre_acts: Tensor = F.linear(x, self.W_enc[layer], self.b_enc[layer])
        return pre_acts

    def encode(
        self, layer: int, x: Float[Tensor, "*batch d_model"]
    ) -> Float[Tensor, "*batch d_transcoder"]:
        """Return one layer's feature activations, 0 where a feature is not active."""
        return self.activate(layer, self.pre_activations(layer, x))

    def activate(
        self, layer: int, pre_acts: Float[Tensor, "*batch d_transcoder"]
    ) -> Float[Tensor, "*batch d_transcoder"]:
        """Return activations of all of a layer's pre-activations."""
        return pre_acts * self.is_active(layer, pre_acts)

    def is_active(
        self, layer: int, pre_acts: Float[Tensor, "*batch d_transcoder"]
    ) -> Bool[Tensor, "*batch d_transcoder"]:
        """Return which features are active, given all of a layer's pre-activations."""
        if not self.config.has_features(layer):
            return torch.zeros_like(pre_acts, dtype=torch.bool)
        if self.config.k is None:
            return pre_acts > self.log_threshold[layer].exp()
        largest = pre_acts.topk(self.config.k, dim=-1).indices
        among = torch.zeros_like(pre_acts, dtype=torch.bool).scatter(-1, largest, value=True)
        return among if self.config.activation == "topk" else among & (pre_acts > 0)

    def bars(
        self, layer: int, pre_acts: Float[Tensor, "batch d_transcoder"]
    ) -> Float[Tensor, "#batch #d_transcoder"]:
        """Return the value that each pre-activation must exceed.

        It is a feature's threshold, or of a top-k the smallest of a token's largest ``k``, as a
        constant.
        """
        if self.config.k is None:
            return self.log_threshold[layer].exp()[None]
        least = pre_acts.detach().topk(self.config.k, dim=-1).values[:, -1:]
        return least if self.config.activation == "topk" else least.clamp(min=0)

    def active(self, layer: int, x: Float[Tensor, "n d_model"]) -> ActiveFeatures:
        """Return what ``encode`` does, without the zeros and in a third of the time."""
        if not self.config.has_features(layer):
            none = torch.zeros(0, dtype=torch.int64, device=x.device)
            return ActiveFeatures(none, none, x.new_zeros(0))
        pre_acts = self.pre_activations(layer, x)
        tokens, features = nonzero_entries(self.is_active(layer, pre_acts))
        return ActiveFeatures(tokens, features, pre_acts[tokens, features])

    def encoder_vectors(
        self, layer: int, features: Int[Tensor, " n"], read: Tensor
    ) -> tuple[Float[Tensor, "n d_model"], Float[Tensor, " n"]]:
        """Return encoder rows and biases: the same for every input."""
        del read  # of gated neurons the vectors depend on it, of a transcoder they do not
        return self.W_enc[layer, features].detach(), self.b_enc[layer, features].detach()

    def thresholds(self, features: Int[Tensor, "n columns"]) -> Float[Tensor, " n"]:
        """Return each feature's threshold, given layer and number as first and last column.

        Minus infinity for a top-k without a ReLU: the value of an active feature has no bound.
        """
        if self.config.activation == "topk":
            return self.b_enc.new_full((len(features),), -torch.inf)
        return self.log_threshold[features[:, 0], features[:, -1]].exp().detach()

    def output_bias(self, layer: int) -> Float[Tensor, " d_model"]:
        """Return ``b_dec`` of one layer."""
        bias: Tensor = self.b_dec[layer].detach()
        return bias

    def write(
        self, layer: int, feature_acts: Float[Tensor, "*batch d_transcoder"]
    ) -> Float[Tensor, "*batch n_writes d_model"]:
        """Return what one layer's features write to the MLP outputs from ``layer`` on."""
        decoders = self.W_dec[layer]
        flat: Tensor = feature_acts @ decoders.flatten(start_dim=1)
        written: Tensor = flat.reshape(*feature_acts.shape[:-1], *decoders.shape[1:])
        return written

    def skip(
        self, layer: int, x: Float[Tensor, "*batch d_model"], rows: Tensor | None = None
    ) -> Float[Tensor, "*batch d_model"]:
        """Return what goes past the features to the layer's MLP output; 0 without ``W_skip``."""
        del rows  # it is the same at every position
        if not self.config.skip_connection:
            return torch.zeros_like(x)
        skipped: Tensor = x @ self.W_skip[layer]
        return skipped

    def without_skip(self) -> "CrossLayerTranscoder":
        """Return a transcoder with the same weights, the skip connection left out."""
        bare = CrossLayerTranscoder(replace(self.config, skip_connection=False))
        bare.W_enc, bare.b_enc, bare.b_dec = self.W_enc, self.b_enc, self.b_dec
        bare.log_threshold, bare.W_dec = self.log_threshold, self.W_dec
        return bare

    def back_through_skip(
        self, layer: int, gradient: Float[Tensor, "n_seen n d_model"]
    ) -> Float[Tensor, "n_seen n d_model"]:
        """Carry gradients back from what goes past the features to what the layer reads."""
        carried: Tensor = gradient @ self.W_skip[layer].detach().T
        return carried

    def decode(
        self,
        feature_acts: Float[Tensor, "n_layers *batch d_transcoder"],
        inputs: Float[Tensor, "n_layers *batch d_model"] | None = None,
    ) -> Float[Tensor, "n_layers *batch d_model"]:
        """Return the reconstructed MLP outputs of all layers.

        Args:
            feature_acts: Activations of all layers' features.
            inputs: What the layers read; needed where there is a ``W_skip``.

        Raises:
            ConfigError: If ``inputs`` is needed and was not given.
        """
        shape = (*feature_acts.shape[1:-1], self.config.d_model)
        out = [bias.expand(shape) for bias in self.b_dec]
        if self.config.skip_connection:
            if inputs is None:
                raise ConfigError("A transcoder with skip connections decodes with its inputs.")
            out = [bias + self.skip(layer, inputs[layer]) for layer, bias in enumerate(out)]
        for layer, acts in enumerate(feature_acts):
            for step, written in enumerate(self.write(layer, acts).unbind(dim=-2)):
                out[layer + step] = out[layer + step] + written
        return torch.stack(out)

    def decoder_rows(
        self, layer: int, features: Int[Tensor, " n"]
    ) -> Float[Tensor, "n n_writes d_model"]:
        """Return what features of one layer write to the MLP outputs from it on, per activation."""
        if isinstance(self.W_dec, LazyDecoders):
            return self.W_dec.rows(layer, features)
        decoders: Tensor = self.W_dec[layer].detach()[features]
        return decoders

    def decoder_vectors(self, layer: int, features: Tensor) -> Float[Tensor, "n n_layers d_model"]:
        """Return what features of one layer write to every layer's MLP output, per activation."""
        decoders = self.decoder_rows(layer, features)
        vectors = decoders.new_zeros(len(features), self.config.n_layers, self.config.d_model)
        vectors[:, layer : layer + decoders.shape[1]] = decoders
        return vectors

    def decoder_norms(self, layer: int) -> Float[Tensor, " d_transcoder"]:
        """Return the norm of each feature's decoder vectors, all output layers concatenated."""
        norms: Tensor = self.W_dec[layer].flatten(start_dim=1).norm(dim=1)
        return norms


@dataclass(frozen=True)
class TranscoderLoss:
    """The loss and its parts, each a mean over tokens and a sum over layers and features."""

    total: Tensor
    reconstruction: Tensor
    sparsity: Tensor
    """Before its coefficient."""
    preactivation: Tensor
    """Before its coefficient."""
    l0: Tensor
    """Active features per token and layer."""
    fired: Bool[Tensor, "n_layers d_transcoder"]
    """Which features were active on any token of the batch."""
    causal: Tensor
    """The loss on interventions, its weight included; 0 without one."""
    layer_l0: Float[Tensor, " n_layers"]
    """Active features per token of each layer."""
    layer_reconstruction: Float[Tensor, " n_layers"]
    """The part of ``reconstruction`` that is of each layer's MLP output."""


def sum_of_losses(losses: Sequence[TranscoderLoss]) -> TranscoderLoss:
    """Return the loss of a batch, given those of its parts."""
    if len(losses) == 1:
        return losses[0]
    summed = {
        field.name: torch.stack([getattr(loss, field.name) for loss in losses]).sum(dim=0)
        for field in fields(TranscoderLoss)
    }
    return TranscoderLoss(**summed | {"fired": summed["fired"] > 0})


def transcoder_loss(
    transcoder: CrossLayerTranscoder,
    inputs: Float[Tensor, "n_layers batch d_model"],
    targets: Float[Tensor, "n_layers batch d_model"],
    settings: TranscoderTraining,
    sparsity_coefficient: float | Sequence[float],
) -> TranscoderLoss:
    """Compute reconstruction error, tanh sparsity penalty and pre-activation penalty.

    Means run over the batch and sums over everything else, so that no coefficient depends on the
    batch size. The pre-activation penalty pulls what is silent up to the value that it would have
    to exceed: the feature's threshold, or of a top-k the smallest of the token's largest ``k``.

    Args:
        transcoder: The transcoder.
        inputs: What each layer's encoder reads, scaled.
        targets: MLP outputs, scaled.
        settings: Penalty shapes.
        sparsity_coefficient: The tanh penalty's weight at this step of its ramp; one for all
            layers, or one for each.

    Source: Ameisen et al. (2025) and Conerly et al. (January 2025).
    """
    n_layers, batch, _ = inputs.shape
    out = [bias + transcoder.skip(n, inputs[n]) for n, bias in enumerate(transcoder.b_dec)]
    coefficients = layer_coefficients(sparsity_coefficient, n_layers)
    sparsity, preactivation = inputs.new_zeros(()), inputs.new_zeros(())
    penalty, counts = inputs.new_zeros(()), []
    fired = []
    for layer in range(n_layers):
        pre_acts = transcoder.pre_activations(layer, inputs[layer])
        if transcoder.config.k is None:
            acts = jump_relu(pre_acts, transcoder.log_threshold[layer], settings.bandwidth)
        else:
            acts = transcoder.activate(layer, pre_acts)
        for step, written in enumerate(transcoder.write(layer, acts).unbind(dim=-2)):
            out[layer + step] = out[layer + step] + written
        norms = transcoder.decoder_norms(layer)
        bent = torch.tanh(settings.tanh_scale * norms * acts).sum() / batch
        sparsity, penalty = sparsity + bent, penalty + coefficients[layer] * bent
        below = torch.relu(transcoder.bars(layer, pre_acts) - pre_acts).sum(dim=0)
        preactivation = preactivation + (below * norms).sum()
        active_tokens = torch.count_nonzero(acts.detach(), dim=0)
        counts.append(active_tokens.sum())
        fired.append(active_tokens > 0)
    layer_reconstruction = (torch.stack(out) - targets).square().sum(dim=(1, 2)) / batch
    reconstruction = layer_reconstruction.sum()
    preactivation = preactivation / batch
    total = reconstruction + penalty + settings.preactivation_coefficient * preactivation
    layer_l0 = torch.stack(counts) / batch
    zero = inputs.new_zeros(())
    parts = (total, reconstruction, sparsity, preactivation, layer_l0.mean())
    layers = (layer_l0, layer_reconstruction.detach())
    return TranscoderLoss(*parts, torch.stack(fired), zero, *layers)


def layer_coefficients(coefficient: float | Sequence[float], n_layers: int) -> tuple[float, ...]:
    """Return a coefficient of each layer, where there may be one for all."""
    if isinstance(coefficient, Sequence):
        return tuple(coefficient)
    return (coefficient,) * n_layers
