"""What a feature responds to: examples, histogram, density, promoted and suppressed tokens."""

from circuitscope_core.feature_cards.cards import Example, FeatureCard, FeatureCards
from circuitscope_core.feature_cards.collect import CollectedCards, collect_cards
from circuitscope_core.feature_cards.examples import ExampleText
from circuitscope_core.feature_cards.similar import (
    SimilarFeature,
    Trial,
    similar_features,
    try_feature,
)

__all__ = [
    "CollectedCards",
    "Example",
    "ExampleText",
    "FeatureCard",
    "FeatureCards",
    "SimilarFeature",
    "Trial",
    "collect_cards",
    "similar_features",
    "try_feature",
]
