"""The gradients of several weights as parts of one run of numbers, which workers add up."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from circuitscope_core.training.shared_memory import SummedNumbers, summed_numbers
from circuitscope_core.training.workers import ALONE, Workers


@dataclass(frozen=True)
class SharedGradients:
    """The gradients of several weights, and a few numbers that are added up with them."""

    numbers: SummedNumbers
    """The gradients one after the other, and at the end whatever else is to be added up."""
    views: tuple[tuple[nn.Parameter, Tensor], ...] = field(repr=False)
    n_extra: int

    @property
    def flat(self) -> Tensor:
        """All gradients, one after the other."""
        return self.numbers.own[: len(self.numbers.own) - self.n_extra]

    @classmethod
    def of(
        cls, weights: Iterable[nn.Parameter], n_extra: int = 0, workers: Workers = ALONE
    ) -> "SharedGradients":
        """Take memory for the gradients of weights, which are all 0.

        Args:
            weights: All on one device.
            n_extra: How many numbers are added up besides.
            workers: Those who add up, and all call this at the same time.
        """
        kept = tuple(weights)
        sizes = [weight.numel() for weight in kept]
        numbers = summed_numbers(workers, sum(sizes) + n_extra, kept[0].device)
        parts = numbers.own[: sum(sizes)].split(sizes)
        views = tuple(
            (weight, part.view_as(weight)) for weight, part in zip(kept, parts, strict=True)
        )
        for weight, view in views:
            weight.grad = view
        return cls(numbers, views, n_extra)

    def add_up(self, extra: Tensor, more: Tensor | None = None) -> tuple[Tensor, ...]:
        """Sum gradients and what comes with them over all workers.

        Returns the sums of the single numbers ``extra``, and that of ``more`` as one tensor.
        """
        single = extra.reshape(-1)
        beside = self.numbers.own[-self.n_extra :]
        beside.copy_(single if more is None else torch.cat([single, more]))
        self.numbers.add_up()
        sums = beside.clone()
        first = sums[: len(single)].unbind()
        return first if more is None else (*first, sums[len(single) :])
