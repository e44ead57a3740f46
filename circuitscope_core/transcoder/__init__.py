"""Cross-layer and per-layer transcoders: encoder, decoder and loss."""

from circuitscope_core.transcoder.model import (
    CrossLayerTranscoder,
    LazyDecoders,
    TranscoderLoss,
    jump_relu,
    nonzero_entries,
    transcoder_loss,
)
from circuitscope_core.transcoder.scaling import (
    ActivationScales,
    fold_scales,
    initialize,
    measure_scales,
    quantiles,
)

__all__ = [
    "ActivationScales",
    "CrossLayerTranscoder",
    "LazyDecoders",
    "TranscoderLoss",
    "fold_scales",
    "initialize",
    "jump_relu",
    "measure_scales",
    "nonzero_entries",
    "quantiles",
    "transcoder_loss",
]
