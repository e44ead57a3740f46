"""Safetensors files."""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from circuitscope_core.errors import BundleError


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file as float32.

    Raises:
        BundleError: If the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name).float() for name in names}
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path} cannot be read as safetensors: {error}") from error
