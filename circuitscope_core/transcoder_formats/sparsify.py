"""EleutherAI sparsify's layout: a folder for each module with ``cfg.json`` and ``sae.safetensors``.

``encoder.weight`` and ``W_dec`` are ``[d_transcoder, d_model]``, and ``W_skip`` is applied as
``x @ W_skip.T``. Activations are the ``k`` largest pre-activations behind a ReLU. The
folder is named by a module, whose input is read and whose output is written: ``layers.3.mlp``.
"""

import re
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
)
from circuitscope_core.transcoder_formats.settings import (
    count,
    read_json,
    refuse_others,
    require,
)
from circuitscope_core.transcoder_formats.weight_files import open_weights

CONFIG, WEIGHTS = "cfg.json", "sae.safetensors"
POINTS = Points("in", "raw")
MODULE = re.compile(r"(?:.*\.)?(\d+)\.mlp")
KNOWN = {
    *("activation", "k", "d_in", "skip_connection", "transcode", "signed"),
    *("expansion_factor", "normalize_decoder", "num_latents", "multi_topk"),
}


def find(folder: Path) -> FoundTranscoder | None:
    """Return a transcoder in sparsify's layout; None where the folder holds none.

    Raises:
        BundleError: If a layer is missing, or the settings say what is not supported.
    """
    if (folder / WEIGHTS).is_file():
        raise BundleError(
            f"{folder} is the transcoder of one module. Give the folder above it, in which every "
            "layer's MLP has a folder of its own."
        )
    folders = [path.parent for path in sorted(folder.glob(f"*/{WEIGHTS}"))]
    if not folders:
        return None
    paths = in_order([(_layer_of(path), path) for path in folders], folder)
    k = {_read_settings(path)["k"] for path in paths}
    if len(k) > 1:
        raise BundleError(
            f"{folder}: k differs between layers ({', '.join(map(str, sorted(k)))}); it must be "
            "the same in all."
        )
    layers = tuple(partial(_read, path) for path in paths)
    return FoundTranscoder(layers, POINTS, activation="topk_relu", k=k.pop())


def _layer_of(folder: Path) -> int:
    match = MODULE.fullmatch(folder.name)
    if match is None:
        raise BundleError(
            f"{folder} is a coder of {folder.name}. Only those of whole MLPs can stand in for "
            "them, in folders named like layers.3.mlp; move the others away."
        )
    return int(match[1])


def _read_settings(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    settings = read_json(path)
    refuse_others(settings, KNOWN, path)
    advice = (
        "It must be true: otherwise it is an autoencoder, or a transcoder from before February "
        "2025, which encoded its input less b_dec; fold that into encoder.bias and write true."
    )
    require(settings, "transcode", (True,), path, advice)
    advice = "Only topk can be opened."
    require(settings, "activation", (None, "topk"), path, advice)
    advice = "Only top-k of activations above 0 can be opened; it must be false."
    require(settings, "signed", (None, False), path, advice)
    count(settings, "k", path)
    return settings


def _read(folder: Path) -> LayerWeights:
    file = open_weights(folder / WEIGHTS)
    has_skip = bool(_read_settings(folder).get("skip_connection"))
    names = {"encoder.weight", "encoder.bias", "W_dec", "b_dec"}
    file.refuse_others(names | ({"W_skip"} if has_skip else set()))
    return LayerWeights(
        W_enc=file.tensor("encoder.weight"),
        b_enc=file.tensor("encoder.bias"),
        b_dec=file.tensor("b_dec"),
        W_dec=Decoders(file, "W_dec"),
        W_skip=file.tensor("W_skip").T if has_skip else None,
    )
