"""The scale of activations in training, and a new transcoder's first weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.config import TranscoderTraining
from circuitscope_core.transcoder.cross_layer_transcoder import CrossLayerTranscoder

INITIAL_TOKENS = 8192
"""Tokens, about, on which the first ``b_enc`` is set."""

CONSTANT = 1e-12
"""Outputs that vary by a smaller share of their mean square are one constant, and rounding."""


@dataclass(frozen=True)
class ActivationScales:
    """Fixed numbers that bring inputs and targets to a mean squared norm of ``d_model``."""

    inputs: Float[Tensor, " n_layers"]
    targets: Float[Tensor, " n_layers"]
    target_means: Float[Tensor, "n_layers d_model"]
    """Mean MLP output; the first ``b_dec``, and taken away before the target's norm is measured."""


def measure_scales(
    inputs: Float[Tensor, "n_layers n d_model"], targets: Float[Tensor, "n_layers n d_model"]
) -> ActivationScales:
    """Measure the scales on many batches of activations."""
    d_model = inputs.shape[-1]
    means = targets.mean(dim=1)
    spread = (targets - means[:, None]).square().sum(dim=2).mean(dim=1)
    size = inputs.square().sum(dim=2).mean(dim=1)
    tiny = torch.finfo(inputs.dtype).tiny
    # an MLP that always writes the same leaves only rounding to scale: it stays as it is
    rounding = CONSTANT * targets.square().sum(dim=2).mean(dim=1)
    varies = spread > rounding.clamp(min=tiny)
    target_scales = torch.where(varies, (d_model / spread.clamp(min=tiny)).sqrt(), 1.0)
    return ActivationScales((d_model / size.clamp(min=tiny)).sqrt(), target_scales, means)


def fold_scales(transcoder: CrossLayerTranscoder, scales: ActivationScales) -> CrossLayerTranscoder:
    """Return the same transcoder for activations that are not scaled."""
    folded = CrossLayerTranscoder(transcoder.config)
    with torch.no_grad():
        folded.W_enc.copy_(transcoder.W_enc * scales.inputs[:, None, None])
        folded.b_enc.copy_(transcoder.b_enc)
        folded.b_dec.copy_(transcoder.b_dec / scales.targets[:, None])
        folded.log_threshold.copy_(transcoder.log_threshold)
        for layer, decoders in enumerate(transcoder.W_dec):
            target_scales = scales.targets[layer : layer + decoders.shape[1]]
            folded.W_dec[layer].copy_(decoders / target_scales[None, :, None])
        if transcoder.config.skip_connection:
            factors = scales.inputs / scales.targets
            folded.W_skip.copy_(transcoder.W_skip * factors[:, None, None])
    return folded


def initialize(
    transcoder: CrossLayerTranscoder,
    inputs: Float[Tensor, "n_layers n d_model"],
    scales: ActivationScales,
    settings: TranscoderTraining,
    generators: Sequence[torch.Generator],
) -> None:
    """Set a new transcoder's weights from a sample of scaled inputs, in place.

    Encoder rows are random directions of norm 1, decoders small random vectors, ``b_dec`` is the
    mean output, and ``b_enc`` makes every feature fire on the chosen share of tokens.

    Args:
        transcoder: The transcoder.
        inputs: Scaled.
        scales: Of the activations.
        settings: The first threshold, and the share of tokens.
        generators: One for all layers, or one for each, whose weights are then the same whatever
            other layers there are.
    """
    config = transcoder.config
    apart = len(generators) > 1 or config.n_layers == 1
    own = generators if len(generators) > 1 else [*generators] * config.n_layers
    stride = max(1, inputs.shape[1] // INITIAL_TOKENS)
    with torch.no_grad():
        for rows, generator in zip(transcoder.W_enc, own, strict=True):
            drawn = torch.randn(
                rows.shape, generator=generator, device=generator.device, dtype=torch.float32
            )
            rows.copy_(drawn / drawn.norm(dim=-1, keepdim=True))
        transcoder.log_threshold.fill_(settings.initial_threshold).log_()
        transcoder.b_dec.copy_(scales.target_means * scales.targets[:, None])
        for layer, (decoders, generator) in enumerate(zip(transcoder.W_dec, own, strict=True)):
            noise = torch.randn(
                decoders.shape, generator=generator, device=generator.device, dtype=torch.float32
            )
            noise = noise.to(decoders)
            bound = (config.d_model * (1 if apart else config.n_layers)) ** -0.5
            decoders.copy_(noise * bound / decoders.shape[1] ** 0.5)
            pre_acts = inputs[layer, ::stride] @ transcoder.W_enc[layer].T
            cut = quantiles(pre_acts, 1 - settings.initial_rate)
            transcoder.b_enc[layer].copy_(settings.initial_threshold - cut)


def quantiles(values: Float[Tensor, "n columns"], share: float) -> Float[Tensor, " columns"]:
    """Return each column's value below which ``share`` of its entries lie."""
    rank = min(int(share * len(values)), len(values) - 1)
    return values.T.contiguous().kthvalue(rank + 1, dim=1).values
