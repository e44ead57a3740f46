"""Norm modules of any family, recognised by what they do to two vectors and not by their names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from circuitscope_core.errors import ModelError
from circuitscope_core.language_model import GatedNorm, NormMap, secant

PROBE_TOLERANCE = {torch.float16: 2e-2, torch.bfloat16: 2e-2}
"""Largest relative difference from the module's answer; 1e-4 for other precisions."""


@dataclass(frozen=True)
class NormWeights:
    """A LayerNorm or RMSNorm as numbers."""

    gain: Float[Tensor, " d_model"]
    bias: Float[Tensor, " d_model"] | None
    centred: bool
    """True for LayerNorm, which takes the mean away; False for RMSNorm."""
    eps: float

    def measure(self, x: Float[Tensor, "*batch d_model"]) -> NormMap:
        """Return the norm with the denominators that it has on ``x``."""
        centred = x - x.mean(dim=-1, keepdim=True) if self.centred else x
        scale = (centred.square().mean(dim=-1, keepdim=True) + self.eps).sqrt()
        return self.with_scale(scale)

    def with_scale(self, scale: Float[Tensor, "*batch 1"]) -> NormMap:
        """Return the norm with denominators that are given."""
        return NormMap(self.gain, self.bias, self.centred, scale)

    def on(self, device: torch.device) -> "NormWeights":
        """Return the same on a device."""
        bias = None if self.bias is None else self.bias.to(device)
        return NormWeights(self.gain.to(device), bias, self.centred, self.eps)

    def unit(self) -> NormMap:
        """Return the norm with its denominator taken as 1."""
        return self.with_scale(self.gain.new_ones(1, 1))


@dataclass(frozen=True)
class GatedNormWeights:
    """A linear layer, an activation function that is 0 at 0, and a norm, as numbers."""

    W: Float[Tensor, "d_model d_hidden"]
    b: Float[Tensor, " d_hidden"]
    act: Callable[[Tensor], Tensor]
    norm: NormWeights

    def measure(self, x: Float[Tensor, "*batch d_model"]) -> GatedNorm:
        """Return the map with the gates and denominators that it has on ``x``."""
        hidden = x @ self.W + self.b
        gates, _ = secant(self.act, hidden)
        return GatedNorm(self.W, self.b, gates, self.norm.measure(hidden * gates))

    def unit(self) -> GatedNorm:
        """Return the map with its gates and denominator taken as 1."""
        return GatedNorm(self.W, self.b, self.b.new_ones(1, len(self.b)), self.norm.unit())


FinalWeights: TypeAlias = NormWeights | GatedNormWeights
"""All between the last stream and the unembedding, as numbers."""


def read_norm(module: nn.Module, d_model: int, dtype: torch.dtype) -> NormWeights:
    """Return what a norm module computes.

    LayerNorm and RMSNorm, and a gain of ``w`` and of ``1 + w`` (Gemma), are told apart by a vector
    with a large mean, and confirmed by another.

    Args:
        module: Any norm module over vectors of ``d_model``.
        d_model: Width of the stream.
        dtype: Precision of the result.

    Raises:
        ModelError: If it is neither a LayerNorm nor an RMSNorm.
    """
    weight, bias = (getattr(module, name, None) for name in ("weight", "bias"))
    like = next(module.parameters(), torch.zeros(0, device="cpu"))
    ramp = torch.linspace(-1, 2, d_model, device=like.device, dtype=like.dtype)
    probes = torch.stack([ramp.cos() + 0.3, (3 * ramp).sin() * 2 - 0.5])
    with torch.no_grad():
        wanted = module(probes[None])[0].to(dtype)
    eps = next(
        (float(getattr(module, n)) for n in ("variance_epsilon", "eps") if hasattr(module, n)), 0.0
    )
    own = wanted.new_ones(d_model) if weight is None else weight.detach().to(dtype)
    own_bias = None if bias is None else bias.detach().to(dtype)
    close = PROBE_TOLERANCE.get(like.dtype, 1e-4)
    for centred in (True, False):
        for gain in (own, 1 + own):
            norm = NormWeights(gain, own_bias, centred, eps)
            given = norm.measure(probes.to(dtype)).apply(probes.to(dtype))
            if torch.allclose(given, wanted, rtol=close, atol=close * float(wanted.abs().max())):
                return norm
    raise ModelError(
        f"{type(module).__name__} is neither a LayerNorm nor an RMSNorm: it answers two test "
        "vectors in another way."
    )
