"""From a prompt to its attribution graph."""

from circuitscope_core.attribution.attribute import (
    AttributionPlan,
    AttributionProgress,
    attribute,
    attribution_steps,
)
from circuitscope_core.attribution.context import AttributionContext, FrozenModel, make_context
from circuitscope_core.attribution.edges import EdgeExplanation, EdgePath, explain_edge
from circuitscope_core.attribution.heads import (
    AttentionExplanation,
    AttentionPair,
    explain_attention,
)
from circuitscope_core.attribution.targets import (
    Direction,
    FeatureTarget,
    Target,
    TokenDifference,
    find_token,
)

__all__ = [
    "AttentionExplanation",
    "AttentionPair",
    "AttributionContext",
    "AttributionPlan",
    "AttributionProgress",
    "Direction",
    "EdgeExplanation",
    "EdgePath",
    "FeatureTarget",
    "FrozenModel",
    "Target",
    "TokenDifference",
    "attribute",
    "attribution_steps",
    "explain_attention",
    "explain_edge",
    "find_token",
    "make_context",
]
