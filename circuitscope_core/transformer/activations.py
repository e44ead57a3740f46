"""What one forward pass leaves behind for later rooms."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from circuitscope_core.config import ReadPoint


@dataclass(frozen=True)
class MlpSite:
    """Everything at one layer's MLP: where a transcoder reads, and what the MLP writes."""

    layer: int
    resid_mid: Float[Tensor, "*batch n_pos d_model"]
    """Residual stream after attention, before LN2."""
    mlp_in: Float[Tensor, "*batch n_pos d_model"]
    """LN2's output, the MLP's input."""
    mlp_out: Float[Tensor, "*batch n_pos d_model"]

    def read(self, read_point: ReadPoint) -> Float[Tensor, "*batch n_pos d_model"]:
        """Return the tensor at a read point, named as in TransformerLens.

        ``ln2.hook_normalized`` lies behind LN2's gain and bias there: it is the MLP's input.
        """
        return self.resid_mid if read_point == "hook_resid_mid" else self.mlp_in


@dataclass(frozen=True)
class Activations:
    """The record of one forward pass over a batch of equally long token sequences."""

    sites: tuple[MlpSite, ...]
    """One for each layer."""
    patterns: tuple[Float[Tensor, "#batch n_heads n_pos n_pos"], ...]
    """Attention of each query position (row) to each key position, one tensor for each layer. One
    for all of the batch where it was frozen; so are frozen denominators."""
    ln1_scales: tuple[Float[Tensor, "#batch n_pos 1"], ...]
    """LN1's denominators; ones where the model has no normalisation."""
    ln2_scales: tuple[Float[Tensor, "#batch n_pos 1"], ...]
    ln_final_scale: Float[Tensor, "#batch n_pos 1"]
    resid_post: Float[Tensor, "batch n_pos d_model"]
    """Residual stream after the last layer, before the final norm."""
    logits: Float[Tensor, "batch n_pos d_vocab"]
