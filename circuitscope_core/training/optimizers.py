"""Optimisers and learning-rate schedules of both trainings."""

from collections.abc import Callable, Iterable, Mapping
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
    """Momentum whose update is orthogonalised; leading axes of a weight are separate matrices.

    Weights of one shape are handled as one batch. ``x @ W`` is the convention here, so that an
    update grows with ``sqrt(cols / rows)`` where a matrix widens its input.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every weight that has a gradient."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[nn.Parameter]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape.setdefault(tuple(weight.shape), []).append(weight)
            for weights in by_shape.values():
                self._update(weights, group["lr"], group["momentum"])
        return loss

    def _update(self, weights: list[nn.Parameter], lr: float, momentum: float) -> None:
        directions = []
        for weight in weights:
            assert weight.grad is not None
            state = self.state[weight]
            if not state:
                state["momentum_buffer"] = torch.zeros_like(weight)
            buffer = state["momentum_buffer"]
            buffer.lerp_(weight.grad, 1 - momentum)
            directions.append(weight.grad.lerp(buffer, momentum))
        updates = orthogonalize(torch.stack(directions))
        rows, cols = weights[0].shape[-2:]
        scale = max(1.0, cols / rows) ** 0.5 if weights[0].ndim == 2 else 1.0
        for weight, update in zip(weights, updates, strict=True):
            weight.add_(update, alpha=-lr * scale)


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
