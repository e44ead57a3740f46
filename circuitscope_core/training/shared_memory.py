"""Numbers of workers on one machine, added up in memory that all of them see.

Through the network, the loopback too, each number is copied several times: 7 MB took 7 ms between
two processes, and take 0.9 ms here.
"""

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.training.workers import GroupWorkers, Workers

MEMORY = Path("/dev/shm")
"""The folder whose files are memory, where Linux has it."""
MARK_BYTES = 64
"""The beginning of the file, by which the others know that it is the one they were told of."""


@dataclass(frozen=True)
class SentNumbers:
    """The numbers of one worker, which are sent to the others to be added up."""

    own: Float[Tensor, " n"]
    workers: Workers

    def add_up(self) -> None:
        """Put the sum of all workers' numbers in the place of the own ones.

        Raises:
            WorkerLost: If one of them is gone.
        """
        self.workers.add_up(self.own)


@dataclass(frozen=True)
class MappedNumbers:
    """The numbers of every worker of a machine, in memory that each of them can read and write."""

    numbers: Float[Tensor, "world n"]
    workers: Workers

    @property
    def own(self) -> Float[Tensor, " n"]:
        """The numbers of the worker itself."""
        return self.numbers[self.workers.rank]

    def add_up(self) -> None:
        """Put the sum of all workers' numbers in the place of the own ones.

        Each worker adds up a part of them and takes the other parts from the others.

        Raises:
            WorkerLost: If one of them is gone.
        """
        rank, world = self.workers.rank, self.workers.world
        parts = [numbers.chunk(world) for numbers in self.numbers.unbind()]
        self._wait()  # until all have written theirs
        if rank < len(parts[rank]):  # there may be fewer numbers than workers
            for other in range(world):
                if other != rank:
                    parts[rank][rank].add_(parts[other][rank])
        self._wait()  # until all parts are summed
        for other in range(len(parts[rank])):
            if other != rank:
                parts[rank][other].copy_(parts[other][other])
        self._wait()  # until all have what they need: the next numbers may be written

    def _wait(self) -> None:
        """Wait until all workers are here."""
        self.workers.add_up(torch.zeros(1, device="cpu"))


SummedNumbers: TypeAlias = SentNumbers | MappedNumbers


def summed_numbers(workers: Workers, n: int, device: torch.device) -> SummedNumbers:
    """Return zeros that workers can add up: in common memory, where they share a machine's.

    All of them call this at the same time.

    Args:
        workers: Those who add up.
        n: Numbers of each worker.
        device: Where they are.

    Raises:
        WorkerLost: If one of the workers is gone.
    """
    # those who are no process group are threads, and one alone has nothing to add
    if isinstance(workers, GroupWorkers) and workers.world > 1 and device.type == "cpu":
        size = MARK_BYTES + 4 * workers.world * n
        with _new_file(workers, size) as (path, mark):
            found = _map(path, mark, size)
            agreed = torch.tensor([float(found is not None)], device="cpu")
            workers.add_up(agreed)  # the file needs no name any more once all have seen it
        if found is not None and int(agreed) == workers.world:
            return MappedNumbers(found[MARK_BYTES // 4 :].view(workers.world, n), workers)
    return SentNumbers(torch.zeros(n, device=device), workers)


@contextmanager
def _new_file(workers: Workers, size: int) -> Iterator[tuple[Path | None, bytes]]:
    """Give all workers the path and the mark of a new file; its name is gone in the end.

    The path is None where there is no room for it, or no such folder.
    """
    path, mark = None, secrets.token_hex(MARK_BYTES // 2).encode()
    try:
        if workers.rank == 0:
            path = _reserved(size, mark)
        told = workers.broadcast(b"" if path is None else mark + os.fsencode(path))
        name = told[MARK_BYTES:]
        yield (Path(os.fsdecode(name)) if name else None), told[:MARK_BYTES]
    finally:
        if path is not None:
            path.unlink(missing_ok=True)


def _reserved(size: int, mark: bytes) -> Path | None:
    """Return a new file of zeros behind a mark whose memory is there; None if there is too little.

    Without the reservation, a process would be killed as it writes where memory has run out.
    """
    if not MEMORY.is_dir() or not hasattr(os, "posix_fallocate"):
        return None
    try:
        handle, name = tempfile.mkstemp(prefix="circuitscope-", dir=MEMORY)
    except OSError:
        return None
    with os.fdopen(handle, "r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError:
            Path(name).unlink()
            return None
        file.write(mark)
    return Path(name)


def _map(path: Path | None, mark: bytes, size: int) -> Float[Tensor, " n"] | None:
    """Return a file's content as numbers; None where it is not there, as on another machine."""
    try:
        if path is None or path.stat().st_size != size:
            return None
        with path.open("rb") as file:
            if file.read(MARK_BYTES) != mark:
                return None
        return torch.from_file(str(path), shared=True, size=size // 4)
    except (OSError, RuntimeError):
        return None
