"""Activations that a transcoder is trained on."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.config import ReadPoint
from circuitscope_core.language_model import LanguageModel
from circuitscope_core.transcoder import ActivationScales


@dataclass(frozen=True)
class Activations:
    """Activations of some tokens, or of a batch of them."""

    inputs: Float[Tensor, "n_layers n d_model"]
    """The values that a transcoder reads."""
    targets: Float[Tensor, "n_layers n d_model"]
    """The MLP outputs, which it should write."""
    resid_mid: Float[Tensor, "n_layers n d_model"] | None = None
    """The stream before each MLP, where interventions need it."""

    def scaled(self, scales: ActivationScales) -> "Activations":
        """Return inputs and targets in the transcoder's units; changed in place."""
        self.inputs.mul_(scales.inputs[:, None, None])
        self.targets.mul_(scales.targets[:, None, None])
        return self

    def at(self, tokens: Int[Tensor, " own"]) -> "Activations":
        """Return some tokens."""
        middle = None if self.resid_mid is None else self.resid_mid[:, tokens]
        return Activations(self.inputs[:, tokens], self.targets[:, tokens], middle)


@torch.no_grad()
def harvest(
    model: LanguageModel,
    token_ids: Int[Tensor, "batch n_pos"],
    read_point: ReadPoint,
    *,
    with_stream: bool = False,
) -> Activations:
    """Run a model and keep its MLPs' activations, position 0 left out, sequences joined.

    Args:
        model: The model.
        token_ids: Sequences.
        read_point: The place where the transcoder reads.
        with_stream: Whether the stream before each MLP is kept, too.
    """
    inputs, targets, middle = [], [], []
    opening = model.shape.n_opening
    for batch in token_ids.split(16):
        sites = model.mlp_pass(batch).sites
        reads = [site.read(read_point)[:, opening:].flatten(0, 1) for site in sites]
        inputs.append(torch.stack(reads))
        targets.append(torch.stack([site.mlp_out[:, opening:].flatten(0, 1) for site in sites]))
        if with_stream:
            middle.append(
                torch.stack([item.resid_mid[:, opening:].flatten(0, 1) for item in sites])
            )
    resid_mid = torch.cat(middle, dim=1) if with_stream else None
    return Activations(torch.cat(inputs, dim=1), torch.cat(targets, dim=1), resid_mid)
