"""From a prompt to its attribution graph."""

from circuitscope_core.attribution.attribute import attribute, attribution_steps
from circuitscope_core.attribution.context import AttributionContext, FrozenModel, make_context
from circuitscope_core.attribution.targets import Target, TokenDifference

__all__ = [
    "AttributionContext",
    "FrozenModel",
    "Target",
    "TokenDifference",
    "attribute",
    "attribution_steps",
    "make_context",
]
