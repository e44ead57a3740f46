"""The device and precision of tensors, and the amount that is computed at once."""

from dataclasses import dataclass

import torch
from torch import Tensor

from circuitscope_core.devices import free_bytes

MIN_ROWS_AT_ONCE = 48
"""Fewer rows than this are not worth a pass back through the model."""

NUMBERS_AT_ONCE = 2**20
"""Numbers in the gradients of the rows that go back together: bounds memory, fits the cache."""


NUMBERS_ON_A_CARD = 2**26
"""The same on other devices, which need large products to be busy. Where their memory does not hold
as many, batches are halved."""


@dataclass(frozen=True)
class Compute:
    """The device and precision of one computation, and its sizes; passed down, never global."""

    device: torch.device
    dtype: torch.dtype

    @classmethod
    def of(cls, tensor: Tensor) -> "Compute":
        """Return the device and precision of a tensor, for example of a model's weights."""
        return cls(tensor.device, tensor.dtype)

    def rows_at_once(self, n_pos: int, d_model: int) -> int:
        """Return how many rows of a graph are computed in one pass back through the model.

        Args:
            n_pos: Positions that their gradients are at.
            d_model: Width of the stream.
        """
        numbers = NUMBERS_AT_ONCE if self.device.type == "cpu" else NUMBERS_ON_A_CARD
        return max(MIN_ROWS_AT_ONCE, numbers // (n_pos * d_model))

    def free_bytes(self) -> int:
        """Return the memory that is free where a graph is stored: that of the host."""
        return free_bytes()

    def device_free_bytes(self) -> int:
        """Return the memory that is free where the model runs: a card's own, or the host's."""
        return free_bytes(self.device)

    def take(self, value: Tensor) -> Tensor:
        """Return a tensor on the device and in the precision; the same where it is so already."""
        return value.to(self.device, self.dtype)

    def zeros(self, *shape: int) -> Tensor:
        """Return zeros on the device."""
        return torch.zeros(shape, device=self.device, dtype=self.dtype)

    def index(self, *values: int) -> Tensor:
        """Return whole numbers on the device."""
        return torch.tensor(values, device=self.device)

    def range(self, n: int) -> Tensor:
        """Return the numbers below ``n`` on the device."""
        return torch.arange(n, device=self.device)
