"""Several processes that train one model: what they must tell each other, and no more.

Every step's batch is a function of seed and step, whoever computes it. A worker takes its share of
it; the gradients of all are added up; each then changes its own copy of the weights in the same
way. So any number of workers trains the same model, up to the rounding of a sum.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from circuitscope_core.errors import TrainingError


class WorkerLost(TrainingError):
    """Another worker ended in mid-training. Not the training's fault: it can go on."""


@runtime_checkable
class Workers(Protocol):
    """One worker, seen from itself."""

    @property
    def rank(self) -> int:
        """The worker's number. Number 0 reads the text, writes checkpoints and reports events."""

    @property
    def world(self) -> int:
        """The number of workers."""

    def add_up(self, values: Tensor) -> None:
        """Put the sum of all workers' values in their place.

        Raises:
            WorkerLost: If one of them is gone.
        """

    def broadcast(self, data: bytes) -> bytes:
        """Return what number 0 was given; what the others were given is not looked at.

        Raises:
            WorkerLost: If one of them is gone.
        """


@dataclass(frozen=True)
class Alone:
    """The only worker: it has nobody to talk to."""

    rank: int = 0
    world: int = 1

    def add_up(self, values: Tensor) -> None:
        """Leave the values as they are."""

    def broadcast(self, data: bytes) -> bytes:
        """Return the data."""
        return data


ALONE = Alone()


@dataclass(frozen=True)
class GroupWorkers:
    """One of a process group that ``torch.distributed`` was told of before."""

    rank: int
    world: int

    def add_up(self, values: Tensor) -> None:
        """Put the sum of all workers' values in their place."""
        try:
            torch.distributed.all_reduce(values)
        except RuntimeError as error:
            raise WorkerLost(f"Worker {self.rank} lost another one: {error}") from error

    def broadcast(self, data: bytes) -> bytes:
        """Return what number 0 was given."""
        first = self.rank == 0
        length = torch.tensor([len(data) if first else 0])
        try:
            torch.distributed.broadcast(length, src=0)
            content = torch.empty(int(length), dtype=torch.uint8)
            if first and data:
                content.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
            torch.distributed.broadcast(content, src=0)
        except RuntimeError as error:
            raise WorkerLost(f"Worker {self.rank} lost another one: {error}") from error
        return data if first else content.numpy().tobytes()
