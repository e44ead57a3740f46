"""The shares of a training step, which the processor's cores compute side by side."""

import copy
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from circuitscope_core.cores import map_on_cores, n_cores, some_cores
from circuitscope_core.training.shared_gradients import SharedGradients

Module = TypeVar("Module", bound=nn.Module)
Result = TypeVar("Result")

LEAST_TOKENS = 256
"""Tokens of a share, at least: gradients are as large for a few tokens as for many."""


def n_shares(n_tokens: int, device: torch.device) -> int:
    """Return into how many shares a step is divided: the same for steps of the same size.

    Args:
        n_tokens: Tokens of the step, or of a worker's part of it.
        device: The device of the model that is trained; one besides the processor has one share.
    """
    cores = n_cores() if device.type == "cpu" else 1
    return max(1, min(cores, n_tokens // LEAST_TOKENS))


def sharing_weights(module: Module) -> Module:
    """Return a copy of a module with the same weights in memory and gradients of its own.

    Examples:
        >>> import torch
        >>> module = torch.nn.Linear(2, 3)
        >>> copied = sharing_weights(module)
        >>> copied.weight.data_ptr() == module.weight.data_ptr(), copied.weight is module.weight
        (True, False)
    """
    known: dict[int, object] = {id(buffer): buffer for buffer in module.buffers()}
    for weight in module.parameters():
        known[id(weight)] = nn.Parameter(weight.detach(), requires_grad=weight.requires_grad)
    return copy.deepcopy(module, known)


class CoreShares(Generic[Module]):
    """A module, and copies that share its weights: each core has gradients of its own.

    Two threads that share every small product of a step wait for each other at each of them, and
    much longer where another process has one of the cores. Shares wait once, at their end.

    Args:
        module: The module that is trained.
        gradients: Memory for its gradients, to which those of the copies are added.
        n: How many shares there are.
    """

    def __init__(self, module: Module, gradients: SharedGradients, n: int) -> None:
        self.n, self._cores = n, n_cores()
        copies = [sharing_weights(module) for _ in range(n - 1)]
        self._modules = [module, *copies]
        own = [SharedGradients.of(copied.parameters()) for copied in copies]
        self._gradients = [gradients, *own]

    def differentiate(self, work: Callable[[Module, int], Result]) -> list[Result]:
        """Let each core differentiate a share, and add all gradients up in the first module's.

        Args:
            work: Is given a module and the number of a share, and sets the module's gradients in
                the memory where they are.

        Returns:
            The results of ``work`` in the order of the shares.
        """
        if self.n == 1:
            with some_cores(self._cores):
                return [work(self._modules[0], 0)]
        shares = list(zip(self._modules, range(self.n), strict=True))
        each = self._cores // self.n
        results = list(map_on_cores(lambda share: work(*share), shares, self.n, each))
        add_up([gradients.flat for gradients in self._gradients])
        return results


def add_up(gradients: Sequence[Tensor]) -> None:
    """Add flat tensors to the first of them, each core a run of their numbers."""

    def add(run: Sequence[Tensor]) -> None:
        for other in run[1:]:
            run[0].add_(other)

    n = len(gradients)
    runs = list(zip(*(each.chunk(n) for each in gradients), strict=True))
    list(map_on_cores(add, runs, n))
