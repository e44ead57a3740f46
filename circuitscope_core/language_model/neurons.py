"""The neurons of an MLP as plain weights, and their activations as a linear read of its input."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuitscope_core.values import one_line

SMALL = 1e-10
"""Inputs below this size are taken for 0 where a function is divided by its input."""
NEAR_ZERO = 1e-4
"""The input at which such a ratio is taken instead."""


@one_line
@dataclass(frozen=True)
class MlpNeurons:
    """One layer's neurons, those of all experts side by side.

    A neuron's activation is ``act(x @ W_in + b_in)``, times ``scale(x @ W_up + b_up)`` where the
    MLP is gated, times its expert's weight where there are experts. It adds its activation times a
    row of ``W_out`` to the MLP's output.
    """

    W_in: Float[Tensor, "d_model n_neurons"]
    b_in: Float[Tensor, " n_neurons"]
    W_out: Float[Tensor, "n_neurons d_model"]
    b_out: Float[Tensor, "n_experts d_model"]
    """Added to the output by each expert; one row where there are none."""
    act: Callable[[Tensor], Tensor]
    W_up: Float[Tensor, "d_model n_neurons"] | None = None
    """None: no gate."""
    b_up: Float[Tensor, " n_neurons"] | None = None
    scale: Callable[[Tensor], Tensor] | None = None
    """None: the up projection scales the activation as it is."""
    route: Callable[[Tensor], Tensor] | None = None
    """Returns how much each expert counts, ``[*batch, n_experts]``, from the MLP's input; None:
    there are none, and all neurons count fully."""

    @property
    def n_neurons(self) -> int:
        """Number of neurons."""
        return len(self.W_out)

    def to(self, dtype: torch.dtype | torch.device) -> "MlpNeurons":
        """Return the same weights in another precision, or on another device."""
        return replace(
            self,
            W_in=self.W_in.to(dtype),
            b_in=self.b_in.to(dtype),
            W_out=self.W_out.to(dtype),
            b_out=self.b_out.to(dtype),
            W_up=None if self.W_up is None else self.W_up.to(dtype),
            b_up=None if self.b_up is None else self.b_up.to(dtype),
        )

    def projections(self, x: Float[Tensor, "*batch d_model"]) -> tuple[Tensor, Tensor | None]:
        """Return what goes into ``act``, and what goes into ``scale`` where there is a gate."""
        into = x @ self.W_in + self.b_in
        return into, None if self.W_up is None or self.b_up is None else x @ self.W_up + self.b_up

    def activations(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch n_neurons"]:
        """Return the activations."""
        into, up = self.projections(x)
        acts = self.act(into)
        acts = acts if up is None else acts * self.scaled(up)
        weights = self.weights(x)
        return acts if weights is None else acts * weights

    def weights(self, x: Float[Tensor, "*batch d_model"]) -> Tensor | None:
        """Return how much each neuron's expert counts, ``[*batch, n_neurons]``; None for fully."""
        if self.route is None:
            return None
        return self.route(x).repeat_interleave(self.n_neurons // len(self.b_out), dim=-1)

    def constant(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """Return what the MLP's output has besides what neurons write."""
        if self.route is None:
            return self.b_out[0].expand_as(x)
        return self.route(x) @ self.b_out

    def scaled(self, up: Tensor) -> Tensor:
        """Return the factor that a gated neuron's second projection stands for."""
        return up if self.scale is None else self.scale(up)

    def at(self, numbers: Int[Tensor, " n"], x: Float[Tensor, "n d_model"]) -> "NeuronReads":
        """Return some neurons' reads, each from its own input."""
        rows = self.W_in[:, numbers].T.to(x.dtype)
        into = (x * rows).sum(dim=1) + self.b_in[numbers].to(x.dtype)
        up, up_rows = None, torch.zeros_like(rows)
        if self.W_up is not None and self.b_up is not None:
            up_rows = self.W_up[:, numbers].T.to(x.dtype)
            up = (x * up_rows).sum(dim=1) + self.b_up[numbers].to(x.dtype)
        shares = self.shares(into, up)
        weights = self.weights(x)
        if weights is not None:
            shares = shares.times(weights.gather(1, numbers[:, None])[:, 0])
        vectors = shares.into[:, None] * rows
        if shares.up is not None:
            vectors = vectors + shares.up[:, None] * up_rows
        acts = shares.activations(into, up)
        return NeuronReads(vectors, acts - (vectors * x).sum(dim=1), acts)

    def shares(self, into: Float[Tensor, "*n"], up: Float[Tensor, "*n"] | None) -> "Shares":
        """Return activations as linear in the two projections, experts' weights aside.

        Without a gate an activation is ``act(h) / h`` times ``h``. With one, the product of the
        two sides is shared between them half and half, each side taken as linear with the other
        constant: the rule of RelP (Jafari et al. 2025, arXiv 2508.21258). Either is exact for the
        pass it is made from.
        """
        slope, at_zero = secant(self.act, into)
        if up is None:
            return Shares(slope, None, at_zero)
        acts, half = slope * into + at_zero, self.scaled(up) / 2
        if self.scale is None:
            return Shares(slope * half, acts / 2, at_zero * half)
        up_slope, up_at_zero = secant(self.scale, up)
        return Shares(slope * half, up_slope * acts / 2, at_zero * half + up_at_zero * acts / 2)


def secant(f: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the slope of the line from ``(0, f(0))`` to ``(x, f(x))``, and ``f(0)``.

    Where ``x`` is 0 the slope is, nearly, that of ``f``.
    """
    zero = f(torch.zeros((), dtype=x.dtype, device=x.device))
    safe = torch.where(x.abs() < SMALL, torch.full_like(x, NEAR_ZERO), x)
    return (f(safe) - zero) / safe, zero.expand_as(x)


@dataclass(frozen=True)
class NeuronReads:
    """Some neurons where they are: ``vectors @ input + biases`` is the activation."""

    vectors: Float[Tensor, "n d_model"]
    biases: Float[Tensor, " n"]
    activations: Float[Tensor, " n"]


@dataclass(frozen=True)
class Shares:
    """Activations as ``into * (x @ W_in + b_in) + up * (x @ W_up + b_up) + constant``."""

    into: Float[Tensor, "*n"]
    up: Float[Tensor, "*n"] | None
    constant: Float[Tensor, "*n"]

    def times(self, factor: Tensor) -> "Shares":
        """Return all parts multiplied by a factor."""
        up = None if self.up is None else self.up * factor
        return Shares(self.into * factor, up, self.constant * factor)

    def activations(self, into: Tensor, up: Tensor | None) -> Float[Tensor, "*n"]:
        """Return the sum of all parts."""
        acts = self.into * into + self.constant
        return acts if self.up is None or up is None else acts + self.up * up


@one_line
@dataclass(frozen=True)
class LinearNeurons:
    """One layer's neurons on one sequence, frozen: linear in the MLP's input at each position."""

    neurons: MlpNeurons
    activations: Float[Tensor, "n_pos n_neurons"]
    shares: Shares

    @classmethod
    def of(cls, neurons: MlpNeurons, x: Float[Tensor, "n_pos d_model"]) -> "LinearNeurons":
        """Freeze a layer's neurons at its MLP's inputs."""
        own = neurons.to(x.dtype)
        into, up = own.projections(x)
        shares = own.shares(into, up)
        weights = own.weights(x)
        if weights is not None:
            shares = shares.times(weights)
        return cls(neurons, shares.activations(into, up), shares)

    def through(
        self,
        change: Float[Tensor, "*batch n_rows d_model"],
        rows: Int[Tensor, " n_rows"] | slice = slice(None),
    ) -> Float[Tensor, "*batch n_rows n_neurons"]:
        """Return changes of activations that changes of the input at some positions make."""
        own = self.neurons.to(change.dtype)
        moved = (change @ own.W_in) * self.shares.into[rows]
        if own.W_up is None or self.shares.up is None:
            return moved
        return moved.addcmul_(change @ own.W_up, self.shares.up[rows])

    def back_past(
        self, gradient: Float[Tensor, "n_seen n d_model"], some: Bool[Tensor, "n_pos n_neurons"]
    ) -> Float[Tensor, "n_seen n d_model"]:
        """Carry gradients at the MLP's output to its input, through some neurons of each position.

        Position by position, so that what is at a position's neurons stays in the processor's
        cache.
        """
        own = self.neurons.to(gradient.dtype)
        found = torch.zeros_like(gradient)
        for position in some.any(dim=1)[: len(gradient)].nonzero()[:, 0].tolist():
            let = some[position]
            at_neurons = gradient[position] @ own.W_out.T
            torch.mm(
                at_neurons * (self.shares.into[position] * let), own.W_in.T, out=found[position]
            )
            if own.W_up is not None and self.shares.up is not None:
                up = self.shares.up[position] * let
                found[position].addmm_(at_neurons.mul_(up), own.W_up.T)
        return found

    def back_to_activations(
        self, gradient: Float[Tensor, "n_seen n d_model"]
    ) -> Float[Tensor, "n_seen n n_neurons"]:
        """Carry gradients at the MLP's output to all neurons' activations."""
        carried: Tensor = gradient @ self.neurons.W_out.to(gradient.dtype).T
        return carried

    def back_to_input(
        self, gradient: Float[Tensor, "n_seen n n_neurons"]
    ) -> Float[Tensor, "n_seen n d_model"]:
        """Carry gradients at activations to the MLP's input."""
        own, n_seen = self.neurons.to(gradient.dtype), len(gradient)
        found: Tensor = (gradient * self.shares.into[:n_seen, None]) @ own.W_in.T
        if own.W_up is None or self.shares.up is None:
            return found
        return found + (gradient * self.shares.up[:n_seen, None]) @ own.W_up.T
