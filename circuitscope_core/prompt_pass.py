"""One prompt's clean pass, taken apart into features and errors: the ground of every analysis."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.answers import AnsweredPrompt, PromptLike
from circuitscope_core.arguments import checked
from circuitscope_core.errors import PromptError
from circuitscope_core.feature_dictionary import FeatureDictionary
from circuitscope_core.language_model import FrozenModel, Record, SilencedPass
from circuitscope_core.replacement import Explainable, ReplacementModel, replacement_of
from circuitscope_core.tokenizer import TokenKind, read_tokens, token_label
from circuitscope_core.values import in_bytes

THIN_SPACE = "\u2009"
"""Between a character and the number of its part: a space of the text itself is made visible."""


@dataclass(frozen=True, eq=False)
class PromptPass:
    """A prompt's clean forward pass: the same value for attribution and for interventions.

    Nothing here depends on what is explained. Analyses of one prompt share it, so that the model
    runs once.
    """

    replacement: ReplacementModel
    prompt: str
    token_ids: tuple[int, ...]
    record: Record
    """The record of the pass, a batch of one."""
    features: Int[Tensor, "n_features 3"]
    """Layer, position and number of the active features, in lexicographic order; none at the
    opening positions."""
    activations: Float[Tensor, " n_features"]
    error_vectors: Float[Tensor, "n_layers n_pos d_model"]
    """The part of each MLP output that the features leave; 0 at the opening positions."""
    constant_outputs: Float[Tensor, "n_layers n_pos d_model"]
    """The part of each MLP output that is neither a node's nor skips: the output bias, and at the
    opening positions all of it."""

    def __repr__(self) -> str:
        n_features = len(self.features)
        return f"PromptPass({self.prompt!r}, {self.n_pos} tokens, {n_features:,} active features)"

    @property
    def pre_activations(self) -> Float[Tensor, " n_features"]:
        """Pre-activations of the active features; an active feature passes its own on unchanged."""
        return self.activations

    @property
    def n_pos(self) -> int:
        """Number of tokens."""
        return len(self.token_ids)

    @property
    def explained(self) -> range:
        """The positions whose features and errors are nodes."""
        return self.replacement.explained(self.n_pos)

    @property
    def logits(self) -> Float[Tensor, " d_vocab"]:
        """The logits that are explained: the next token's, or those in a mask's place."""
        return self.record.logits[0, self.asked]

    @cached_property
    def asked(self) -> int:
        """The position whose logits are explained; see ``ModelShape.asked``."""
        return self.replacement.model.shape.asked(self.record.token_ids[0])

    @cached_property
    def token_texts(self) -> tuple[str, ...]:
        """Each token's text; parts of a character are numbered, as in ``東 1/3``."""
        read = read_tokens(self.replacement.tokenizer, self.token_ids)
        return tuple(
            item.text.replace(" ", THIN_SPACE)
            if item.kind is TokenKind.PART
            else self.replacement.token_text(token)
            for token, item in zip(self.token_ids, read, strict=True)
        )

    @cached_property
    def mean_unembedding(self) -> tuple[Float[Tensor, " d_model"], Float[Tensor, ""]]:
        """The direction and bias of the mean of all logits."""
        return self.replacement.model.mean_unembedding()

    @cached_property
    def frozen(self) -> FrozenModel:
        """The pass with patterns and denominators as constants."""
        read_point = self.replacement.transcoder.shape.read_point
        return FrozenModel(self.record.sequence(), read_point)

    @cached_property
    def inputs(self) -> Float[Tensor, "n_layers n_pos d_model"]:
        """The inputs of each layer's encoder."""
        return self.record.inputs(self.replacement.transcoder.shape.read_point)[:, 0].detach()

    @cached_property
    def outputs(self) -> Float[Tensor, "n_layers n_pos d_model"]:
        """The MLP outputs."""
        return self.record.outputs()[:, 0].detach()

    @cached_property
    def silenced(self) -> SilencedPass:
        """The streams that constants alone make: every row's bias comes from here."""
        features = self.replacement.transcoder

        def write(layer: int, read: Tensor) -> Tensor:
            return self.constant_outputs[layer] + features.skip(layer, read)

        with torch.no_grad():
            return self.frozen.run_silenced(write)

    @cached_property
    def dense_pre_activations(self) -> Float[Tensor, "n_layers n_pos d_transcoder"]:
        """Every feature's pre-activation at every position."""
        return dense_pre_activations(self.replacement, self.record)[0].detach()

    @cached_property
    def dense_activations(self) -> Float[Tensor, "n_layers n_pos d_transcoder"]:
        """Every feature's activation at every position, the opening ones included."""
        features = self.replacement.transcoder
        rows = [features.encode(layer, read) for layer, read in enumerate(self.inputs)]
        return torch.stack(rows).detach()

    @cached_property
    def reconstruction_errors(self) -> Float[Tensor, "n_layers n_pos d_model"]:
        """The part of each MLP output that all features leave, at every position.

        At the explained positions these are the error nodes' vectors; at the opening ones, features
        that are no nodes are taken into account.
        """
        opening = range(self.explained.start)
        features, inputs = self.replacement.transcoder, self.inputs[:, : opening.stop]
        with torch.no_grad():
            parts = reconstruct(features, *active_features(features, inputs, opening), inputs)
        errors = self.error_vectors.clone()
        errors[:, : opening.stop] = self.outputs[:, : opening.stop] - parts
        return errors

    def vectors_of(self, nodes: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        """Return the encoder vectors ``[n, d_model]`` and biases ``[n]`` of active features.

        Args:
            nodes: Rows of ``features``, all of one layer.
        """
        layer = int(self.features[nodes[0], 0])
        _, positions, numbers = self.features[nodes].T
        read = self.inputs[layer, positions]
        return self.replacement.transcoder.encoder_vectors(layer, numbers, read)


@checked
def run_prompt(bundle: Explainable | PromptPass, prompt: PromptLike) -> PromptPass:
    """Run a prompt once and take its MLP outputs apart.

    Args:
        bundle: A bundle or a replacement model; or the prompt's pass, which is returned as it is.
        prompt: Text, which is opened with the separator, token ids, which are taken as they are, or
            a prompt with its answer from ``answer_prompt``.

    Raises:
        PromptError: If the prompt is empty, too long, has unknown ids, or does not have the one
            mask that a masked model asks for.
    """
    if isinstance(bundle, PromptPass):
        return bundle
    replacement = replacement_of(bundle)
    given = prompt.token_ids if isinstance(prompt, AnsweredPrompt) else prompt
    features, token_ids = replacement.transcoder, replacement.encode(given)
    ids = replacement.model.tokens(token_ids)
    replacement.model.shape.asked(ids[0])  # said before the model runs
    check_patterns(replacement, len(token_ids))
    with torch.no_grad():
        record = replacement.model.record(ids)
        inputs = record.inputs(features.shape.read_point)[:, 0]
        explained = replacement.explained(len(token_ids))
        # which of a model's neurons are nodes depends on what is explained: none is as yet
        nodes = range(0) if features.shape.exact else explained
        rows, values = active_features(features, inputs, nodes)
        errors = record.outputs()[:, 0] - reconstruct(features, rows, values, inputs)
        biases = torch.stack([features.output_bias(layer) for layer in range(len(inputs))])
        constants = biases[:, None].expand_as(errors).clone()
        opening = slice(explained.start)
        constants[:, opening] += errors[:, opening]
        errors[:, opening] = 0
    if isinstance(prompt, AnsweredPrompt):
        text = prompt.prompt
    else:
        text = prompt if isinstance(prompt, str) else replacement.tokenizer.decode(token_ids)
    return PromptPass(replacement, text, tuple(token_ids), record, rows, values, errors, constants)


def check_patterns(replacement: ReplacementModel, n_pos: int) -> None:
    """Refuse a prompt whose attention patterns do not fit into the memory where the model runs.

    A pass keeps them for every layer and head: they grow with the square of the prompt.

    Raises:
        PromptError: Saying how much they take and how much there is.
    """
    shape, compute = replacement.model.shape, replacement.compute
    needed = shape.n_layers * shape.n_heads * n_pos**2 * compute.dtype.itemsize
    free = compute.device_free_bytes()
    if needed > free:
        raise PromptError(
            f"The attention patterns of {n_pos:,} tokens take {in_bytes(needed)} of memory; "
            f"{in_bytes(free)} are free. Give a shorter prompt."
        )


def active_features(
    features: FeatureDictionary,
    inputs: Float[Tensor, "n_layers n_pos d_model"],
    positions: range,
) -> tuple[Int[Tensor, "n_features 3"], Float[Tensor, " n_features"]]:
    """Return layer, position and number of the features active at some positions, and values."""
    rows, values = [], []
    for layer, read in enumerate(inputs):
        found = features.active(layer, read[positions.start : positions.stop])
        layers = torch.full_like(found.tokens, layer)
        rows.append(torch.stack([layers, found.tokens + positions.start, found.features], dim=1))
        values.append(found.values)
    return torch.cat(rows), torch.cat(values)


def reconstruct(
    features: FeatureDictionary,
    rows: Int[Tensor, "n_features 3"],
    activations: Float[Tensor, " n_features"],
    inputs: Float[Tensor, "n_layers n_pos d_model"],
) -> Float[Tensor, "n_layers n_pos d_model"]:
    """Return the MLP outputs that active features, biases and skip connections make.

    Only the decoders of active features are read.
    """
    out = torch.stack([features.output_bias(n) + features.skip(n, x) for n, x in enumerate(inputs)])
    for layer in range(features.shape.n_layers):
        at = rows[:, 0] == layer
        _, positions, numbers = rows[at].T
        written = features.decoder_rows(layer, numbers) * activations[at, None, None]
        for step, vectors in enumerate(written.unbind(dim=1)):
            out[layer + step].index_add_(0, positions, vectors)
    return out


def dense_pre_activations(
    replacement: ReplacementModel, record: Record
) -> Float[Tensor, "batch n_layers n_pos d_transcoder"]:
    """Return every feature's pre-activation in a recorded pass."""
    features = replacement.transcoder
    inputs = record.inputs(features.shape.read_point)
    rows = [features.pre_activations(layer, read) for layer, read in enumerate(inputs)]
    return torch.stack(rows, dim=1)


@dataclass(frozen=True)
class NextToken:
    """A token that may come next."""

    text: str
    probability: float


@checked
def next_tokens(
    bundle: Explainable, prompt: str | Sequence[int], n: int = 8
) -> tuple[NextToken, ...]:
    """Return the model's most likely next tokens, or those in a mask's place, best first.

    Raises:
        PromptError: If the prompt is empty, too long, or lacks the mask of a masked model.
    """
    replacement = replacement_of(bundle)
    ids = replacement.model.tokens(replacement.encode(prompt))
    asked = replacement.model.shape.asked(ids[0])
    with torch.no_grad():
        logits = replacement.model(ids)[0, asked]
    top = logits.softmax(dim=0).topk(min(n, len(logits)))
    return tuple(
        NextToken(token_label(replacement.token_text(token)), probability)
        for token, probability in zip(top.indices.tolist(), top.values.tolist(), strict=True)
    )
