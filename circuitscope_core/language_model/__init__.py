"""A language model as the engine sees it: sizes, questions, one pass as tensors, frozen algebra."""

from circuitscope_core.language_model.compute import Compute
from circuitscope_core.language_model.frozen import FrozenModel, SilencedPass
from circuitscope_core.language_model.frozen_heads import Spread, scatter
from circuitscope_core.language_model.neurons import LinearNeurons, MlpNeurons, secant
from circuitscope_core.language_model.protocol import (
    Frozen,
    HeadSide,
    LanguageModel,
    RunsLayers,
    RunsMlps,
)
from circuitscope_core.language_model.record import (
    EditMlp,
    FinalNorm,
    GatedNorm,
    LayerRecord,
    MlpCall,
    MlpPass,
    MlpSite,
    NormMap,
    Record,
    apply_norm,
    back_through_norm,
    norm_at,
    norm_before,
    through_norm,
)
from circuitscope_core.language_model.shape import ModelShape

__all__ = [
    "Compute",
    "EditMlp",
    "FinalNorm",
    "Frozen",
    "FrozenModel",
    "GatedNorm",
    "HeadSide",
    "LanguageModel",
    "LayerRecord",
    "LinearNeurons",
    "MlpCall",
    "MlpNeurons",
    "MlpPass",
    "MlpSite",
    "ModelShape",
    "NormMap",
    "Record",
    "RunsLayers",
    "RunsMlps",
    "SilencedPass",
    "Spread",
    "apply_norm",
    "back_through_norm",
    "norm_at",
    "norm_before",
    "scatter",
    "secant",
    "through_norm",
]
