"""``save_transcoder``: a transcoder in circuit-tracer's layout for its kind."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import save_file
from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.errors import BundleError
from circuitscope_core.files import place_of, write_text, written
from circuitscope_core.transcoder import CrossLayerTranscoder
from circuitscope_core.transcoder_formats.circuit_tracer import CONFIG, OURS
from circuitscope_core.transcoder_formats.points import INPUT_HOOKS, OUTPUT_HOOKS

WHAT = "The transcoder"


@checked
def save_transcoder(transcoder: CrossLayerTranscoder, folder: str | Path) -> None:
    """Write a transcoder in circuit-tracer's layout for its kind.

    Raises:
        BundleError: If a file cannot be written.
    """
    target = place_of(folder)
    config = transcoder.config
    write = _save_cross_layer if config.cross_layer else _save_per_layer
    for layer in range(config.n_layers):
        weights = {
            "W_enc": transcoder.W_enc[layer],
            "b_enc": transcoder.b_enc[layer],
            "b_dec": transcoder.b_dec[layer],
            "W_dec": transcoder.W_dec[layer],
        }
        if config.activation == "jump_relu":
            weights["threshold"] = transcoder.threshold[layer]
        if config.skip_connection:
            weights["W_skip"] = transcoder.W_skip[layer]
        write(target, layer, {name: value.detach() for name, value in weights.items()})
    record: dict[str, Any] = {
        "model_kind": "cross_layer_transcoder" if config.cross_layer else "transcoder_set",
        "model_name": OURS,
        "feature_input_hook": INPUT_HOOKS[config.read_point],
        "feature_output_hook": OUTPUT_HOOKS[config.write_point],
        "read_point": config.read_point,
        "write_point": config.write_point,
    }
    if config.trained_layers is not None:  # the others' weights are 0, for readers such as
        record["trained_layers"] = list(config.trained_layers)  # circuit-tracer
    if config.activation != "jump_relu":
        record |= {"activation": config.activation, "k": config.k}
    write_text(target / CONFIG, yaml.safe_dump(record), BundleError, WHAT)


def _save_cross_layer(target: Path, layer: int, weights: Mapping[str, Tensor]) -> None:
    encoder = {f"{n}_{layer}": value.clone() for n, value in weights.items() if n != "W_dec"}
    _replace(encoder, target / f"W_enc_{layer}.safetensors")
    decoder = {f"W_dec_{layer}": weights["W_dec"].clone()}
    _replace(decoder, target / f"W_dec_{layer}.safetensors")


def _save_per_layer(target: Path, layer: int, weights: Mapping[str, Tensor]) -> None:
    tensors = {name: weights[name].clone() for name in ("W_enc", "b_enc", "b_dec")}
    if "threshold" in weights:
        tensors["activation_function.threshold"] = weights["threshold"].clone()
    tensors["W_dec"] = weights["W_dec"][:, 0].clone()
    if "W_skip" in weights:
        tensors["W_skip"] = weights["W_skip"].T.contiguous()
    _replace(tensors, target / f"layer_{layer}.safetensors")


def _replace(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write a file under another name first: a transcoder in use may be mapped from the old one."""
    with written(path, BundleError, WHAT) as partial:
        save_file(dict(tensors), partial)
