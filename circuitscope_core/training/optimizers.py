"""Optimisers and learning-rate schedules of both trainings."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from circuitscope_core.cores import map_on_cores
from circuitscope_core.training.active_entries import gradient_of
from circuitscope_core.training.shared_memory import SummedNumbers, summed_numbers
from circuitscope_core.training.workers import ALONE, Workers
from circuitscope_core.transcoder import CrossLayerTranscoder

MUON_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Quintic Newton-Schulz step that pushes singular values towards 1."""


def orthogonalize(matrices: Tensor, n_steps: int = 5) -> Tensor:
    """Bring the singular values of wide matrices ``[n, rows, cols]``, rows <= cols, close to 1.

    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024).
    """
    a, b, c = MUON_COEFFICIENTS
    x: Tensor = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(n_steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def _widened(matrix: Tensor) -> Tensor:
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.mT


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised, a matrix at a time.

    A weight with an axis for heads, ``[n_heads, rows, cols]``, is one matrix that reads from the
    stream, its heads side by side; or one that writes to it, its heads one below the other, in a
    parameter group with ``writes=True``. Matrices of one size are handled as one batch. ``x @ W``
    is the convention here, so that an update grows with ``sqrt(cols / rows)`` where a matrix widens
    its input. Weight decay is decoupled: each step takes ``lr * weight_decay`` of the weight away.
    Workers, whose gradients are the same, share the matrices among them; so do ``n_parts`` cores.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        workers: Workers = ALONE,
        n_parts: int = 1,
    ) -> None:
        self.workers, self.n_parts = workers, n_parts
        self._updates: SummedNumbers | None = None
        settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "writes": False}
        super().__init__(params, settings)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every weight that has a gradient."""
        loss = None if closure is None else closure()
        by_shape: dict[tuple[int, ...], list[tuple[nn.Parameter, Tensor, dict[str, Any]]]] = {}
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    direction = self._as_matrix(self._direction(weight, group), group)
                    shape = tuple(sorted(direction.shape))
                    by_shape.setdefault(shape, []).append((weight, direction, group))
        stacks = [
            torch.stack([_widened(direction) for _, direction, _ in items])
            for items in by_shape.values()
        ]
        for items, updates in zip(by_shape.values(), self._orthogonalized(stacks), strict=True):
            for (weight, direction, group), update in zip(items, updates, strict=True):
                rows, cols = direction.shape
                turned = update if rows <= cols else update.mT
                change = self._as_weight(turned, weight, group)
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(change, alpha=-group["lr"] * max(1.0, cols / rows) ** 0.5)
        return loss

    def _orthogonalized(self, stacks: Sequence[Tensor]) -> Sequence[Tensor]:
        """Orthogonalise every matrix of every stack; each worker does its share."""
        rank, world, n = self.workers.rank, self.workers.world, self.n_parts
        if world == 1 and n == 1:
            return [orthogonalize(stack) for stack in stacks]
        sizes = [stack.numel() for stack in stacks]
        if self._updates is None:
            self._updates = summed_numbers(self.workers, sum(sizes), stacks[0].device)
        flat = self._updates.own.zero_()
        parts = flat.split(sizes)
        updates = [part.view_as(stack) for part, stack in zip(parts, stacks, strict=True)]

        def orthogonalize_part(number: int) -> None:
            own = slice(rank + world * number, None, world * n)
            for update, stack in zip(updates, stacks, strict=True):
                update[own] = orthogonalize(stack[own])

        list(map_on_cores(orthogonalize_part, range(n), n))
        self._updates.add_up()
        return updates

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


def clip_gradients(transcoder: CrossLayerTranscoder, most: float, *, each_layer: bool) -> None:
    """Scale gradients down whose norm is above a bound: that of all weights, or of each layer's."""
    if not each_layer:
        torch.nn.utils.clip_grad_norm_(transcoder.parameters(), most)
        return
    shared = [transcoder.W_enc, transcoder.b_enc, transcoder.b_dec, transcoder.log_threshold]
    shared += [transcoder.W_skip] if transcoder.config.skip_connection else []
    for layer, decoders in enumerate(transcoder.W_dec):
        gradients = [gradient_of(weight)[layer] for weight in shared] + [gradient_of(decoders)]
        norms = torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients])
        factor = (most / (torch.linalg.vector_norm(norms) + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(factor)


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
            held = value if isinstance(value, Tensor) else torch.as_tensor(value, device="cpu")
            tensors[f"{prefix}.{number}.{name}"] = held.detach()
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
