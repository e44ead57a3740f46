"""circuit-tracer's two folder layouts, which are ours too, and folders that list other files.

Cross-layer: ``W_enc_{i}.safetensors`` with ``W_enc_{i}``, ``b_enc_{i}``, ``b_dec_{i}``,
``threshold_{i}``, and ``W_dec_{i}.safetensors`` with ``W_dec_{i}`` ``[d_transcoder, n_layers - i,
d_model]``. That layout has no place for skip connections; ours adds ``W_skip_{i}`` to the encoder's
file, applied as ``x @ W_skip``.

Per-layer: ``layer_{i}.safetensors`` with ``W_enc``, ``W_dec`` ``[d_transcoder, d_model]``,
``b_enc``, ``b_dec``, ``activation_function.threshold`` and ``W_skip``, applied as ``x @ W_skip.T``.

In both, files without thresholds hold ReLU features: their threshold is 0. ``config.yaml`` may say
``activation: topk`` with ``k``: the ``k`` largest pre-activations of each token, with no ReLU.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, get_args

from circuitscope_core.config import FORMER_POINTS, Activation, ReadPoint, WritePoint
from circuitscope_core.errors import BundleError
from circuitscope_core.transcoder_formats.found import (
    Decoders,
    FoundTranscoder,
    LayerWeights,
    Points,
    in_order,
)
from circuitscope_core.transcoder_formats.points import INPUT_HOOKS, OUTPUT_HOOKS, lens_points
from circuitscope_core.transcoder_formats.settings import (
    count,
    read_yaml,
    refuse_others,
    require,
)
from circuitscope_core.transcoder_formats.weight_files import open_weights

CONFIG = "config.yaml"
OURS = "circuitscope"
"""The model's name in folders that were saved here."""
TRAINING_RECORDS = ("wandb-config.yaml", "wanb-config.yaml")
"""Settings of a training, as published beside sets of Qwen3; some have no ``config.yaml``."""
KINDS = {"cross_layer_transcoder", "transcoder_set"}
KNOWN = {
    *("model_kind", "feature_input_hook", "feature_output_hook", "activation", "k", "transcoders"),
    *("read_point", "write_point", "cross_layer", "trained_layers"),
    *("model_name", "scan", "repo_id", "revision", "subfolder", "description", "license", "tags"),
}
"""Settings that decide something, our own, and those that only describe."""
ACTIVATIONS: dict[object, Activation] = {
    None: "jump_relu",
    "relu": "jump_relu",
    "jump_relu": "jump_relu",
    "topk": "topk",
    "topk_relu": "topk_relu",
}


def find(folder: Path) -> FoundTranscoder | None:
    """Return a transcoder in one of the two layouts; None where the folder holds neither.

    Raises:
        BundleError: If a layer is missing, or a setting is not known.
    """
    encoders = _numbered(folder, "W_enc_")
    layers = _numbered(folder, "layer_")
    if not encoders and not layers:
        return None
    if encoders and layers:
        raise BundleError(
            f"{folder} holds a cross-layer transcoder (W_enc_*.safetensors) and a per-layer one "
            "(layer_*.safetensors); move one of them to a folder of its own."
        )
    settings = read_settings(folder)
    if layers:
        paths = in_order(layers, folder)
        return describe(settings, folder, tuple(partial(read_layer, path) for path in paths))
    n_layers = len(in_order(encoders, folder))
    parts = tuple(partial(_read_cross_layer, folder, layer) for layer in range(n_layers))
    # folders written before per-layer sets had their own layout say so in their settings
    return describe(settings, folder, parts, cross_layer=bool(settings.get("cross_layer", True)))


def _numbered(folder: Path, start: str) -> list[tuple[int, Path]]:
    named = ((path.stem.removeprefix(start), path) for path in folder.glob(f"{start}*.safetensors"))
    return [(int(number), path) for number, path in named if number.isdecimal()]


def read_settings(folder: Path) -> dict[str, Any]:
    """Return what ``config.yaml`` says; nothing where there is none.

    Raises:
        BundleError: If it cannot be read, has an unknown setting, or is missing where a record of
            a training shows that the read point is decided somewhere else.
    """
    path = folder / CONFIG
    if not path.is_file():
        for name in TRAINING_RECORDS:
            if (folder / name).is_file():
                raise BundleError(
                    f"{folder} has a {name} and no {CONFIG}, so nothing says where its features "
                    f"read. Write a {CONFIG} with read_point and write_point; in the published "
                    "sets of Qwen3 these are in and added."
                )
        return {}
    settings = read_yaml(path)
    refuse_others(settings, KNOWN, path)
    require(
        settings,
        "model_kind",
        {None, *KINDS},
        path,
        f"It must be one of {', '.join(sorted(KINDS))}.",
    )
    return settings


def describe(
    settings: Mapping[str, Any],
    folder: Path,
    layers: tuple[Callable[[], LayerWeights], ...],
    *,
    cross_layer: bool = False,
) -> FoundTranscoder:
    """Return layers' weights together with what ``config.yaml`` says of them.

    Raises:
        BundleError: If it says something that is not supported.
    """
    path = folder / CONFIG
    activation = settings.get("activation")
    advice = f"It must be one of {', '.join(filter(None, map(str, list(ACTIVATIONS)[1:])))}."
    require(settings, "activation", ACTIVATIONS, path, advice)
    function = ACTIVATIONS[activation]
    k = None if function == "jump_relu" else count(settings, "k", path)
    if function == "jump_relu" and settings.get("k") is not None:
        raise BundleError(
            f"{path}: k is {settings['k']!r} and activation is {activation!r}. Add "
            "activation: topk if the k largest pre-activations are meant, or remove k."
        )
    has_thresholds = activation in (None, "jump_relu")
    points = points_of(settings, path)
    trained = trained_layers_of(settings, path, len(layers))
    return FoundTranscoder(layers, points, cross_layer, function, k, has_thresholds, trained)


def trained_layers_of(
    settings: Mapping[str, Any], path: Path, n_layers: int
) -> tuple[int, ...] | None:
    """Return the layers that have features; None where all have.

    Raises:
        BundleError: If they are no layers.
    """
    given = settings.get("trained_layers")
    if given is None:
        return None
    numbers = list(range(n_layers))
    if not isinstance(given, list) or not given or given != [n for n in numbers if n in given]:
        raise BundleError(
            f"{path}: trained_layers is {given!r}; it must list layers from 0 to {n_layers - 1}, "
            "rising, each once."
        )
    return tuple(given)


def points_of(settings: Mapping[str, Any], path: Path) -> Points:
    """Return read and write point, by our own names where the settings have them.

    Raises:
        BundleError: If a name is not known.
    """
    if "read_point" in settings or "write_point" in settings:
        require(settings, "read_point", get_args(ReadPoint), path, _choice(INPUT_HOOKS))
        require(settings, "write_point", get_args(WritePoint), path, _choice(OUTPUT_HOOKS))
        return Points(settings["read_point"], settings["write_point"])
    read = str(settings.get("feature_input_hook", "hook_resid_mid"))
    write = str(settings.get("feature_output_hook", "hook_mlp_out"))
    if settings.get("model_name") == OURS and {read, write} <= set(FORMER_POINTS):
        return Points(FORMER_POINTS[read], FORMER_POINTS[write])  # type: ignore[arg-type]
    return lens_points(read, write, settings.get("model_name"), path)


def _choice(names: Mapping[Any, str]) -> str:
    return f"It must be one of {', '.join(names)}."


def _read_cross_layer(folder: Path, layer: int) -> LayerWeights:
    file = open_weights(folder / f"W_enc_{layer}.safetensors")
    names = {n: f"{n}_{layer}" for n in ("W_enc", "b_enc", "b_dec", "threshold", "W_skip")}
    file.refuse_others(names.values())
    decoders = open_weights(folder / f"W_dec_{layer}.safetensors")
    decoders.refuse_others([f"W_dec_{layer}"])
    return LayerWeights(
        W_enc=file.tensor(names["W_enc"]),
        b_enc=file.tensor(names["b_enc"]),
        b_dec=file.tensor(names["b_dec"]),
        W_dec=Decoders(decoders, f"W_dec_{layer}"),
        threshold=file.optional(names["threshold"]),
        W_skip=file.optional(names["W_skip"]),
    )


def read_layer(path: Path) -> LayerWeights:
    """Read one layer of a per-layer set.

    Raises:
        BundleError: If a weight is missing or not known.
    """
    file = open_weights(path)
    threshold = "activation_function.threshold"
    file.refuse_others({"W_enc", "W_dec", "b_enc", "b_dec", "W_skip", "k", threshold})
    skip = file.optional("W_skip")
    return LayerWeights(
        W_enc=file.tensor("W_enc"),
        b_enc=file.tensor("b_enc"),
        b_dec=file.tensor("b_dec"),
        W_dec=Decoders(file, "W_dec"),
        threshold=file.optional(threshold),
        W_skip=None if skip is None else skip.T,
        k=file.whole_number("k") if "k" in file.names else None,
    )
