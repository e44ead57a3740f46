"""Transcoders of some layers of a model: put together, and widened to all of its layers."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from circuitscope_core.errors import ConfigError
from circuitscope_core.transcoder.cross_layer_transcoder import CrossLayerTranscoder


def widen(
    parts: Sequence[CrossLayerTranscoder], layers: Sequence[Sequence[int]], n_layers: int
) -> CrossLayerTranscoder:
    """Return one transcoder for all layers of a model from those of some of its layers.

    Layers that nobody trained have the same number of features, all of whose weights are 0: none
    is ever active, and nothing is added to the MLP's output.

    Args:
        parts: Transcoders that were trained; several of them must be per-layer ones.
        layers: The model's layers that each part's layers stand for, rising.
        n_layers: Layers of the model.
    """
    trained = tuple(sorted(layer for group in layers for layer in group))
    config = replace(
        parts[0].config,
        n_layers=n_layers,
        trained_layers=None if len(trained) == n_layers else trained,
    )
    with torch.device("meta"):
        whole = CrossLayerTranscoder(config)
    like = parts[0].W_enc
    shared = [name for name, _ in whole.named_parameters() if not name.startswith("W_dec")]
    filled = {
        name: torch.zeros(whole.get_parameter(name).shape, dtype=like.dtype, device=like.device)
        for name in shared
    }
    filled["log_threshold"].fill_(-torch.inf)  # thresholds of 0
    writes = [
        torch.zeros(decoders.shape, dtype=like.dtype, device=like.device)
        for decoders in whole.W_dec
    ]
    with torch.no_grad():
        for part, group in zip(parts, layers, strict=True):
            for name in shared:
                filled[name][list(group)] = part.get_parameter(name)
            _place_decoders(writes, part, group)
    whole.load_state_dict(
        {**filled, **{f"W_dec.{number}": value for number, value in enumerate(writes)}}, assign=True
    )
    return whole.requires_grad_(requires_grad=False)


def _place_decoders(
    writes: Sequence[Tensor], part: CrossLayerTranscoder, group: Sequence[int]
) -> None:
    """Put a part's decoders where its layers are among the model's."""
    for own, layer in enumerate(group):
        decoders = part.W_dec[own]
        for step in range(decoders.shape[1]):
            writes[layer][:, group[own + step] - layer] = decoders[:, step]


def check_silent(transcoder: CrossLayerTranscoder) -> None:
    """Refuse a transcoder whose layers without features have weights.

    Raises:
        ConfigError: Naming the first such layer.
    """
    config = transcoder.config
    weights: list[nn.Parameter] = [transcoder.W_enc, transcoder.b_enc, transcoder.b_dec]
    weights += [transcoder.W_skip] if config.skip_connection else []
    for layer in range(config.n_layers):
        if config.has_features(layer):
            continue
        if any(bool(weight[layer].any()) for weight in weights):
            raise ConfigError(
                f"Layer {layer} has weights, and trained_layers, which names the layers with "
                f"features, leaves it out ({name_layers(config.trained_layers or ())}). Add it "
                "there."
            )


def name_layers(layers: Sequence[int]) -> str:
    """Return layers in words: runs of them as ``3–7``.

    Example:
        >>> name_layers([3, 4, 5, 9])
        '3–5, 9'
    """
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)
