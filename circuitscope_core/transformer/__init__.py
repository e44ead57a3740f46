"""The native pre-LN transformer: a forward pass, its record, and its frozen linear remainder."""

from circuitscope_core.transformer.activations import Activations, MlpSite
from circuitscope_core.transformer.frozen import (
    FrozenTransformer,
    HeadSide,
    Spread,
    back_through_norm,
    place,
)
from circuitscope_core.transformer.model import Transformer, look_at_mlp

__all__ = [
    "Activations",
    "FrozenTransformer",
    "HeadSide",
    "MlpSite",
    "Spread",
    "Transformer",
    "back_through_norm",
    "look_at_mlp",
    "place",
]
