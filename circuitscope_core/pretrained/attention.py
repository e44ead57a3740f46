"""The queries and keys that a family's own attention makes.

A registered attention function sees them behind all that families do to them: rotary positions,
norms over a head's queries. It answers with the family's own attention, so that soft caps, sinks
and windows stay theirs.
"""

import contextlib
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from circuitscope_core.pretrained.norms import NormWeights, read_norm

NAME = "circuitscope"
HEAD_NORMS = ("q_norm", "k_norm", "q_layernorm", "k_layernorm")
"""Names of norms over queries and keys in attention modules."""
_seen = threading.local()


@dataclass
class Seen:
    """The arguments of one call of an attention function."""

    query: Tensor | None = None
    """``[1, n_heads, n_pos, d_head]``"""
    key: Tensor | None = None
    """``[1, n_kv_heads, n_pos, d_head]``"""
    settings: dict[str, Any] = field(default_factory=dict)


def use_own_attention(module: Any, attention: nn.Module) -> bool:
    """Have a model call the registered function; False for a family that calls its own directly.

    Args:
        module: The model.
        attention: The attention of any of its layers.
    """
    from transformers import AttentionInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface

    if not hasattr(sys.modules[type(attention).__module__], "eager_attention_forward"):
        module.set_attn_implementation("eager")
        return False
    AttentionInterface.register(NAME, _attend)
    # without a mask function of this name there would be no mask, and no word of it
    AttentionMaskInterface.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["eager"])
    module.set_attn_implementation(NAME)
    return True


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **more: Any
) -> Any:
    now: Seen | None = getattr(_seen, "now", None)
    if now is not None:
        now.query, now.key, now.settings = query, key, more
    own = sys.modules[type(module).__module__]
    return own.eager_attention_forward(module, query, key, value, mask, **more)


@contextlib.contextmanager
def seeing() -> Iterator[Seen]:
    """Keep what this thread's next attention is called with."""
    before = getattr(_seen, "now", None)
    _seen.now = Seen()
    try:
        yield _seen.now
    finally:
        _seen.now = before


class HeadNorm:
    """A norm over queries or keys, whose denominators are constants while these are looked at."""

    def __init__(self, module: nn.Module, norm: NormWeights) -> None:
        self._own, self._norm = module.forward, norm
        module.forward = self._forward

    def _forward(self, x: Tensor) -> Tensor:
        if getattr(_seen, "now", None) is None:
            out: Tensor = self._own(x)
            return out
        wide = x.to(self._norm.gain.dtype)
        return self._norm.measure(wide.detach()).apply(wide).to(x.dtype)


def watch_head_norms(attention: nn.Module, dtype: torch.dtype) -> None:
    """Let the norms over queries and keys of an attention be looked through, in a precision."""
    for name in HEAD_NORMS:
        norm = getattr(attention, name, None)
        weight = getattr(norm, "weight", None)
        if isinstance(norm, nn.Module) and weight is not None:
            HeadNorm(norm, read_norm(norm, len(weight), dtype))


def jacobian(values: Tensor, inputs: Tensor) -> Tensor:
    """Return the derivative ``[n, d]`` of ``values`` ``[n]`` by ``inputs`` ``[d]``."""
    rows = [torch.autograd.grad(value, inputs, retain_graph=True)[0] for value in values.unbind()]
    return torch.stack(rows)
