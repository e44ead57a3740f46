"""SAELens' layout: a folder for each layer with ``cfg.json`` and ``sae_weights.safetensors``.

``W_enc`` is ``[d_model, d_transcoder]``, ``W_dec`` ``[d_transcoder, d_model]``, and ``W_skip`` is
applied as ``x @ W_skip.T``. Hooks stand under ``metadata`` from release 6 on, before at the top.
"""

import re
from collections.abc import Mapping
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
from circuitscope_core.transcoder_formats.points import lens_points
from circuitscope_core.transcoder_formats.settings import read_json, refuse_others, require
from circuitscope_core.transcoder_formats.weight_files import open_weights

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
ARCHITECTURES = {
    "transcoder": (False, False),
    "skip_transcoder": (False, True),
    "jumprelu_transcoder": (True, False),
    "jumprelu_skip_transcoder": (True, True),
}
"""Whether each kind has thresholds, and whether it has skip weights."""
DECIDING = {
    *("architecture", "d_in", "d_out", "d_sae", "apply_b_dec_to_input", "normalize_activations"),
    *("reshape_activations", "activation_fn", "activation_fn_str", "activation_fn_kwargs"),
    *("hook_name", "hook_name_out", "hook_point", "finetuning_scaling_factor", "hook_head_index"),
    "hook_head_index_out",
}
DESCRIBING = {
    *("dtype", "device", "metadata", "model_name", "dataset_path", "context_size", "prepend_bos"),
    *("sae_lens_version", "sae_lens_training_version", "neuronpedia_id", "hook_layer"),
    *(
        "hook_layer_out",
        "dataset_trust_remote_code",
        "model_from_pretrained_kwargs",
        "model_class_name",
    ),
    *("seqpos_slice", "training_tokens", "sae_id"),
}
NONE: tuple[object, ...] = (None, "none", False)


def find(folder: Path) -> FoundTranscoder | None:
    """Return a transcoder in SAELens' layout; None where the folder holds none.

    Raises:
        BundleError: If a layer is missing, or the settings say what is not supported.
    """
    if (folder / WEIGHTS).is_file():
        raise BundleError(
            f"{folder} is the transcoder of one layer. Give the folder above it, in which every "
            "layer has a folder of its own."
        )
    folders = [path.parent for path in sorted(folder.glob(f"**/{WEIGHTS}"))]
    if not folders:
        return None
    settings = {path: _read_settings(path) for path in folders}
    paths = in_order([(_layer_of(settings[path], path), path) for path in folders], folder)
    points = same_points((_points_of(settings[path], path) for path in paths), folder)
    return FoundTranscoder(tuple(partial(_read, path, settings[path]) for path in paths), points)


def _read_settings(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    settings = read_json(path)
    refuse_others(settings, DECIDING | DESCRIBING, path)
    only = f"Transcoders of these kinds can be opened: {', '.join(ARCHITECTURES)}."
    require(settings, "architecture", ARCHITECTURES, path, only)
    advice = "Fold the scaling into W_enc, W_dec and the biases first, and write none."
    require(settings, "normalize_activations", NONE, path, advice)
    require(settings, "finetuning_scaling_factor", NONE, path, advice)
    advice = "Only activations of the stream's width can be read; it must be none."
    require(settings, "reshape_activations", NONE, path, advice)
    for place in _places(settings):
        require(place, "hook_head_index", (None,), path, advice)
        require(place, "hook_head_index_out", (None,), path, advice)
    advice = "Only relu is known beside the architectures' own thresholds."
    require(settings, "activation_fn", (None, "relu"), path, advice)
    require(settings, "activation_fn_str", (None, "relu"), path, advice)
    require(settings, "activation_fn_kwargs", (None, {}), path, advice)
    return settings


def _places(settings: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return where releases keep what a coder was trained on: from 6 on, and before."""
    metadata = settings.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}, settings


def _hooks(settings: Mapping[str, Any]) -> tuple[object, object, object]:
    """Return input hook, output hook and model."""

    def first(*names: str) -> object:
        found = (place.get(name) for place in _places(settings) for name in names)
        return next((value for value in found if value is not None), None)

    return first("hook_name", "hook_point"), first("hook_name_out"), first("model_name")


def _layer_of(settings: Mapping[str, Any], folder: Path) -> int:
    read, write, _ = _hooks(settings)
    layers = [re.match(r"blocks\.(\d+)\.", str(hook)) for hook in (read, write)]
    if layers[0] is None or layers[1] is None or layers[0][1] != layers[1][1]:
        raise BundleError(
            f"{folder / CONFIG}: hook_name is {read!r} and hook_name_out {write!r}. Both must name "
            "one layer, as in blocks.3.ln2.hook_normalized and blocks.3.hook_mlp_out."
        )
    return int(layers[0][1])


def _points_of(settings: Mapping[str, Any], folder: Path) -> Points:
    return lens_points(*_hooks(settings), folder / CONFIG)


def _read(folder: Path, settings: Mapping[str, Any]) -> LayerWeights:
    file = open_weights(folder / WEIGHTS)
    has_threshold, has_skip = ARCHITECTURES[str(settings["architecture"])]
    names = {"W_enc", "W_dec", "b_enc", "b_dec"}
    names |= {"threshold"} if has_threshold else set()
    names |= {"W_skip"} if has_skip else set()
    file.refuse_others(names)
    W_enc, b_enc, b_dec = file.tensor("W_enc").T, file.tensor("b_enc"), file.tensor("b_dec")
    if settings.get("apply_b_dec_to_input"):  # it encodes x - b_dec
        b_enc = b_enc - W_enc @ b_dec
    return LayerWeights(
        W_enc=W_enc,
        b_enc=b_enc,
        b_dec=b_dec,
        W_dec=Decoders(file, "W_dec"),
        threshold=relu_threshold(file.tensor("threshold")) if has_threshold else None,
        W_skip=file.tensor("W_skip").T if has_skip else None,
    )
