"""Cards of features: examples, histogram, density, promoted and suppressed tokens."""

from circuitscope_core.feature_cards.cards import Example, FeatureCard, FeatureCards
from circuitscope_core.feature_cards.collect import CollectedCards, measure_cards
from circuitscope_core.feature_cards.examples import ExampleText
from circuitscope_core.feature_cards.from_text import CardProgress, collect_cards
from circuitscope_core.feature_cards.published import (
    PublishedCards,
    open_published_cards,
    published_folder,
)
from circuitscope_core.feature_cards.similar import (
    SimilarFeature,
    Trial,
    similar_features,
    try_feature,
)

__all__ = [
    "CardProgress",
    "CollectedCards",
    "Example",
    "ExampleText",
    "FeatureCard",
    "FeatureCards",
    "PublishedCards",
    "SimilarFeature",
    "Trial",
    "collect_cards",
    "measure_cards",
    "open_published_cards",
    "published_folder",
    "similar_features",
    "try_feature",
]
