"""Cross-layer and per-layer transcoders: encoder, decoder and loss."""

from circuitscope_core.transcoder.chosen_layers import check_silent, name_layers, widen
from circuitscope_core.transcoder.cross_layer_transcoder import (
    CrossLayerTranscoder,
    LazyDecoders,
    TranscoderLoss,
    jump_relu,
    layer_coefficients,
    nonzero_entries,
    sum_of_losses,
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
    "check_silent",
    "fold_scales",
    "initialize",
    "jump_relu",
    "layer_coefficients",
    "measure_scales",
    "name_layers",
    "nonzero_entries",
    "quantiles",
    "sum_of_losses",
    "transcoder_loss",
    "widen",
]
