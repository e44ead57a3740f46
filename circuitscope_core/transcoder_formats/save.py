"""``save_transcoder``: a transcoder in circuit-tracer's layout for its kind."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.errors import BundleError
from circuitscope_core.files import place_of, reason_of
from circuitscope_core.transcoder import CrossLayerTranscoder
from circuitscope_core.transcoder_formats.circuit_tracer import CONFIG, OURS
from circuitscope_core.transcoder_formats.found import UNFINISHED
from circuitscope_core.transcoder_formats.points import INPUT_HOOKS, OUTPUT_HOOKS

OLDER = re.compile(r"(W_enc|W_dec|layer)_[0-9]+\.safetensors")
Content: TypeAlias = str | Callable[[], dict[str, Tensor]]


@checked
def save_transcoder(transcoder: CrossLayerTranscoder, folder: str | Path) -> None:
    """Write a transcoder in circuit-tracer's layout for its kind.

    Files of an older one in the folder stay until all new ones are written under other names. While
    they then get their names, the folder has the file ``.unfinished``, with which it is not read.

    Raises:
        BundleError: If a file cannot be written.
    """
    target, files = place_of(folder), dict(_files(transcoder))
    partials = {target / name: target / f"{name}.partial" for name in files}
    unfinished = target / UNFINISHED
    try:
        target.mkdir(parents=True, exist_ok=True)
        try:
            for path, partial in partials.items():
                _write(files[path.name], partial)
            unfinished.touch()
            for path, partial in partials.items():  # one in use may be mapped from the old files
                partial.replace(path)
            for path in target.iterdir():
                if OLDER.fullmatch(path.name) and path.name not in files:
                    path.unlink()  # of an older one with more layers, or of the other kind
            unfinished.unlink()
        finally:
            for partial in partials.values():
                partial.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        raise BundleError(
            f"The transcoder cannot be written to {target}: {reason_of(error)}. Make room, or name "
            "another folder."
        ) from error


def _write(content: Content, path: Path) -> None:
    if isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    else:
        save_file(content(), path)


def _files(transcoder: CrossLayerTranscoder) -> Iterator[tuple[str, Content]]:
    """Yield the names of the files, and their texts or the ways to their tensors.

    Only the tensors of one file are copied at a time.
    """
    config = transcoder.config
    parts = _cross_layer if config.cross_layer else _per_layer
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
        yield from parts(layer, {name: value.detach() for name, value in weights.items()})
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
    yield CONFIG, yaml.safe_dump(record)


def _cross_layer(layer: int, weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Content]]:
    def encoder() -> dict[str, Tensor]:
        return {f"{n}_{layer}": value.clone() for n, value in weights.items() if n != "W_dec"}

    yield f"W_enc_{layer}.safetensors", encoder
    decoder = f"W_dec_{layer}"
    yield f"{decoder}.safetensors", lambda: {decoder: weights["W_dec"].clone()}


def _per_layer(layer: int, weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Content]]:
    def tensors() -> dict[str, Tensor]:
        found = {name: weights[name].clone() for name in ("W_enc", "b_enc", "b_dec")}
        if "threshold" in weights:
            found["activation_function.threshold"] = weights["threshold"].clone()
        found["W_dec"] = weights["W_dec"][:, 0].clone()
        if "W_skip" in weights:
            found["W_skip"] = weights["W_skip"].T.contiguous()
        return found

    yield f"layer_{layer}.safetensors", tensors
