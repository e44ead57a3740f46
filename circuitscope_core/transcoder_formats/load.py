"""``load_transcoder``: a transcoder from disk, whatever the layout."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.config import ReadPoint, TranscoderConfig, WritePoint
from circuitscope_core.devices import Device, check_room, find_device, module_on
from circuitscope_core.errors import BundleError, ConfigError
from circuitscope_core.files import place_of
from circuitscope_core.transcoder import CrossLayerTranscoder, LazyDecoders, check_silent
from circuitscope_core.transcoder_formats import (
    circuit_tracer,
    gemma_scope,
    index,
    sae_lens,
    sparsify,
)
from circuitscope_core.transcoder_formats.found import (
    UNFINISHED,
    FoundTranscoder,
    LayerWeights,
    Points,
)
from circuitscope_core.transcoder_formats.hub import fetch_folder, is_address

ROWS_AT_ONCE = 4096
"""Rows of weights that are looked at together."""
PICKLES = ("*.pt", "*.pth", "*.bin", "*.ckpt")
LAYOUTS: tuple[Callable[[Path], FoundTranscoder | None], ...] = (
    index.find,
    circuit_tracer.find,
    gemma_scope.find_first,
    gemma_scope.find_second,
    sae_lens.find,
    sparsify.find,
)


@checked
def load_transcoder(
    source: str | Path,
    *,
    lazy_decoders: bool = False,
    read_point: ReadPoint | None = None,
    write_point: WritePoint | None = None,
    device: Device | None = None,
) -> CrossLayerTranscoder:
    """Read a transcoder in any of the layouts that ``docs/pretrained.md`` lists.

    Args:
        source: A folder, or ``hf://owner/name[/sub/folder][@revision]`` on the Hugging Face hub,
            which is fetched once where it is not on this machine yet.
        lazy_decoders: Leave the decoders on disk and read those of active features when a prompt
            needs them: for transcoders that are large against the memory. They cannot be trained.
        read_point: The place that features read, where the files' own word for it is wrong or
            means two things, as TransformerLens' ``ln2.hook_normalized`` does: without it, that is
            ``unit`` for models that are named as a family with RMSNorm, and ``in`` for others.
        write_point: The place that features write to, likewise.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps`` or ``auto``; see ``find_device``, which also
            says what None means.

    Raises:
        DeviceError: If there is no such device, or it has too little free memory.
        BundleError: If files are missing, damaged or pickles, their shapes disagree, or something
            in them is not supported.
    """
    place = find_device(device)
    folder = fetch_folder(str(source)) if is_address(str(source)) else place_of(source)
    found = find_transcoder(folder)
    points = Points(read_point or found.points.read, write_point or found.points.write)
    transcoder = assemble(replace(found, points=points), folder, lazy_decoders=lazy_decoders)
    return place_transcoder(transcoder, place)


def place_transcoder(
    transcoder: CrossLayerTranscoder, device: torch.device
) -> CrossLayerTranscoder:
    """Return a transcoder on a device, if there is room for it there.

    Raises:
        DeviceError: If there is not.
    """
    n_bytes = sum(weight.numel() * weight.element_size() for weight in transcoder.parameters())
    if device.type != "cpu":
        check_room(n_bytes, device, f"A transcoder of {n_bytes:,} bytes")
    return module_on(transcoder, device)


def find_transcoder(folder: Path) -> FoundTranscoder:
    """Return the transcoder in a folder, by the first layout that knows it.

    Raises:
        BundleError: If none does, or its files were not saved to the end.
    """
    if (folder / UNFINISHED).exists():
        raise BundleError(
            f"The transcoder in {folder} was not saved to the end: its files may be of two. Save "
            "it again."
        )
    for find in LAYOUTS:
        found = find(folder)
        if found is not None:
            return found
    pickles = sorted(path for pattern in PICKLES for path in folder.glob(f"**/{pattern}"))
    if pickles:
        raise BundleError(
            f"{pickles[0]} is a pickle, which can run code when it is read. Convert it where you "
            "trust it: write layer_0.safetensors and so on, with W_enc [d_transcoder, d_model], "
            "W_dec [d_transcoder, d_model], b_enc and b_dec, and a config.yaml with read_point and "
            "write_point. For GPT-2's set these are W_enc transposed, W_dec, b_enc - b_dec @ W_enc "
            "and b_dec_out, read_point unit and write_point added."
        )
    if not folder.is_dir():
        raise BundleError(f"{folder} is not there; give a transcoder's folder.")
    raise BundleError(
        f"{folder} has neither W_enc_0.safetensors nor layer_0.safetensors, nor the files of "
        "Gemma Scope, SAELens or sparsify; it is no transcoder folder."
    )


def assemble(
    found: FoundTranscoder, folder: Path, *, lazy_decoders: bool = False
) -> CrossLayerTranscoder:
    """Read the weights of a transcoder that was found.

    Raises:
        BundleError: If they are damaged, or their shapes disagree.
    """
    layers = [read() for read in found.layers]
    first = layers[0].W_enc
    if first.ndim != 2:
        raise BundleError(f"W_enc of layer 0 in {folder} has {first.ndim} axes; it must have 2.")
    _refuse_contradictions(found, layers, folder)
    config = TranscoderConfig(
        n_layers=len(layers),
        d_model=first.shape[1],
        d_transcoder=first.shape[0],
        read_point=found.points.read,
        write_point=found.points.write,
        cross_layer=found.cross_layer,
        skip_connection=any(weights.W_skip is not None for weights in layers),
        activation=found.activation,
        k=found.k,
        trained_layers=found.trained_layers,
    )
    with torch.device("meta"):
        transcoder = CrossLayerTranscoder(config)
    rows = [_checked(weights, transcoder, number) for number, weights in enumerate(layers)]
    state = {name: torch.stack([weights[name] for weights in rows]) for name in rows[0]}
    if lazy_decoders:
        readers = [_lazy(weights, transcoder, number) for number, weights in enumerate(layers)]
        transcoder.W_dec = LazyDecoders(readers, config.d_transcoder)
    else:  # they are most of a transcoder: they stay mapped from their files
        for number, weights in enumerate(layers):
            wanted, decoders = transcoder.W_dec[number].shape, weights.W_dec.whole()
            state[f"W_dec.{number}"] = _check("W_dec", number, wanted, decoders)
    transcoder.load_state_dict(state, assign=True)
    try:
        check_silent(transcoder)
    except ConfigError as error:
        raise BundleError(f"{folder}: {error}") from error
    return transcoder


def _refuse_contradictions(
    found: FoundTranscoder, layers: Sequence[LayerWeights], folder: Path
) -> None:
    """Refuse weights that say another activation than the settings."""
    for number, weights in enumerate(layers):
        if weights.k is not None and weights.k != found.k:
            raise BundleError(
                f"Layer {number} in {folder} has k = {weights.k}, and its settings say "
                f"{found.activation} with k = {found.k}. Write activation: topk and k: {weights.k} "
                "in config.yaml, or topk_relu if a ReLU lies before the top-k."
            )
        has_thresholds = weights.threshold is not None and bool(weights.threshold.any())
        if has_thresholds and not found.has_thresholds:
            raise BundleError(
                f"Layer {number} in {folder} has thresholds, and its settings name an activation "
                "that has none. Write activation: jump_relu if they count, or remove them."
            )


def _lazy(
    weights: LayerWeights, transcoder: CrossLayerTranscoder, layer: int
) -> Callable[[Tensor], Tensor]:
    shape, read = weights.W_dec.rows()
    _check("W_dec", layer, transcoder.W_dec[layer].shape, torch.empty(shape, device="meta"))
    return read


def _checked(
    weights: LayerWeights, transcoder: CrossLayerTranscoder, layer: int
) -> dict[str, Tensor]:
    """Return one layer's weights by the transcoder's names, decoders aside, shapes checked."""
    config = transcoder.config
    threshold = weights.threshold
    threshold = (
        torch.zeros(config.d_transcoder, device="cpu", dtype=torch.float32)
        if threshold is None
        else threshold.flatten()
    )
    if not bool((threshold >= 0).all()):  # nor where one is no number
        raise BundleError(
            f"A threshold of layer {layer} is {float(threshold.min())}; thresholds must be 0 or "
            "more."
        )
    given = {
        "W_enc": weights.W_enc,
        "b_enc": weights.b_enc,
        "b_dec": weights.b_dec,
        "log_threshold": threshold.log(),
    }
    if config.skip_connection:  # a layer without one skips nothing
        given["W_skip"] = torch.zeros(
            config.d_model, config.d_model, device="cpu", dtype=torch.float32
        )
        given |= {} if weights.W_skip is None else {"W_skip": weights.W_skip}
    return {
        name: _check(name, layer, getattr(transcoder, name)[layer].shape, value)
        for name, value in given.items()
    }


def _check_finite(name: str, layer: int, value: Tensor) -> None:
    """Refuse numbers that are not finite; read a part at a time, as files may be mapped."""
    for part in value.split(ROWS_AT_ONCE):
        if not bool(torch.isfinite(part).all()):
            raise BundleError(
                f"The transcoder's {name}_{layer} has numbers that are not finite. Fetch the file "
                "again; if they are in it, the training that made it diverged."
            )


def _check(name: str, layer: int, wanted: torch.Size, value: Tensor) -> Tensor:
    """Return a value of the wanted shape."""
    if value.shape != wanted:
        raise BundleError(
            f"The transcoder's {name}_{layer} is of shape {tuple(value.shape)}; "
            f"the first layer and the number of layers call for {tuple(wanted)}."
        )
    if not value.is_meta and name != "log_threshold":
        _check_finite(name, layer, value)
    return value
