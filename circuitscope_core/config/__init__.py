"""Settings: frozen dataclasses that check themselves.

A config is a value: two equal configs are interchangeable, so a config is also a cache key.
"""

from circuitscope_core.config.model_transcoder import (
    BufferDtype,
    BufferPlace,
    TranscoderTrainConfig,
)
from circuitscope_core.config.settings import (
    Ablation,
    AttributionConfig,
    CorpusConfig,
    ExcerptPolicy,
    FeatureCardConfig,
    GroupingConfig,
    LanguageModelTraining,
    Likeness,
    ModelConfig,
    NodeScore,
    PruneConfig,
    TraceConfig,
    TrainConfig,
    TranscoderTraining,
)
from circuitscope_core.config.transcoder import (
    FORMER_POINTS,
    Activation,
    ReadPoint,
    TranscoderConfig,
    WritePoint,
)

__all__ = [
    "FORMER_POINTS",
    "Ablation",
    "Activation",
    "AttributionConfig",
    "BufferDtype",
    "BufferPlace",
    "CorpusConfig",
    "ExcerptPolicy",
    "FeatureCardConfig",
    "GroupingConfig",
    "LanguageModelTraining",
    "Likeness",
    "ModelConfig",
    "NodeScore",
    "PruneConfig",
    "ReadPoint",
    "TraceConfig",
    "TrainConfig",
    "TranscoderConfig",
    "TranscoderTrainConfig",
    "TranscoderTraining",
    "WritePoint",
]
