"""A model with its features: what attribution explains, and the model with its MLPs replaced."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.errors import ConfigError
from circuitscope_core.feature_dictionary import FeatureDictionary
from circuitscope_core.language_model import Compute, LanguageModel, MlpCall
from circuitscope_core.tokenizer import TokenIds, Tokenizer, encode_prompt
from circuitscope_core.transcoder import CrossLayerTranscoder
from circuitscope_core.values import one_line


@one_line
@dataclass(frozen=True)
class ReplacementModel:
    """A model, the features that stand in for its MLPs, and the tokenizer.

    A tokenizer may have fewer ids than the model: vocabularies are often padded. Without one,
    prompts are token ids, and tokens are shown as their ids.

    Raises:
        ConfigError: If the sizes of the three, or the precisions, do not fit together.
    """

    model: LanguageModel
    transcoder: FeatureDictionary
    tokenizer: Tokenizer = TokenIds(0)  # noqa: RUF009  # a constant

    def __post_init__(self) -> None:
        view = self.model.writing_at(self.transcoder.shape.write_point)
        object.__setattr__(self, "model", view)
        for name in ("n_layers", "d_model"):
            ours = getattr(self.transcoder.shape, name)
            theirs = getattr(self.model.shape, name)
            if ours != theirs:
                raise ConfigError(
                    f"The transcoder's {name} is {ours} and the model's {theirs}; "
                    "use a transcoder trained on this model."
                )
        d_vocab = self.model.shape.d_vocab
        if not self.tokenizer.d_vocab:
            object.__setattr__(self, "tokenizer", TokenIds(d_vocab))
        self._check_precision()
        if self.tokenizer.d_vocab > d_vocab:
            raise ConfigError(
                f"The tokenizer has {self.tokenizer.d_vocab} tokens and the model {d_vocab}; use "
                "the tokenizer that the model was trained with."
            )

    def _check_precision(self) -> None:
        """Refuse a transcoder of another precision than the model's results."""
        if not isinstance(self.transcoder, CrossLayerTranscoder):
            return
        theirs, ours = self.compute.dtype, self.transcoder.b_dec.dtype
        if theirs not in (torch.float32, torch.float64):
            raise ConfigError(
                f"The model computes in {theirs}, in which the rows of a graph do not add up. "
                "Convert model and transcoder: .to(torch.float32)."
            )
        if theirs != ours:
            raise ConfigError(
                f"The transcoder is in {ours} and the model in {theirs}; bring both into one "
                f"precision, for example model.to({ours})."
            )

    def encode(self, prompt: str | Sequence[int]) -> list[int]:
        """Return the token ids that the model sees; see ``encode_prompt``.

        Raises:
            PromptError: If the prompt is empty, too long, or has unknown ids.
        """
        shape = self.model.shape
        return encode_prompt(self.tokenizer, prompt, shape.n_ctx, closed=shape.mask_id is not None)

    def token_text(self, token_id: int) -> str:
        """Return a token's text; an id of the model's that the tokenizer lacks, as such."""
        if token_id < self.tokenizer.d_vocab:
            return self.tokenizer.token_text(token_id)
        return f"<{token_id}>"

    @property
    def compute(self) -> Compute:
        """Device and precision of the model."""
        (opening,) = self.model.tokens([0])
        return Compute.of(self.model.unembedding(opening)[0])

    def explained(self, n_pos: int) -> range:
        """Return the positions whose features and errors are nodes: all but the opening ones."""
        return range(min(self.model.shape.n_opening, n_pos), n_pos)


@runtime_checkable
class HasReplacement(Protocol):
    """A bundle, as far as attribution needs to know it."""

    @property
    def replacement(self) -> ReplacementModel:
        """Model, transcoder and tokenizer."""


Explainable: TypeAlias = HasReplacement | ReplacementModel
"""A bundle or a replacement model: the first argument of every analysis."""


def replacement_of(bundle: Explainable) -> ReplacementModel:
    """Return the replacement model of a bundle, or the one that was given.

    Raises:
        ConfigError: If it is neither.
    """
    if isinstance(bundle, ReplacementModel):
        return bundle
    if isinstance(bundle, HasReplacement):
        return bundle.replacement
    raise ConfigError(
        f"The first argument is a {type(bundle).__name__}; it must be a bundle (cs.load_bundle) or "
        "a ReplacementModel."
    )


def transcoder_of(replacement: ReplacementModel) -> CrossLayerTranscoder:
    """Return the transcoder, where the features of a replacement model are one.

    Raises:
        ConfigError: If they are another kind of dictionary, which has no weights over the corpus.
    """
    if not isinstance(replacement.transcoder, CrossLayerTranscoder):
        raise ConfigError(
            f"The features are a {type(replacement.transcoder).__name__}; this works with a "
            "transcoder only."
        )
    return replacement.transcoder


def thresholded_transcoder_of(replacement: ReplacementModel) -> CrossLayerTranscoder:
    """Return the transcoder, where its features are active above thresholds of their own.

    Raises:
        ConfigError: If it is a top-k, or the features are another kind of dictionary.
    """
    transcoder = transcoder_of(replacement)
    if transcoder.config.activation != "jump_relu":
        raise ConfigError(
            f"The transcoder's activation is {transcoder.config.activation!r}: which features are "
            "active depends on all others. This measure is defined for features with thresholds "
            "of their own; use a JumpReLU or ReLU transcoder."
        )
    return transcoder


class StreamingDecoder:
    """MLP outputs from activations that come layer by layer, each writing on to later layers."""

    def __init__(self, features: FeatureDictionary) -> None:
        self._features = features
        self._written: dict[int, Tensor] = {}
        """Each layer's writes; nothing of a layer without features."""

    def add(self, layer: int, acts: Tensor) -> Tensor:
        """Take in a layer's activations; return all that features write to its MLP output."""
        self._written[layer] = self._features.write(layer, acts)
        reaching = (
            writes[..., layer - source, :]
            for source, writes in self._written.items()
            if layer - source < writes.shape[-2]
        )
        out = self._features.output_bias(layer)
        for writes in reaching:
            out = out + writes
        return out


def run_replacement(
    model: LanguageModel, transcoder: FeatureDictionary, token_ids: Int[Tensor, "batch n_pos"]
) -> Float[Tensor, "batch n_pos d_vocab"]:
    """Return logits with every MLP replaced by the transcoder, on its own stream, nothing frozen.

    The opening positions keep their MLP outputs: their features are not explained. So do layers
    without features.
    """
    decoder = StreamingDecoder(transcoder)

    def replace_mlp(call: MlpCall) -> Tensor:
        if not transcoder.shape.has_features(call.layer):
            return call.mlp_out()
        read = call.read(transcoder.shape.read_point)
        out = decoder.add(call.layer, transcoder.encode(call.layer, read))
        return keep_opening(model, call, out + transcoder.skip(call.layer, read))

    with torch.no_grad():
        return model.logits_after(model.mlp_pass(token_ids, replace_mlp))


def run_mean_ablated(
    model: LanguageModel,
    mean_mlp_out: Float[Tensor, "n_layers d_model"],
    token_ids: Int[Tensor, "batch n_pos"],
    layers: Collection[int] | None = None,
) -> Float[Tensor, "batch n_pos d_vocab"]:
    """Return logits with MLP outputs replaced by their means, opening positions aside.

    Args:
        model: The model.
        mean_mlp_out: Of every layer.
        token_ids: Equally long sequences.
        layers: Those whose outputs are replaced; None: all.
    """

    def replace_mlp(call: MlpCall) -> Tensor:
        if layers is not None and call.layer not in layers:
            return call.mlp_out()
        return keep_opening(model, call, mean_mlp_out[call.layer].expand_as(call.mlp_in).clone())

    with torch.no_grad():
        return model.logits_after(model.mlp_pass(token_ids, replace_mlp))


def keep_opening(model: LanguageModel, call: MlpCall, out: Tensor) -> Tensor:
    """Put the MLP's own output at the opening positions, in place."""
    opening = slice(model.shape.n_opening)
    out[:, opening] = call.run(call.mlp_in[:, opening])
    return out
