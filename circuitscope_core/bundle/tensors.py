"""Safetensors files."""

import json
import os
import weakref
from pathlib import Path

import torch
from jaxtyping import Int
from safetensors import SafetensorError, safe_open
from torch import Tensor

from circuitscope_core.errors import BundleError


def read_tensors(path: Path, *, leave_out: str = "") -> dict[str, Tensor]:
    """Read a safetensors file, but for one tensor, as float32.

    Raises:
        BundleError: If the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name != leave_out]  # noqa: SIM118
            return {name: file.get_tensor(name).float() for name in names}
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path} cannot be read as safetensors: {error}") from error


DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class TensorRows:
    """Rows of one tensor of a safetensors file, read when they are asked for.

    Nothing is mapped: of a file of gigabytes no more comes into memory than the rows asked for.
    """

    def __init__(self, path: Path, name: str) -> None:
        """Open the file.

        Raises:
            BundleError: If the file has no such tensor of floating-point numbers.
        """
        self._path = path
        self._file = os.open(path, os.O_RDONLY)  # stays open: the file may be replaced meanwhile
        weakref.finalize(self, os.close, self._file)
        length = int.from_bytes(os.pread(self._file, 8, 0), "little")
        entry = json.loads(os.pread(self._file, length, 8)).get(name, {"dtype": "no such tensor"})
        if entry["dtype"] not in DTYPES:
            raise BundleError(f"{name} in {path}: {entry['dtype']}; needs one of {list(DTYPES)}.")
        self._dtype = DTYPES[entry["dtype"]]
        self.shape = torch.Size(entry["shape"])
        self._start = 8 + length + entry["data_offsets"][0]

    def __call__(self, numbers: Int[Tensor, " n"]) -> Tensor:
        """Return rows as float32 ``[n, ...]``."""
        size = self.shape[1:].numel() * self._dtype.itemsize
        found = bytearray(size * len(numbers))
        view = memoryview(found)
        for index, number in enumerate(numbers.tolist()):
            part = view[index * size : (index + 1) * size]
            if os.preadv(self._file, [part], self._start + number * size) != size:
                raise BundleError(f"{self._path} was cut short while it was in use.")
        if not found:
            return torch.zeros(0, *self.shape[1:])
        flat = torch.frombuffer(found, dtype=self._dtype)
        return flat.view(len(numbers), *self.shape[1:]).float()
