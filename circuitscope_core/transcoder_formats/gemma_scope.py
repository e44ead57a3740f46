"""Gemma Scope's layouts: npz archives of the first release, safetensors files of the second.

First: ``layer_{i}/width_…/average_l0_…/params.npz`` with ``W_enc`` ``[d_model, d_transcoder]``,
``W_dec`` ``[d_transcoder, d_model]``, ``b_enc``, ``b_dec``, ``threshold``. It has no settings: it
reads the normalised stream before the norm's gain, and writes behind the norm after the MLP.

Second: ``layer_{i}_width_…/params.safetensors`` and ``config.json``, with the same in small letters
and, where ``affine_connection`` is set, ``affine_skip_connection`` (``x @ it``). Its cross-layer
transcoders have ``params_layer_{i}.safetensors`` with ``w_dec`` ``[d_transcoder, n_layers,
d_model]``: rows of all layers, of which those from its own on are used.

JumpReLU is behind a ReLU in both, so that a threshold below 0 is 0.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from circuitscope_core.errors import BundleError
from circuitscope_core.transcoder_formats.found import (
    Decoders,
    FoundTranscoder,
    LayerWeights,
    Points,
    in_order,
    relu_threshold,
    same_points,
)
from circuitscope_core.transcoder_formats.points import module_points
from circuitscope_core.transcoder_formats.settings import read_json, refuse_others, require
from circuitscope_core.transcoder_formats.weight_files import open_weights

PUBLISHED_FIRST = Points("unit", "added")
PUBLISHED_SECOND = Points("in", "added")
"""The points of sets that say nothing, from the releases' own descriptions."""
CROSS_LAYER_FILE = re.compile(r"params_layer_(\d+)\.safetensors")
KNOWN = {
    *("architecture", "affine_connection", "hf_hook_point_in", "hf_hook_point_out"),
    *("model_name", "width", "l0", "type"),
}


def find_first(folder: Path) -> FoundTranscoder | None:
    """Return a transcoder of the first release; None where the folder holds none.

    Raises:
        BundleError: If a layer is missing, or there are several transcoders of one.
    """
    layers = _in_layer_folders(folder, "params.npz")
    if not layers:
        return None
    paths = in_order(layers, folder)
    return FoundTranscoder(tuple(partial(read_npz, path) for path in paths), PUBLISHED_FIRST)


def find_second(folder: Path) -> FoundTranscoder | None:
    """Return a transcoder of the second release; None where the folder holds none.

    Raises:
        BundleError: If a layer is missing, there are several transcoders of one, or the settings
            say what is not supported.
    """
    layers = _in_layer_folders(folder, "params.safetensors")
    if layers:
        paths = in_order(layers, folder)
        points = same_points((_points_of(path.with_name("config.json")) for path in paths), folder)
        return FoundTranscoder(tuple(partial(read_second, path) for path in paths), points)
    numbered = [
        (int(match[1]), path)
        for path in folder.glob("params_layer_*.safetensors")
        if (match := CROSS_LAYER_FILE.fullmatch(path.name))
    ]
    if not numbered:
        return None
    points_found = _points_of(folder / "config.json")
    return FoundTranscoder(
        cross_layer_readers(in_order(numbered, folder)), points_found, cross_layer=True
    )


def _in_layer_folders(folder: Path, name: str) -> list[tuple[int, Path]]:
    return [
        (int(match[1]), path)
        for path in sorted(folder.glob(f"layer_*/**/{name}"))
        if (match := re.match(r"layer_(\d+)", path.relative_to(folder).parts[0]))
    ]


def cross_layer_readers(paths: list[Path]) -> tuple[Callable[[], LayerWeights], ...]:
    """Return what reads each layer's file of a cross-layer transcoder."""
    return tuple(partial(read_second, path, layer) for layer, path in enumerate(paths))


def _points_of(path: Path) -> Points:
    if not path.is_file():
        return PUBLISHED_SECOND
    settings = read_json(path)
    refuse_others(settings, KNOWN, path)
    require(settings, "architecture", {"jump_relu"}, path, "Only jump_relu is known.")
    _check_affine(settings, path)
    return module_points(settings.get("hf_hook_point_in"), settings.get("hf_hook_point_out"), path)


def _check_affine(settings: dict[str, Any], path: Path) -> None:
    """Refuse a weight file without the skip connection that its settings promise."""
    weights = path.with_name("params.safetensors")
    if not weights.is_file() or "affine_connection" not in settings:
        return
    has_skip = "affine_skip_connection" in open_weights(weights).names
    if bool(settings["affine_connection"]) != has_skip:
        raise BundleError(
            f"{path}: affine_connection is {settings['affine_connection']!r}, and {weights.name} "
            f"{'has an' if has_skip else 'has no'} affine_skip_connection. One of the two belongs "
            "to another transcoder; fetch them again."
        )


def read_npz(path: Path) -> LayerWeights:
    """Read one layer of the first release.

    Raises:
        BundleError: If a weight is missing or not known, or the archive holds objects.
    """
    file = open_weights(path)
    file.refuse_others({"W_enc", "W_dec", "b_enc", "b_dec", "threshold"})
    return LayerWeights(
        W_enc=file.tensor("W_enc").T,
        b_enc=file.tensor("b_enc"),
        b_dec=file.tensor("b_dec"),
        W_dec=Decoders(file, "W_dec"),
        threshold=relu_threshold(file.tensor("threshold")),
    )


def read_second(path: Path, layer: int | None = None) -> LayerWeights:
    """Read one layer of the second release.

    Args:
        path: Its file.
        layer: Of a cross-layer transcoder, whose decoders are those of all layers; else None.

    Raises:
        BundleError: If a weight is missing or not known.
    """
    file = open_weights(path)
    skip = "affine_skip_connection"
    file.refuse_others({"w_enc", "w_dec", "b_enc", "b_dec", "threshold", skip})
    return LayerWeights(
        W_enc=file.tensor("w_enc").T,
        b_enc=file.tensor("b_enc"),
        b_dec=file.tensor("b_dec"),
        W_dec=Decoders(file, "w_dec", first=layer or 0),
        threshold=relu_threshold(file.tensor("threshold")),
        W_skip=file.optional(skip),
    )
