"""Optimisers and learning-rate schedules of both trainings."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

MUON_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Quintic Newton-Schulz step that pushes singular values towards 1."""


def orthogonalize(matrices: Tensor, n_steps: int = 5) -> Tensor:
    """Bring the singular values of each matrix ``[..., rows, cols]`` close to 1.

    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024).
    """
    a, b, c = MUON_COEFFICIENTS
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x = matrices if wide else matrices.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(n_steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = x if wide else x.mT
    return result


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised, a matrix at a time.

    A weight with an axis for heads, ``[n_heads, rows, cols]``, is one matrix that reads from the
    stream, its heads side by side; or one that writes to it, its heads one below the other, in a
    parameter group with ``writes=True``. Matrices of one shape are handled as one batch. ``x @ W``
    is the convention here, so that an update grows with ``sqrt(cols / rows)`` where a matrix widens
    its input.
    """

    def __init__(self, params: Any, lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "writes": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every weight that has a gradient."""
        loss = None if closure is None else closure()
        by_shape: dict[tuple[int, ...], list[tuple[nn.Parameter, Tensor, dict[str, Any]]]] = {}
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    direction = self._as_matrix(self._direction(weight, group), group)
                    shape = tuple(direction.shape)
                    by_shape.setdefault(shape, []).append((weight, direction, group))
        for (rows, cols), items in by_shape.items():
            updates = orthogonalize(torch.stack([direction for _, direction, _ in items]))
            scale = max(1.0, cols / rows) ** 0.5
            for (weight, _, group), update in zip(items, updates, strict=True):
                change = self._as_weight(update, weight, group)
                weight.add_(change, alpha=-group["lr"] * scale)
        return loss

    def _direction(self, weight: nn.Parameter, group: dict[str, Any]) -> Tensor:
        """Return the gradient with Nesterov momentum."""
        state = self.state[weight]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        buffer: Tensor = state["momentum_buffer"]
        assert weight.grad is not None
        buffer.lerp_(weight.grad, 1 - group["momentum"])
        return weight.grad.lerp(buffer, group["momentum"])

    def _as_matrix(self, value: Tensor, group: dict[str, Any]) -> Tensor:
        if value.ndim == 2:
            return value
        if group["writes"]:
            return value.flatten(0, 1)
        return value.transpose(0, 1).flatten(1)

    def _as_weight(self, matrix: Tensor, weight: Tensor, group: dict[str, Any]) -> Tensor:
        if weight.ndim == 2 or group["writes"]:
            return matrix.view(weight.shape)
        n_heads, rows, cols = weight.shape
        return matrix.view(rows, n_heads, cols).transpose(0, 1)


def constant_then_decay(step: int, n_steps: int, decay_fraction: float) -> float:
    """Return the factor of the learning rate: 1, then linear to 0 over the last steps."""
    decay_steps = max(1.0, decay_fraction * n_steps)
    return min(1.0, (n_steps - step) / decay_steps)


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set each group's rate to ``factor`` times the rate that it began with."""
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
        group["lr"] = factor * group["initial_lr"]


def optimizer_tensors(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """Return the optimiser's state as named tensors, in the order of its parameters."""
    tensors: dict[str, Tensor] = {}
    for number, weight in enumerate(_parameters(optimizer)):
        for name, value in optimizer.state.get(weight, {}).items():
            tensors[f"{prefix}.{number}.{name}"] = torch.as_tensor(value).detach()
    return tensors


def load_optimizer_tensors(
    optimizer: torch.optim.Optimizer, prefix: str, tensors: Mapping[str, Tensor]
) -> None:
    """Put back what ``optimizer_tensors`` returned."""
    weights = _parameters(optimizer)
    for key, value in tensors.items():
        if not key.startswith(f"{prefix}."):
            continue
        number, name = key.removeprefix(f"{prefix}.").split(".", 1)
        optimizer.state[weights[int(number)]][name] = value.clone()


def _parameters(optimizer: torch.optim.Optimizer) -> list[Any]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]
