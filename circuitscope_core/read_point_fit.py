"""Does a transcoder read where it was trained to? Its fit at every read point, compared.

A transcoder at a wrong read point gives numbers that look like any others. A short text tells it
from one at the right point: it explains far less of the MLP outputs.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.config import ReadPoint
from circuitscope_core.feature_dictionary import FeatureDictionary
from circuitscope_core.replacement import Explainable, replacement_of
from circuitscope_core.tokenizer import encode_prompt
from circuitscope_core.values import one_line

SAMPLE = (
    "The harbour of the old town lies behind a long wall of grey stone. In the morning, before "
    "the sun is over the hills, the boats come back with their nets, and the people who buy fish "
    "are already waiting on the quay. Some of them have come every day for thirty years. They "
    "know by the sound of an engine which boat it is, who steers it and how the night has been. "
    "Prices are agreed on with a nod. By eight o'clock the boxes are loaded, the ice is melting "
    "on the stones, and the gulls have the place to themselves. In winter, when the wind blows "
    "from the north, the boats stay tied up for weeks. Then the men mend nets in the sheds, drink "
    "coffee from the same three cups, and argue about the weather, the government and football. "
    '"It was colder in 1987," says the oldest of them, as he does each year, and nobody '
    "contradicts him. The tourists who walk by in July, between eleven and four, see none of "
    "this; they take a picture of the wall and go on to the castle."
)
"""A text of about 200 tokens, as a model's training text has many."""
MOST_TOKENS = 256
BETTER_BY = 0.1
"""Least share of variance by which another read point must explain more to be named."""
ERROR_RATIO = 0.75
"""Most that its error may be, as a share of the error at the transcoder's own read point."""
FEATURES_AT_ONCE = 512
"""Features whose decoders are in memory together."""


@one_line
@dataclass(frozen=True)
class ReadPointFit:
    """The share of the variance of MLP outputs that a transcoder explains at each read point."""

    read_point: ReadPoint
    """The transcoder's own."""
    explained: Mapping[ReadPoint, float]
    """The median over layers of the share explained: at most 1, below 0 where the transcoder's
    output is further from the MLP's than its mean is."""
    n_tokens: int

    @property
    def better(self) -> ReadPoint | None:
        """The read point that fits best, if it fits far better than the transcoder's own."""
        best = max(self.explained, key=lambda point: self.explained[point])
        own, other = self.explained[self.read_point], self.explained[best]
        is_far = other - own > BETTER_BY and 1 - other < ERROR_RATIO * (1 - own)
        return best if is_far else None

    def describe(self) -> str:
        """Return a sentence about the fit, and what to do where another read point is better."""
        own = _percent(self.explained[self.read_point])
        if self.better is None:
            return (
                f"The transcoder explains {own} of the variance of MLP outputs at its read point "
                f"{self.read_point!r}."
            )
        other = _percent(self.explained[self.better])
        return (
            f"The transcoder explains {own} of the variance of MLP outputs at its read point "
            f"{self.read_point!r} and {other} at {self.better!r}: it was probably trained there. "
            f"Load it with the read point {self.better!r}."
        )


def _percent(share: float) -> str:
    return f"{max(share, 0.0):.0%}"


@checked
@torch.no_grad()
def check_read_point(bundle: Explainable, text: str | Sequence[int] = SAMPLE) -> ReadPointFit:
    """Measure how well a transcoder explains MLP outputs at its read point and at the others.

    Args:
        bundle: A bundle or a replacement model.
        text: Text or token ids of the kind that the transcoder was trained on; at most its first
            256 tokens are used.

    Raises:
        PromptError: If the text is empty or has unknown ids.

    Example:
        >>> import circuitscope_core as cs
        >>> cs.check_read_point(cs.load_bundle("models/demo")).better is None
        True
    """
    replacement = replacement_of(bundle)
    model, features = replacement.model, replacement.transcoder
    token_ids = encode_prompt(replacement.tokenizer, text, n_ctx=sys.maxsize)
    token_ids = token_ids[: min(MOST_TOKENS, model.shape.n_ctx)]
    opening = replacement.explained(len(token_ids)).start
    sites = model.mlp_pass(model.tokens(token_ids)).sites
    outputs = torch.stack([site.mlp_out[0, opening:] for site in sites])
    explained: dict[ReadPoint, float] = {}
    for point in get_args(ReadPoint):
        read = torch.stack([site.read(point)[0, opening:] for site in sites])
        explained[point] = share_explained(reconstruct_all(features, read), outputs)
    return ReadPointFit(features.shape.read_point, explained, len(token_ids) - opening)


def share_explained(
    given: Float[Tensor, "n_layers n d_model"], wanted: Float[Tensor, "n_layers n d_model"]
) -> float:
    """Return the median over layers of the share of variance that is explained."""
    errors = (given - wanted).square().sum(dim=(1, 2))
    spread = (wanted - wanted.mean(dim=1, keepdim=True)).square().sum(dim=(1, 2))
    tiny = torch.finfo(spread.dtype).tiny
    return float((1 - errors / spread.clamp(min=tiny)).median())


def reconstruct_all(
    features: FeatureDictionary, inputs: Float[Tensor, "n_layers n d_model"]
) -> Float[Tensor, "n_layers n d_model"]:
    """Return the MLP outputs that all features make, from the decoders of active ones.

    At a wrong read point nearly all features may be active, so decoders come a few at a time.
    """
    out = torch.stack([features.output_bias(n) + features.skip(n, x) for n, x in enumerate(inputs)])
    for layer, read in enumerate(inputs):
        acts = features.encode(layer, read)
        used = acts.any(dim=0).nonzero()[:, 0]
        for some in used.split(FEATURES_AT_ONCE):
            decoders = features.decoder_rows(layer, some)
            written = (acts[:, some] @ decoders.flatten(1)).unflatten(1, decoders.shape[1:])
            out[layer : layer + decoders.shape[1]] += written.transpose(0, 1)
    return out
