"""The neurons of each kind of MLP module, as plain weights."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from circuitscope_core.errors import ModelError
from circuitscope_core.language_model import MlpNeurons
from circuitscope_core.pretrained.modules import matrix, part

ACTIVATIONS = ("act_fn", "act", "activation", "activation_fn")
"""Names that families give an MLP's activation function."""


def plain(into: str, out: str) -> Callable[[nn.Module], MlpNeurons]:
    """Return what reads an MLP of two linear layers with these names."""

    def read(mlp: nn.Module) -> MlpNeurons:
        W_out, b_out = matrix(part(mlp, out))
        return MlpNeurons(*matrix(part(mlp, into)), W_out, b_out[None], activation_of(mlp))

    return read


def gated(mlp: nn.Module) -> MlpNeurons:
    """Read a gated MLP as Llama has it."""
    W_in, b_in = matrix(part(mlp, "gate_proj"))
    W_up, b_up = matrix(part(mlp, "up_proj"))
    W_out, b_out = matrix(part(mlp, "down_proj"))
    return MlpNeurons(W_in, b_in, W_out, b_out[None], activation_of(mlp), W_up, b_up)


def activation_of(mlp: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return an MLP's activation function.

    Raises:
        ModelError: If it has none under a name that is known.
    """
    found = next((getattr(mlp, name) for name in ACTIVATIONS if hasattr(mlp, name)), None)
    if found is None:
        raise ModelError(f"A {type(mlp).__name__} has no activation function that is known.")
    function: Callable[[Tensor], Tensor] = found
    return function


def experts(mlp: nn.Module) -> MlpNeurons:
    """Read a mixture of gated experts as Mixtral has it; a neuron's number counts on over them."""
    own: Any = part(mlp, "experts")
    W_in, W_up = own.gate_up_proj.detach().unflatten(1, (2, -1)).unbind(dim=1)
    bias = W_in.new_zeros(W_in.shape[0] * W_in.shape[1])
    return MlpNeurons(
        W_in.flatten(0, 1).T,
        bias,
        own.down_proj.detach().mT.flatten(0, 1),
        W_in.new_zeros(len(W_in), W_in.shape[2]),
        own.act_fn,
        W_up.flatten(0, 1).T,
        bias,
        route=_routing(part(mlp, "gate"), len(W_in)),
    )


def clamped_experts(mlp: nn.Module) -> MlpNeurons:
    """Read a mixture of experts as GPT-OSS has it: both projections are clamped, the second + 1."""
    own: Any = part(mlp, "experts")
    alpha, limit = own.alpha, own.limit
    W_in, W_up = own.gate_up_proj.detach().unflatten(2, (-1, 2)).unbind(dim=3)
    b_in, b_up = own.gate_up_proj_bias.detach().unflatten(1, (-1, 2)).unbind(dim=2)

    def act(gate: Tensor) -> Tensor:
        gate = gate.clamp(max=limit)
        return gate * torch.sigmoid(gate * alpha)

    def scale(up: Tensor) -> Tensor:
        return up.clamp(-limit, limit) + 1

    return MlpNeurons(
        W_in.transpose(0, 1).flatten(1),
        b_in.flatten(),
        own.down_proj.detach().flatten(0, 1),
        own.down_proj_bias.detach(),
        act,
        W_up.transpose(0, 1).flatten(1),
        b_up.flatten(),
        scale,
        _routing(part(mlp, "router"), len(b_in)),
    )


def _routing(router: nn.Module, n_experts: int) -> Callable[[Tensor], Tensor]:
    """Return what says how much each expert counts."""
    weight = next(router.parameters())

    def route(x: Tensor) -> Tensor:
        _, scores, chosen = router(x.to(weight).reshape(-1, x.shape[-1]))
        counts: Tensor = scores.new_zeros(len(scores), n_experts).scatter_(1, chosen, scores)
        return counts.to(x).reshape(*x.shape[:-1], n_experts)

    return route
