"""How far one distribution over tokens is from another."""

import math

from jaxtyping import Float
from torch import Tensor

from circuitscope_core.devices import in_double


def kl_bits(
    before: Float[Tensor, "*n d_vocab"], after: Float[Tensor, "*m d_vocab"]
) -> Float[Tensor, " *m"]:
    """Return ``KL(before || after)`` of the distributions that logits stand for, in bits."""
    old, new = (in_double(logits).log_softmax(dim=-1) for logits in (before, after))
    nats: Tensor = (old.exp() * (old - new)).sum(dim=-1).clamp(min=0)
    return nats / math.log(2)
