"""Builds the attribution graph of a prompt."""

from circuitscope_core.attribution.attribute import (
    AttributionProgress,
    attribute,
    attribution_steps,
)
from circuitscope_core.attribution.edges import EdgeExplanation, EdgePath, explain_edge, pass_of
from circuitscope_core.attribution.heads import (
    AttentionExplanation,
    AttentionPair,
    explain_attention,
)
from circuitscope_core.attribution.links import (
    HeadExplanation,
    LinkExplanation,
    LinkPath,
    PairRow,
    explain_head,
    explain_link,
)
from circuitscope_core.attribution.plan import AttributionPlan
from circuitscope_core.attribution.skip_path import skip_shares
from circuitscope_core.attribution.targets import (
    Direction,
    FeatureTarget,
    Target,
    TokenAt,
    TokenDifference,
    find_token,
)

__all__ = [
    "AttentionExplanation",
    "AttentionPair",
    "AttributionPlan",
    "AttributionProgress",
    "Direction",
    "EdgeExplanation",
    "EdgePath",
    "FeatureTarget",
    "HeadExplanation",
    "LinkExplanation",
    "LinkPath",
    "PairRow",
    "Target",
    "TokenAt",
    "TokenDifference",
    "attribute",
    "attribution_steps",
    "explain_attention",
    "explain_edge",
    "explain_head",
    "explain_link",
    "find_token",
    "pass_of",
    "skip_shares",
]
