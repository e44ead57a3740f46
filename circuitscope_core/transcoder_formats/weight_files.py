"""Files with named tensors: safetensors and NumPy's npz, read without running what is in them."""

import contextlib
import json
import os
import weakref
import zipfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from safetensors import SafetensorError, safe_open
from torch import Tensor

from circuitscope_core.errors import BundleError

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
NPY_DTYPES = {"<f8": torch.float64, "<f4": torch.float32, "<f2": torch.float16}
LOCAL_HEADER = 30
"""Length in bytes of an entry's header in a zip archive, its name and extra field aside."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file as float32.

    Raises:
        BundleError: If the file is missing or damaged.
    """
    file = open_weights(path)
    return {name: file.tensor(name) for name in file.names}


@dataclass(frozen=True)
class TensorPlace:
    """The place of a tensor's numbers in a file."""

    path: Path
    start: int
    """The first byte."""
    shape: torch.Size
    dtype: torch.dtype


class TensorRows:
    """Rows of one tensor of a file, read when they are asked for.

    The numbers stay in the file's precision until they are used. Nothing is mapped: of a file of
    gigabytes no more comes into memory than the rows asked for.
    """

    def __init__(self, place: TensorPlace) -> None:
        """Open the file."""
        self.place = place
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)  # Windows reads text otherwise
        self._file = os.open(place.path, flags)  # stays open: it may be replaced meanwhile
        weakref.finalize(self, os.close, self._file)

    @property
    def shape(self) -> torch.Size:
        """Shape of the whole tensor."""
        return self.place.shape

    def __call__(self, numbers: Int[Tensor, " n"]) -> Tensor:
        """Return rows as float32 ``[n, ...]``."""
        place, shape = self.place, self.shape[1:]
        size = shape.numel() * place.dtype.itemsize
        found = bytearray(size * len(numbers))
        view = memoryview(found)
        for index, number in enumerate(numbers.tolist()):
            part = view[index * size : (index + 1) * size]
            if _read_into(part, self._file, place.start + number * size) != size:
                raise BundleError(f"{place.path} was cut short while it was in use.")
        if not found:
            return torch.zeros(0, *shape, device="cpu", dtype=torch.float32)
        rows = torch.frombuffer(found, dtype=place.dtype).view(len(numbers), *shape).float()
        if not bool(torch.isfinite(rows).all()):
            raise BundleError(
                f"{place.path} has numbers that are not finite among the weights that were asked "
                "for. Fetch the file again."
            )
        return rows


_seeking = Lock()
"""Held while a file is read where the system has no reading at a place."""


def _read_into(part: memoryview, file: int, start: int) -> int:
    """Read bytes of an open file from a place on, in any thread; returns how many there were."""
    if hasattr(os, "preadv"):
        return os.preadv(file, [part], start)
    with _seeking:
        os.lseek(file, start, os.SEEK_SET)
        found = os.read(file, len(part))
    part[: len(found)] = found
    return len(found)


@dataclass(frozen=True)
class WeightFile:
    """A file with named tensors."""

    path: Path
    names: frozenset[str]
    read: Callable[[str], Tensor]
    """Reads one tensor whole, in the file's precision."""
    place: Callable[[str], TensorPlace]
    """Finds one tensor's numbers."""

    def refuse_others(self, known: Collection[str]) -> None:
        """Refuse tensors that a layout does not have.

        Raises:
            BundleError: Naming the first of them: it may decide what the transcoder computes.
        """
        for name in sorted(self.names - set(known)):
            shape = tuple(self.read(name).shape)
            raise BundleError(
                f"{self.path} has a tensor {name} of shape {shape}, which this layout does not "
                "know. It may change what the transcoder computes, so it is not passed over; fold "
                "it into the other weights, or remove it if it has no effect."
            )

    def tensor(self, name: str) -> Tensor:
        """Return a tensor as float32.

        Raises:
            BundleError: If the file lacks it, or it holds no floating-point numbers.
        """
        if name not in self.names:
            held = ", ".join(sorted(self.names)) or "nothing"
            raise BundleError(f"{self.path} lacks the tensor {name}; it holds {held}.")
        value = self.read(name)
        if not value.is_floating_point():
            raise BundleError(
                f"The tensor {name} in {self.path} holds {value.dtype}; weights must be "
                "floating-point numbers that are not quantised."
            )
        return value.float()

    def whole_number(self, name: str) -> int:
        """Return a tensor that is one whole number.

        Raises:
            BundleError: If it is none.
        """
        value = self.read(name)
        if value.numel() != 1 or value.is_floating_point() or value.is_complex():
            raise BundleError(
                f"{name} in {self.path} is of shape {tuple(value.shape)} and {value.dtype}; it "
                "must be one whole number."
            )
        return int(value)

    def optional(self, name: str) -> Tensor | None:
        """Return a tensor as float32; None where the file has none of that name."""
        return self.tensor(name) if name in self.names else None


def open_weights(path: Path) -> WeightFile:
    """Open a file with named tensors.

    Raises:
        BundleError: If it is missing, damaged or of another format.
    """
    return open_npz(path) if path.suffix == ".npz" else open_safetensors(path)


def open_safetensors(path: Path) -> WeightFile:
    """Open a safetensors file.

    Raises:
        BundleError: If it is missing or damaged.
    """

    def read(name: str) -> Tensor:
        with safe_open(path, framework="pt") as file:
            value: Tensor = file.get_tensor(name)
            return value

    try:
        with safe_open(path, framework="pt") as file:
            names = frozenset(file.keys())
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path} cannot be read as safetensors: {error}") from error
    return WeightFile(path, names, read, lambda name: _place_in_safetensors(path, name))


def _place_in_safetensors(path: Path, name: str) -> TensorPlace:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(length)).get(name, {"dtype": "no such tensor"})
    if entry["dtype"] not in DTYPES:
        raise BundleError(f"{name} in {path}: {entry['dtype']}; needs one of {list(DTYPES)}.")
    start = 8 + length + entry["data_offsets"][0]
    return TensorPlace(path, start, torch.Size(entry["shape"]), DTYPES[entry["dtype"]])


NPZ_ERRORS = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    NotImplementedError,  # of an archive whose compression zipfile does not know
    zipfile.BadZipFile,
)
"""Errors that NumPy and zipfile raise on damage."""


def open_npz(path: Path) -> WeightFile:
    """Open a NumPy archive; one with pickled objects in it is refused.

    Raises:
        BundleError: If it is missing, damaged, or holds objects.
    """

    def read(name: str) -> Tensor:
        with _open_archive(path) as archive:
            return torch.from_numpy(archive[name])

    with _open_archive(path) as archive:
        names = frozenset(archive.files)
    return WeightFile(path, names, read, lambda name: _place_in_npz(path, name))


@contextlib.contextmanager
def _open_archive(path: Path) -> Iterator[Any]:
    # NumPy leaves a file open that is no archive, if it opened it itself
    with _npz_errors(path), path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        yield archive


@contextlib.contextmanager
def _npz_errors(path: Path) -> Iterator[None]:
    """Turn what NumPy raises about an archive into an error of ours."""
    try:
        yield
    except NPZ_ERRORS as error:
        raise BundleError(f"{path} cannot be read as an npz archive: {error}") from error


def _place_in_npz(path: Path, name: str) -> TensorPlace:
    with _npz_errors(path), zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(f"{name}.npy")
        if entry.compress_type != zipfile.ZIP_STORED:
            raise BundleError(
                f"{path} is compressed, so its decoders cannot stay on disk; load it without "
                "lazy_decoders."
            )
        with archive.open(entry) as member:
            version = np.lib.format.read_magic(member)
            header = (
                np.lib.format.read_array_header_1_0(member)
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0(member)
            )
            skipped = member.tell()
    shape, by_columns, dtype = header
    if by_columns or dtype.str not in NPY_DTYPES:
        raise BundleError(
            f"{name} in {path} is stored as {dtype.str}, by {'columns' if by_columns else 'rows'}; "
            "decoders that stay on disk need floating-point rows. Load it without lazy_decoders."
        )
    with path.open("rb") as file:
        file.seek(entry.header_offset)
        header_bytes = file.read(LOCAL_HEADER)
    extra = sum(int.from_bytes(header_bytes[at : at + 2], "little") for at in (26, 28))
    start = entry.header_offset + LOCAL_HEADER + extra + skipped
    return TensorPlace(path, start, torch.Size(shape), NPY_DTYPES[dtype.str])
