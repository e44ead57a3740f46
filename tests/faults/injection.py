"""Writes that fail: the program is ended by force at one of them, or the disk is full from there.

Every call by which the program changes a disk is counted: of ``os`` and ``shutil``, writes to open
files, and the writers of safetensors and Parquet. The one whose number comes up leaves half of its
bytes. A program that was ended by force writes nothing afterwards, whatever its ``finally`` says.
"""

import builtins
import errno
import io
import os
import re
import shutil
from collections.abc import Iterator
from itertools import count
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
import safetensors.torch
from safetensors import SafetensorError

WRITES = re.compile("[wax+]")
MOVES = ("replace", "rename")
REMOVES = ("unlink", "remove", "rmdir")
ENDED, FULL, REFUSED = "ended", "full", "refused"
"""Ended by force; a full disk from there on; one move that the system refuses, as Windows does
where somebody has the file open."""


class Killed(BaseException):
    """The end of the program; no handler of errors catches it."""


class Fault:
    """One fault, from the call with a number on."""

    def __init__(self, kind: str, number: int) -> None:
        self.kind, self.number = kind, number
        self.calls: list[str] = []
        """The call and the last part of its file's name, in their order."""
        self._patches: list[Any] = []

    @property
    def struck(self) -> bool:
        """Whether there were as many calls."""
        return len(self.calls) >= self.number

    def counts(self, call: str, path: object) -> bool:
        """Count a call, and return whether it must fail."""
        name = (
            os.path.basename(os.fsdecode(path))
            if isinstance(path, (str, bytes, os.PathLike))
            else ""
        )
        if self.kind == ENDED and self.struck:
            raise Killed
        if (self.kind == FULL and call in (*MOVES, *REMOVES)) or (
            self.kind == REFUSED and call not in MOVES
        ):
            return False
        self.calls.append(f"{call} {name}")
        return len(self.calls) == self.number or (self.kind == FULL and self.struck)

    def strike(self, error: type[Exception] = OSError) -> None:
        """Fail as the kind of fault does."""
        if self.kind == ENDED:
            raise Killed
        code = errno.ENOSPC if self.kind == FULL else errno.EACCES
        if error is OSError:
            raise OSError(code, os.strerror(code))
        raise error(os.strerror(code))

    def __enter__(self) -> "Fault":
        for name in (*MOVES, *REMOVES, "mkdir"):
            self._patch(os, name, self._call(name, getattr(os, name)))
        self._patch(os, "open", self._low_open(os.open))
        for module in (io, builtins):
            self._patch(module, "open", self._open(builtins.open))
        self._patch(shutil, "copyfile", self._copyfile(shutil.copyfile))
        self._patch(pq, "write_table", self._write_table(pq.write_table))
        whole = safetensors.torch.serialize_file
        self._patch(safetensors.torch, "serialize_file", self._serialize(whole))
        return self

    def _patch(self, module: Any, name: str, function: Any) -> None:
        one = patch.object(module, name, function)
        one.start()
        self._patches.append(one)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        for one in reversed(self._patches):
            one.stop()
        return kind is Killed

    def _call(self, name: str, real: Any) -> Any:
        def call(path: Any, *rest: Any, **more: Any) -> Any:
            if self.counts(name, path):
                self.strike()
            return real(path, *rest, **more)

        return call

    def _low_open(self, real: Any) -> Any:
        def call(path: Any, flags: int, *rest: Any, **more: Any) -> Any:
            if flags & os.O_CREAT and self.counts("create", path):
                self.strike()
            return real(path, flags, *rest, **more)

        return call

    def _open(self, real: Any) -> Any:
        def call(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
            if not WRITES.search(mode):
                return real(file, mode, *rest, **more)
            if not isinstance(file, int) and self.counts("open", file):
                self.strike()
            return TornFile(self, real(file, mode, *rest, **more), file)

        return call

    def _copyfile(self, real: Any) -> Any:
        def call(source: Any, target: Any, **more: Any) -> Any:
            if self.counts("copyfile", target):
                with io.FileIO(source) as file:
                    self._half(target, file.readall())
                self.strike()
            return real(source, target, **more)

        return call

    def _write_table(self, real: Any) -> Any:
        def call(table: Any, where: Any, **more: Any) -> None:
            if self.counts("write_table", where):
                real(table, whole := io.BytesIO(), **more)
                self._half(where, whole.getvalue())
                self.strike()
            real(table, where, **more)

        return call

    def _serialize(self, real: Any) -> Any:
        def call(tensors: Any, path: Any, *rest: Any, **more: Any) -> None:
            if self.counts("serialize", path):
                real(tensors, path, *rest, **more)
                with io.FileIO(path) as file:
                    whole = file.readall()
                self._half(path, whole)
                self.strike(SafetensorError)
            real(tensors, path, *rest, **more)

        return call

    @staticmethod
    def _half(path: Any, data: bytes) -> None:
        with io.FileIO(path, "w") as file:
            file.write(data[: len(data) // 2])


class TornFile:
    """An open file whose writes are counted, and reach the disk at once."""

    def __init__(self, fault: Fault, file: Any, path: Any) -> None:
        self._fault, self._file, self._path = fault, file, path

    def write(self, data: Any) -> int:
        """Write all, or half and fail."""
        if self._fault.counts("write", self._path):
            self._file.write(data[: len(data) // 2])
            self._file.flush()
            self._fault.strike()
        count: int = self._file.write(data)
        self._file.flush()
        return count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "TornFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)


def faults(kind: str, least: int = 2, step: int = 1) -> Iterator[Fault]:
    """Yield a fault at the first call, at the one a step later and so on, until there is none.

    Whoever asks runs the work in ``with fault:``, and must find that it did at least some calls.
    """
    for number in count(1, step):
        fault = Fault(kind, number)
        yield fault
        if not fault.struck:
            assert number > least, f"only {fault.calls} were seen to write"
            return
