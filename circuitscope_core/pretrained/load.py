"""Hugging Face models from a folder or a hub: safetensors only, and nothing of theirs is run."""

import contextlib
import importlib.util
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from circuitscope_core.arguments import checked
from circuitscope_core.devices import Device, check_room, find_device, free_bytes
from circuitscope_core.errors import ModelError
from circuitscope_core.files import place_of, read_text, reason_of
from circuitscope_core.pretrained.check import check_model
from circuitscope_core.pretrained.families import FAMILIES, check_family
from circuitscope_core.pretrained.pretrained_model import PretrainedModel
from circuitscope_core.tokenizer import HuggingFaceTokenizer, Tokenizer
from circuitscope_core.values import one_line

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
TOKENIZER = "tokenizer.json"
LARGE = 1_000_000_000
"""Parameters from which on a model is held in bfloat16 unless asked otherwise."""
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
WORKING_BYTES = 300 * 2**20
"""Memory of a pass besides the weights, for prompts of usual length."""


@one_line
@dataclass(frozen=True)
class ModelFiles:
    """A folder with a model, as far as is known without reading a weight."""

    folder: Path
    weights: tuple[Path, ...]
    n_parameters: int
    family: str
    """The ``model_type`` of the configuration, which is in the table of families."""

    def dtype(self, asked: str | None = None) -> torch.dtype:
        """Return the precision that the model is held in: float32 below a billion parameters."""
        if asked is not None:
            return DTYPES[asked]
        return torch.float32 if self.n_parameters < LARGE else torch.bfloat16

    def n_bytes(self, dtype: torch.dtype) -> int:
        """Return the memory that the weights take, in bytes."""
        return self.n_parameters * dtype.itemsize


def read_model_files(folder: str | Path) -> ModelFiles:
    """Look at a model's folder: its configuration and the headers of its weights.

    Raises:
        ModelError: If it is no folder with a model that can be opened.
    """
    folder = place_of(folder)
    if not (folder / CONFIG).is_file():
        raise ModelError(f"{folder} has no {CONFIG}; give the folder of a Hugging Face model.")
    config = _read_json(folder / CONFIG)
    family = str(config.get("model_type"))
    check_family(family)
    if "quantization_config" in config:
        raise ModelError(
            f"The model in {folder} is quantised; its attention weights are no plain numbers. "
            "Give the model it was made from."
        )
    weights = _weight_files(folder)
    return ModelFiles(folder, weights, sum(map(_count_parameters, weights)), family)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read: {reason_of(error)}.") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds no JSON object.")
    return found


def _weight_files(folder: Path) -> tuple[Path, ...]:
    if (folder / INDEX).is_file():
        named = _read_json(folder / INDEX).get("weight_map")
        if not isinstance(named, dict) or not named:
            raise ModelError(f"{folder / INDEX} names no weights.")
        names = sorted(set(map(str, named.values())))
        if strange := [name for name in names if Path(name).name != name]:
            raise ModelError(f"{folder / INDEX} names {strange[0]!r}, which is not in the folder.")
        files = tuple(folder / name for name in names)
    else:
        files = (folder / WEIGHTS,)
    missing = [path for path in files if not path.is_file()]
    if not missing:
        return files
    if any(any(folder.glob(pattern)) for pattern in PICKLES):
        raise ModelError(
            f"{folder} has its weights as pickles, which can run code when they are read. Convert "
            "them with the model's own save_pretrained(folder, safe_serialization=True)."
        )
    raise ModelError(
        f"{folder} lacks its weights: there is no {missing[0].name}. "
        "Copy that file there, or fetch the model again."
    )


def _count_parameters(path: Path) -> int:
    try:
        with safe_open(path, framework="pt") as file:
            return sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path} is no whole safetensors file ({error}); fetch it again."
        ) from error


@checked
def load_model(
    source: str | Path,
    *,
    device: Device | None = None,
    dtype: str | None = None,
    device_map: str | None = None,
) -> PretrainedModel:
    """Open a language model of ``transformers`` and check that it can be explained exactly.

    Args:
        source: A folder, or ``owner/name`` of a model on the Hugging Face hub, which is fetched
            once where it is not on this machine yet.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps`` or ``auto``; see ``find_device``, which also
            says what None means.
        dtype: ``float32``, ``bfloat16`` or ``float64``; None takes float32 below a billion
            parameters and bfloat16 above.
        device_map: ``auto`` or another of the words that Hugging Face's accelerate takes: the
            layers are spread over all cards, for a model that one does not hold. Records and
            graphs are computed on the card with the embeddings. Not together with ``device``.

    Raises:
        DeviceError: If there is no such device, or it has too little free memory.
        ModelError: If it cannot be opened: the family, the weights, the memory, or
            ``transformers`` itself.
        BundleError: If its tokenizer cannot be read.
    """
    if dtype is not None and dtype not in DTYPES:
        raise ModelError(f"dtype is {dtype!r}; it must be one of {', '.join(DTYPES)}.")
    named = place_of(source)
    folder = named if named.exists() else fetch_model(str(source))
    files = read_model_files(folder)
    precision = files.dtype(dtype)
    place = None if device_map is not None else find_device(device)
    if place is None:
        check_spreading(device, device_map)
    check_memory(files, precision, place)
    tokenizer = _tokenizer_of(files)
    module = _load_module(files, precision, device_map)
    if place is not None and place.type != "cpu":
        module = module.to(place)
    _check_finite(files, module)
    model = PretrainedModel(module, tokenizer=tokenizer, n_opening=0 if tokenizer is None else 1)
    check_model(model)
    model.folder = folder
    return model


def import_transformers() -> Any:
    """Return the package ``transformers``.

    Raises:
        ModelError: If it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise ModelError(
            "Hugging Face models need the package transformers. Install it with "
            "pip install -r requirements-pretrained.txt."
        ) from error
    return transformers


def fetch_model(name: str) -> Path:
    """Return the folder of a model on the hub, fetching what is not on this machine yet.

    Raises:
        ModelError: If there is no such model, or the hub cannot be reached.
    """
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ModelError(
            f"{name!r} is neither a folder nor the owner/name of a model on the Hugging Face hub."
        )
    import_transformers()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    wanted = ["*.json", "*.safetensors", "*.jinja"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted, local_files_only=True))
    except (LocalEntryNotFoundError, ValueError):
        pass
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        raise ModelError(f"{name} is not on this machine, and HF_HUB_OFFLINE forbids fetching it.")
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ModelError(
            f"{name} cannot be fetched from the Hugging Face hub: {error}. Fetch its files "
            "elsewhere and give their folder."
        ) from error


def check_spreading(device: Device | None, device_map: str | None) -> None:
    """Refuse to spread a model over several devices where that cannot be.

    Raises:
        ModelError: If a device is named too, or accelerate is not installed.
    """
    if device is not None:
        raise ModelError(
            f"device is {str(device)!r} and device_map {device_map!r}; a model lies on one device "
            "or is spread over several. Give one of the two."
        )
    if importlib.util.find_spec("accelerate") is None:
        raise ModelError(
            f"device_map is {device_map!r}, and spreading a model needs the package accelerate. "
            "Install it with pip install accelerate, or name one device."
        )


def check_memory(files: ModelFiles, dtype: torch.dtype, device: torch.device | None) -> None:
    """Refuse a model that does not fit into memory, before it is read.

    Raises:
        ModelError: If the host, through which all weights come, has too little.
        DeviceError: If the device has too little.
    """
    needed, free = files.n_bytes(dtype) + WORKING_BYTES, free_bytes()
    if device is not None and device.type != "cpu":
        check_room(needed, device, f"A model of {files.n_parameters:,} parameters")
    if device is not None and needed > free:
        raise ModelError(
            f"The model has {files.n_parameters:,} parameters and needs {needed / 2**30:.1f} GiB "
            f"in {str(dtype).removeprefix('torch.')}; {free / 2**30:.1f} GiB are free. "
            "Close other programs, or take a smaller model."
        )


def _load_module(files: ModelFiles, dtype: torch.dtype, device_map: str | None) -> nn.Module:
    transformers = import_transformers()
    kind = (
        transformers.AutoModelForMaskedLM
        if FAMILIES[files.family].masked
        else transformers.AutoModelForCausalLM
    )
    try:
        with _quiet(transformers):
            module, report = kind.from_pretrained(
                files.folder,
                dtype=dtype,
                attn_implementation="eager",
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
                **({} if device_map is None else {"device_map": device_map}),
            )
    except Exception as error:  # the library raises errors of many kinds
        raise ModelError(f"transformers cannot open {files.folder}: {error}") from error
    missing = set(map(str, report["missing_keys"]))
    biases = {name for name in missing if name.endswith(".bias")}
    with torch.no_grad():
        for name in biases:  # a model that was trained without them
            module.get_parameter(name).zero_()
    unfit = {
        "lack": missing - biases,
        "hold unknown": set(map(str, report["unexpected_keys"])),
        "have another size of": {str(key[0]) for key in report["mismatched_keys"]},
    }
    for what, names in unfit.items():
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ModelError(
                f"The weights in {files.folder} do not fit their configuration: they {what} "
                f"{min(names)}{more}. Fetch both from the same release."
            )
    loaded: nn.Module = module.requires_grad_(requires_grad=False)
    outside = [name for name, weight in loaded.named_parameters() if weight.is_meta]
    if outside:
        raise ModelError(
            f"device_map {device_map!r} leaves {len(outside)} weights of {files.folder} in no "
            f"device's memory, {outside[0]} first: all cards together hold too little. Use more "
            "cards, a smaller model, or device='cpu'."
        )
    return loaded


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Keep bars and reports of ``transformers`` off the terminal; errors say all that matters."""
    logging = transformers.utils.logging
    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()


def _check_finite(files: ModelFiles, module: nn.Module) -> None:
    for name, weight in module.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise ModelError(
                f"The weight {name} of {files.folder} has numbers that are not finite. "
                "Fetch the file again, or take another release of the model."
            )


def _tokenizer_of(files: ModelFiles) -> Tokenizer | None:
    path = files.folder / TOKENIZER
    return HuggingFaceTokenizer(path) if path.is_file() else None
