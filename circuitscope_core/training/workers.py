"""Several processes that train one model: what they must tell each other, and no more.

Every step's batch is a function of seed and step, whoever computes it. A worker takes its share of
it; the gradients of all are added up; each then changes its own copy of the weights in the same
way. So any number of workers trains the same model, up to the rounding of a sum.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from circuitscope_core.errors import TrainingError


class WorkerLost(TrainingError):
    """Another worker ended in mid-training. Not the training's fault: it can go on."""


@runtime_checkable
class Workers(Protocol):
    """One worker, seen from itself."""

    @property
    def rank(self) -> int:
        """Its number. Number 0 reads the text, writes checkpoints and tells what happens."""

    @property
    def world(self) -> int:
        """How many there are."""

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


@dataclass(frozen=True)
class SharedGradients:
    """The gradients of several weights as parts of one run of numbers, added up in one go."""

    flat: Tensor
    """The gradients one after the other, and at the end whatever else is to be added up."""
    views: tuple[tuple[nn.Parameter, Tensor], ...] = field(repr=False)
    n_extra: int

    @property
    def n_gradients(self) -> int:
        """How many of the numbers are gradients: the first ones."""
        return len(self.flat) - self.n_extra

    @classmethod
    def of(cls, weights: Iterable[nn.Parameter], n_extra: int) -> "SharedGradients":
        """Take memory for the gradients of ``weights`` and ``n_extra`` numbers besides."""
        kept = tuple(weights)
        sizes = [weight.numel() for weight in kept]
        flat = torch.zeros(sum(sizes) + n_extra, device=kept[0].device)
        parts = flat[: sum(sizes)].split(sizes)
        views = tuple(
            (weight, part.view_as(weight)) for weight, part in zip(kept, parts, strict=True)
        )
        return cls(flat, views, n_extra)

    def attach(self) -> None:
        """Make the parts the weights' gradients, all 0."""
        self.flat.zero_()
        for weight, view in self.views:
            weight.grad = view

    def add_up(
        self, workers: Workers, extra: Tensor, more: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Sum gradients and what comes with them over all workers.

        Returns the sums of the single numbers ``extra``, and that of ``more`` as one tensor.
        """
        single = extra.reshape(-1)
        self.flat[-self.n_extra :] = single if more is None else torch.cat([single, more])
        workers.add_up(self.flat)
        sums = self.flat[-self.n_extra :].clone()
        first = sums[: len(single)].unbind()
        return first if more is None else (*first, sums[len(single) :])
