"""One forward pass as it is: what every intervention is compared with."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.attribution.attribute import HasReplacement
from circuitscope_core.replacement import ReplacementModel
from circuitscope_core.tokenizer import encode_prompt
from circuitscope_core.transcoder import CrossLayerTranscoder
from circuitscope_core.transformer import Activations


@dataclass(frozen=True)
class CleanPass:
    """A prompt's forward pass, taken apart into features and errors."""

    replacement: ReplacementModel
    token_ids: tuple[int, ...]
    record: Activations
    pre_activations: Float[Tensor, "n_layers n_pos d_transcoder"]

    @property
    def n_pos(self) -> int:
        """Number of tokens."""
        return len(self.token_ids)

    @cached_property
    def activations(self) -> Float[Tensor, "n_layers n_pos d_transcoder"]:
        """Feature activations; those at position 0, where features are no nodes, included."""
        thresholds = self.replacement.transcoder.threshold[:, None]
        return (self.pre_activations * (self.pre_activations > thresholds)).detach()

    @cached_property
    def outputs(self) -> Float[Tensor, "n_layers n_pos d_model"]:
        """The MLP outputs."""
        return torch.stack([site.mlp_out[0] for site in self.record.sites])

    def stream_before(self, layer: int) -> Float[Tensor, "1 n_pos d_model"]:
        """Return the residual stream before a layer; ``n_layers``: after the last."""
        if layer == 0:
            return self.replacement.model.embed_tokens(torch.tensor([self.token_ids])).detach()
        below = self.record.sites[layer - 1]
        return below.resid_mid + below.mlp_out

    @cached_property
    def errors(self) -> Float[Tensor, "n_layers n_pos d_model"]:
        """What the transcoder leaves of the MLP outputs."""
        transcoder = self.replacement.transcoder
        read_point = transcoder.config.read_point
        inputs = torch.stack([site.read(read_point)[0] for site in self.record.sites])
        features = self.activations.nonzero()
        activations = self.activations[tuple(features.T)]
        return (self.outputs - transcoder.decode_active(features, activations, inputs)).detach()


def run_clean(bundle: HasReplacement | ReplacementModel, prompt: str | Sequence[int]) -> CleanPass:
    """Run a prompt once.

    Args:
        bundle: A bundle or a replacement model.
        prompt: As for ``attribute``.

    Raises:
        PromptError: If the prompt is empty, too long, or has unknown ids.
    """
    replacement = bundle if isinstance(bundle, ReplacementModel) else bundle.replacement
    given = prompt if isinstance(prompt, str) else list(prompt)
    token_ids = encode_prompt(replacement.tokenizer, given, replacement.model.config.n_ctx)
    with torch.no_grad():
        record = replacement.model.record(torch.tensor([token_ids]))
        pre_acts = feature_pre_activations(replacement.transcoder, record)[0]
    return CleanPass(replacement, tuple(token_ids), record, pre_acts)


def feature_pre_activations(
    transcoder: CrossLayerTranscoder, record: Activations
) -> Float[Tensor, "batch n_layers n_pos d_transcoder"]:
    """Return every feature's pre-activation in a recorded pass."""
    read_point = transcoder.config.read_point
    rows = [transcoder.pre_activations(site.layer, site.read(read_point)) for site in record.sites]
    return torch.stack(rows, dim=1)
