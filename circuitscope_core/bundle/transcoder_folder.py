"""Transcoders in circuit-tracer's two folder layouts.

Cross-layer: ``W_enc_{i}.safetensors`` with ``W_enc_{i}``, ``b_enc_{i}``, ``b_dec_{i}``,
``threshold_{i}``, and ``W_dec_{i}.safetensors`` with ``W_dec_{i}`` ``[d_transcoder, n_layers - i,
d_model]``. That layout has no place for skip connections; ours adds ``W_skip_{i}`` to the encoder's
file, applied as ``x @ W_skip``.

Per-layer: ``layer_{i}.safetensors`` with ``W_enc``, ``W_dec`` ``[d_transcoder, d_model]``,
``b_enc``, ``b_dec``, ``activation_function.threshold`` and ``W_skip``, applied as ``x @ W_skip.T``.

In both, files without thresholds hold ReLU features: their threshold is 0.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from circuitscope_core.bundle.tensors import TensorRows, read_tensors
from circuitscope_core.config import FORMER_POINTS, TranscoderConfig
from circuitscope_core.errors import BundleError
from circuitscope_core.transcoder import CrossLayerTranscoder, LazyDecoders

INPUT_HOOKS = {
    "mid": "hook_resid_mid",
    "unit": "ln2.hook_normalized",
    "in": "mlp.hook_in",
    "pre": "hook_resid_pre",
}
OUTPUT_HOOKS = {"added": "hook_mlp_out", "raw": "mlp.hook_out"}
LayerTensors = Mapping[str, Tensor | None]
"""One layer's weights by our names: W_enc, b_enc, b_dec, threshold, W_dec ``[F, n, d]``, W_skip."""


def save_transcoder(transcoder: CrossLayerTranscoder, folder: str | Path) -> None:
    """Write a transcoder in circuit-tracer's layout for its kind."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    config = transcoder.config
    write = _save_cross_layer if config.cross_layer else _save_per_layer
    for layer in range(config.n_layers):
        weights = {
            "W_enc": transcoder.W_enc[layer],
            "b_enc": transcoder.b_enc[layer],
            "b_dec": transcoder.b_dec[layer],
            "threshold": transcoder.threshold[layer],
            "W_dec": transcoder.W_dec[layer],
        }
        if config.skip_connection:
            weights["W_skip"] = transcoder.W_skip[layer]
        write(target, layer, {name: value.detach() for name, value in weights.items()})
    record = {
        "model_kind": "cross_layer_transcoder" if config.cross_layer else "transcoder_set",
        "model_name": "circuitscope",
        "feature_input_hook": INPUT_HOOKS[config.read_point],
        "feature_output_hook": OUTPUT_HOOKS[config.write_point],
        "read_point": config.read_point,
        "write_point": config.write_point,
    }
    (target / "config.yaml").write_text(yaml.safe_dump(record), encoding="utf-8")


def _save_cross_layer(target: Path, layer: int, weights: Mapping[str, Tensor]) -> None:
    encoder = {f"{n}_{layer}": value.clone() for n, value in weights.items() if n != "W_dec"}
    _replace(encoder, target / f"W_enc_{layer}.safetensors")
    decoder = {f"W_dec_{layer}": weights["W_dec"].clone()}
    _replace(decoder, target / f"W_dec_{layer}.safetensors")


def _save_per_layer(target: Path, layer: int, weights: Mapping[str, Tensor]) -> None:
    tensors = {name: weights[name].clone() for name in ("W_enc", "b_enc", "b_dec")}
    tensors["activation_function.threshold"] = weights["threshold"].clone()
    tensors["W_dec"] = weights["W_dec"][:, 0].clone()
    if "W_skip" in weights:
        tensors["W_skip"] = weights["W_skip"].T.contiguous()
    _replace(tensors, target / f"layer_{layer}.safetensors")


def _replace(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write a file under another name first: a transcoder in use may be mapped from the old one."""
    partial = path.with_suffix(".partial")
    save_file(dict(tensors), partial)
    partial.replace(path)


def load_transcoder(folder: str | Path, *, lazy_decoders: bool = False) -> CrossLayerTranscoder:
    """Read a transcoder in either of circuit-tracer's folder layouts.

    Args:
        folder: The folder.
        lazy_decoders: Leave the decoders on disk and read those of active features when a prompt
            needs them: for transcoders that are large against the memory. They cannot be trained.

    Raises:
        BundleError: If files are missing, damaged, or their shapes disagree.
        ConfigError: If ``config.yaml`` names a read or write point that is not supported.
    """
    source = Path(folder)
    record = _read_settings(source / "config.yaml")
    per_layer = bool(list(source.glob("layer_*.safetensors")))
    first = "layer_" if per_layer else "W_enc_"
    n_layers = len(list(source.glob(f"{first}*.safetensors")))
    if not n_layers:
        raise BundleError(
            f"{source} has neither W_enc_0.safetensors nor layer_0.safetensors; "
            "it is no transcoder folder."
        )
    read: Callable[[Path, int, bool], LayerTensors]
    read = _read_per_layer if per_layer else _read_cross_layer
    first_layer = read(source, 0, lazy_decoders)
    W_enc = first_layer["W_enc"]
    if W_enc is None or W_enc.ndim != 2:
        raise BundleError(f"{source / f'{first}0.safetensors'} has no matrix W_enc.")
    # folders written before per-layer sets had their own layout say so in their settings
    cross_layer = not per_layer and bool(record.get("cross_layer", True))
    config = TranscoderConfig(
        n_layers=n_layers,
        d_model=W_enc.shape[1],
        d_transcoder=W_enc.shape[0],
        read_point=FORMER_POINTS[record.get("feature_input_hook", "hook_resid_mid")],
        write_point=FORMER_POINTS[record.get("feature_output_hook", "hook_mlp_out")],
        cross_layer=cross_layer,
        skip_connection=first_layer["W_skip"] is not None,
    )
    with torch.device("meta"):
        transcoder = CrossLayerTranscoder(config)
    layers = [
        _checked(read(source, layer, lazy_decoders), transcoder, layer) for layer in range(n_layers)
    ]
    names = [name for name in layers[0] if name != "W_dec"]
    state = {name: torch.stack([weights[name] for weights in layers]) for name in names}
    if lazy_decoders:
        rows = [_decoder_rows(source, transcoder, layer) for layer in range(n_layers)]
        transcoder.W_dec = LazyDecoders(rows, config.d_transcoder)
    else:  # they are most of a transcoder: they stay mapped from their files
        state |= {f"W_dec.{layer}": weights["W_dec"] for layer, weights in enumerate(layers)}
    transcoder.load_state_dict(state, assign=True)
    return transcoder


def _decoder_rows(
    source: Path, transcoder: CrossLayerTranscoder, layer: int
) -> Callable[[Tensor], Tensor]:
    """Return what reads one layer's decoders, of features given, from their file."""
    if (source / f"layer_{layer}.safetensors").is_file():
        read = TensorRows(source / f"layer_{layer}.safetensors", "W_dec")
    else:
        read = TensorRows(source / f"W_dec_{layer}.safetensors", f"W_dec_{layer}")
    wanted = transcoder.W_dec[layer]
    _check("W_dec", layer, wanted, _as_written(torch.empty(read.shape, device="meta"), wanted))
    return lambda features: _as_written(read(features), wanted)


def _as_written(decoders: Tensor, wanted: Tensor) -> Tensor:
    """Return decoders ``[n, n_writes, d_model]`` from a file's, which may have more."""
    if decoders.ndim == 2:
        return decoders[:, None]
    return decoders[:, : wanted.shape[1]]


def _read_cross_layer(source: Path, layer: int, lazy_decoders: bool) -> LayerTensors:
    encoder = read_tensors(source / f"W_enc_{layer}.safetensors")
    weights = {
        name: encoder.get(f"{name}_{layer}")
        for name in ("W_enc", "b_enc", "b_dec", "threshold", "W_skip")
    }
    if lazy_decoders:
        return weights
    decoder = read_tensors(source / f"W_dec_{layer}.safetensors")
    return weights | {"W_dec": decoder.get(f"W_dec_{layer}")}


def _read_per_layer(source: Path, layer: int, lazy_decoders: bool) -> LayerTensors:
    leave_out = "W_dec" if lazy_decoders else ""
    found = read_tensors(source / f"layer_{layer}.safetensors", leave_out=leave_out)
    skip = found.get("W_skip")
    weights = {
        **{name: found.get(name) for name in ("W_enc", "b_enc", "b_dec")},
        "threshold": found.get("activation_function.threshold"),
        "W_skip": None if skip is None else skip.T,
    }
    return weights if lazy_decoders else weights | {"W_dec": found.get("W_dec")}


def _checked(
    weights: LayerTensors, transcoder: CrossLayerTranscoder, layer: int
) -> dict[str, Tensor]:
    """Return one layer's weights by the transcoder's names, shapes checked."""
    threshold = weights["threshold"]
    if threshold is None:
        threshold = torch.zeros(transcoder.config.d_transcoder)
    given = {
        "W_enc": (transcoder.W_enc[layer], weights["W_enc"]),
        "b_enc": (transcoder.b_enc[layer], weights["b_enc"]),
        "b_dec": (transcoder.b_dec[layer], weights["b_dec"]),
        "log_threshold": (transcoder.log_threshold[layer], threshold.flatten().log()),
    }
    if "W_dec" in weights:
        W_dec, wanted = weights["W_dec"], transcoder.W_dec[layer]
        given["W_dec"] = (wanted, W_dec if W_dec is None else _as_written(W_dec, wanted))
    if transcoder.config.skip_connection:
        given["W_skip"] = (transcoder.W_skip[layer], weights["W_skip"])
    return {name: _check(name, layer, *pair) for name, pair in given.items()}


def _check(name: str, layer: int, target: Tensor, value: Tensor | None) -> Tensor:
    """Return a value of the target's shape."""
    if value is None or value.shape != target.shape:
        found = "missing" if value is None else f"of shape {tuple(value.shape)}"
        raise BundleError(
            f"The transcoder's {name}_{layer} is {found}; "
            f"the first layer calls for {tuple(target.shape)}."
        )
    return value


def _read_settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
    if not isinstance(record, dict):
        raise BundleError(f"{path} holds no settings.")
    return record
