"""The model in a bundle: weights of its own, or a reference to a Hugging Face folder."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from circuitscope_core.config import ModelConfig
from circuitscope_core.devices import check_room, module_on
from circuitscope_core.errors import BundleError
from circuitscope_core.language_model import LanguageModel
from circuitscope_core.pretrained import KIND, PretrainedModel, load_model, read_model_files
from circuitscope_core.transcoder_formats import read_tensors
from circuitscope_core.transformer import Transformer

WEIGHTS = "transformer.safetensors"


def is_reference(record: Mapping[str, Any]) -> bool:
    """Return whether a record names a Hugging Face model instead of settings of ours."""
    return record.get("kind") == KIND


LARGEST_TABLES = 100_000_000
"""Numbers of masks and tables of positions, which are computed and not saved."""


def model_record(model: LanguageModel) -> dict[str, Any]:
    """Return the part of a bundle's record that says which model it is.

    Raises:
        BundleError: If the model has no folder to refer to, or is of another kind.
    """
    if isinstance(model, Transformer):
        return model.config.to_json()
    if not isinstance(model, PretrainedModel):
        raise BundleError(f"A {type(model).__name__} cannot be saved in a bundle.")
    if model.folder is None:
        raise BundleError(
            "The model is in memory only, and a bundle refers to a folder. Save it with "
            "save_pretrained(folder) and open it with load_model(folder)."
        )
    return {
        **model.describe(),
        "folder": str(model.folder.resolve()),
        "dtype": str(model.weight_dtype).removeprefix("torch."),
        "fingerprint": fingerprint(model.folder),
    }


def fingerprint(folder: Path) -> str:
    """Return a hash of a model's configuration and of the names and sizes of its weights."""
    files = read_model_files(folder)
    found = hashlib.sha256((folder / "config.json").read_bytes())
    for path in files.weights:
        found.update(f"{path.name} {path.stat().st_size}".encode())
    return found.hexdigest()


def load_recorded_model(
    bundle: Path, record: Mapping[str, Any], device: torch.device, dtype: str | None = None
) -> LanguageModel:
    """Open the model of a bundle on a device.

    Raises:
        DeviceError: If the device has too little memory.
        BundleError: If the weights are damaged, or the model referred to is another by now.
        ModelError: If the model referred to cannot be opened.
    """
    if not is_reference(record):
        if dtype not in (None, "float32"):
            raise BundleError(
                f"dtype is {dtype!r}, and {bundle} was trained here: graphs are computed with its "
                "weights as they are, in float32. Leave dtype out; it is for Hugging Face models."
            )
        config, weights = ModelConfig.from_json(record), read_tensors(bundle / WEIGHTS)
        check_sizes(config, sum(value.numel() for value in weights.values()), len(weights))
        return place_transformer(Transformer.from_transformer_lens(weights, config), device)
    folder = Path(str(record.get("folder")))
    if fingerprint(folder) != record.get("fingerprint"):
        raise BundleError(f"The model in {folder} is not the one that the bundle was made with.")
    return load_model(folder, device=device, dtype=dtype or record.get("dtype"))


def check_sizes(config: ModelConfig, n_numbers: int, n_tensors: int) -> None:
    """Refuse a configuration that is far larger than its weights, before memory is taken for it.

    Raises:
        BundleError: If it is.
    """
    wrong = config.n_layers > n_tensors
    if not wrong:
        with torch.device("meta"):
            model = Transformer(config)
        wanted = sum(part.numel() for part in (*model.parameters(), *model.buffers()))
        wrong = wanted > n_numbers + LARGEST_TABLES
    if wrong:
        raise BundleError(
            f"The model's record asks for far more numbers than the {n_numbers:,} of its weights: "
            f"{config}. Copy the bundle again."
        )


def place_transformer(model: Transformer, device: torch.device) -> Transformer:
    """Return a model on a device, if there is room for it there.

    Raises:
        DeviceError: If there is not.
    """
    if device.type != "cpu":
        check_room(4 * model.n_parameters, device, f"A model of {model.n_parameters:,} parameters")
    return module_on(model, device)
