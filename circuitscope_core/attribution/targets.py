"""The targets of a graph, as its logit nodes: tokens, differences, features, directions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.arguments import CheckedFields
from circuitscope_core.config import AttributionConfig
from circuitscope_core.errors import GraphError
from circuitscope_core.feature_dictionary import check_place
from circuitscope_core.graph import output_weights
from circuitscope_core.prompt_pass import PromptPass
from circuitscope_core.tokenizer import Tokenizer, encode_words, token_label
from circuitscope_core.values import one_line


@dataclass(frozen=True)
class TokenDifference(CheckedFields):
    """The logit of one token minus that of another: "why this and not that"."""

    token: int | str
    minus: int | str


@dataclass(frozen=True)
class TokenAt(CheckedFields):
    """The logit of a token at a position: one of several in an answer that is given.

    It is what the model expects behind the token at ``position``, so the answer's first token is
    read at the last position of the prompt.
    """

    token: int | str
    position: int


@dataclass(frozen=True)
class FeatureTarget(CheckedFields):
    """The pre-activation of one feature, active or not."""

    layer: int
    position: int
    feature: int


@one_line
@dataclass(frozen=True, eq=False)
class Direction:
    """The product of a vector with the final norm's output at the position that is asked."""

    vector: Float[Tensor, " d_model"]
    text: str = "direction"


Target: TypeAlias = int | str | TokenAt | TokenDifference | FeatureTarget | Direction
"""A token by its id or text, a token at a position, a difference, a feature or a direction."""


@one_line
@dataclass(frozen=True)
class LogitTargets:
    """The logit nodes of a graph."""

    token_ids: Int[Tensor, " n_logits"]
    """-1 for what is no single token."""
    probabilities: Float[Tensor, " n_logits"]
    """The model's probability of each token at its position; equal weights where not all are
    tokens."""
    directions: Float[Tensor, "n_logits d_model"]
    """Product with what is read, plus ``biases``, is the target's value."""
    biases: Float[Tensor, " n_logits"]
    layers: Int[Tensor, " n_logits"]
    """Where the direction reads: a layer's read point, or after the final norm for ``n_layers``."""
    positions: Int[Tensor, " n_logits"]
    plus_token_ids: Int[Tensor, " n_logits"]
    """The token itself, or the first of a difference; -1 for other targets."""
    minus_token_ids: Int[Tensor, " n_logits"]
    """The second token of a difference; -1 for other targets."""
    texts: tuple[str, ...]

    @property
    def weights(self) -> Float[Tensor, " n_logits"]:
        """How much each counts in influence; see ``output_weights``."""
        return output_weights(self.probabilities, self.positions, self.token_ids)


@dataclass(frozen=True)
class _Resolved:
    """One target, looked up."""

    key: object
    """Equal for targets that are the same."""
    direction: Tensor
    bias: Tensor
    text: str
    token_id: int = -1
    minus: tuple[int, int] | None = None
    """The two tokens of a difference."""
    layer: int = -1
    position: int = -1
    """-1: the position that is asked."""


def select_targets(
    clean: PromptPass, targets: Sequence[Target] | None, config: AttributionConfig
) -> LogitTargets:
    """Choose what to explain.

    Args:
        clean: The prompt's clean pass; its model and features turn targets into directions.
        targets: Targets to explain; None takes the most likely tokens.
        config: How many of the most likely tokens to take.

    Raises:
        GraphError: If a target is no single token, does not exist, or is given twice.
    """
    probabilities = clean.replacement.model.shape.probabilities(clean.logits)
    if targets is None:
        # ids that pad a vocabulary have no text
        named = probabilities[: clean.replacement.tokenizer.d_vocab]
        chosen: list[Target] = list(
            salient_tokens(named, config.max_logits, config.logit_probability).tolist()
        )
    else:
        chosen = list(targets)
    if not chosen:
        raise GraphError("No target was given; give a token, or None for the most likely ones.")
    found = [_resolve(target, clean) for target in chosen]
    if len({item.key for item in found}) < len(found):
        raise GraphError("A target was given twice; name each once.")
    n_layers, index = clean.frozen.n_layers, clean.features.new_tensor
    if all(item.token_id >= 0 for item in found):
        weights, order = _by_position(clean, found)
        found = [found[place] for place in order]
    else:
        weights = probabilities.new_full((len(found),), 1 / len(found))
    return LogitTargets(
        token_ids=index([item.token_id for item in found]),
        probabilities=weights,
        directions=torch.stack([item.direction for item in found]),
        biases=torch.stack([item.bias for item in found]),
        layers=index([item.layer if item.layer >= 0 else n_layers for item in found]),
        positions=index([_position_of(item, clean) for item in found]),
        plus_token_ids=index([item.minus[0] if item.minus else item.token_id for item in found]),
        minus_token_ids=index([item.minus[1] if item.minus else -1 for item in found]),
        texts=tuple(item.text for item in found),
    )


def _position_of(item: _Resolved, clean: PromptPass) -> int:
    return item.position if item.position >= 0 else clean.asked


def _by_position(
    clean: PromptPass, found: Sequence[_Resolved]
) -> tuple[Float[Tensor, " n_logits"], list[int]]:
    """Return tokens' probabilities by position, then falling; and the order that this makes."""
    places = [_position_of(item, clean) for item in found]
    chances = clean.replacement.model.shape.probabilities
    rows = {place: chances(clean.record.logits[0, place]) for place in set(places)}
    own = torch.stack([rows[p][item.token_id] for p, item in zip(places, found, strict=True)])
    order = sorted(range(len(found)), key=lambda n: (places[n], -float(own[n])))
    return own[order], order


def salient_tokens(
    probabilities: Float[Tensor, " d_vocab"], max_logits: int, logit_probability: float
) -> Int[Tensor, " n"]:
    """Return the most likely tokens that together reach a probability, best first."""
    top = probabilities.topk(min(max_logits, len(probabilities)))
    needed = int((top.values.cumsum(0) < logit_probability).sum()) + 1
    return top.indices[:needed]


def _resolve(target: Target, clean: PromptPass) -> _Resolved:
    if isinstance(target, FeatureTarget):
        return _resolve_feature(target, clean)
    if isinstance(target, Direction):
        return _resolve_direction(target, clean)
    if isinstance(target, TokenDifference):
        return _resolve_difference(target, clean)
    if isinstance(target, TokenAt):
        return _resolve_token(target.token, _checked_position(target, clean), clean)
    return _resolve_token(target, clean.asked, clean)


def _resolve_token(target: int | str, position: int, clean: PromptPass) -> _Resolved:
    model, tokenizer = clean.replacement.model, clean.replacement.tokenizer
    token = find_token(target, tokenizer)
    (direction,), (bias,) = model.unembedding(clean.features.new_tensor([token]))
    mean_direction, mean_bias = clean.mean_unembedding
    text = tokenizer.token_text(token)
    place, mean = (token, None, position), (direction - mean_direction, bias - mean_bias)
    return _Resolved(place, *mean, text, token, position=position)


def _checked_position(target: TokenAt, clean: PromptPass) -> int:
    """Return the position of a target, where the model reads and is asked.

    Raises:
        GraphError: If there is no such position, or the model is asked at its mask alone.
    """
    if not 0 <= target.position < clean.n_pos:
        raise GraphError(
            f"The target {target.token!r} is at position {target.position}; positions go from 0 to "
            f"{clean.n_pos - 1}."
        )
    if clean.replacement.model.shape.mask_id is not None and target.position != clean.asked:
        raise GraphError(
            f"The target {target.token!r} is at position {target.position}; a masked model is "
            f"asked for the word in its mask's place, {clean.asked}."
        )
    return target.position


def _resolve_difference(target: TokenDifference, clean: PromptPass) -> _Resolved:
    model, tokenizer = clean.replacement.model, clean.replacement.tokenizer
    token, minus = (find_token(item, tokenizer) for item in (target.token, target.minus))
    if token == minus:
        raise GraphError("A difference needs two different tokens.")
    directions, biases = model.unembedding(clean.features.new_tensor([token, minus]))
    text = " − ".join(token_label(tokenizer.token_text(item)) for item in (token, minus))
    direction, bias = directions[0] - directions[1], biases[0] - biases[1]
    return _Resolved((token, minus), direction, bias, text, minus=(token, minus))


def _resolve_feature(target: FeatureTarget, clean: PromptPass) -> _Resolved:
    features = clean.replacement.transcoder
    place = layer, position, feature = (target.layer, target.position, target.feature)
    check_place(features.shape, clean.explained, place, "Target at")
    (vector,), (bias,) = features.encoder_vectors(
        layer, clean.features.new_tensor([feature]), clean.inputs[layer, position][None]
    )
    kind = "neuron" if features.shape.exact else "feature"
    text = f"L{layer} {kind} {feature} at “{token_label(clean.token_texts[position])}”"
    return _Resolved(place, vector, bias, text, layer=layer, position=position)


def _resolve_direction(target: Direction, clean: PromptPass) -> _Resolved:
    final = clean.record.final[0, clean.asked]
    if target.vector.shape != final.shape:
        raise GraphError(
            f"The direction has shape {tuple(target.vector.shape)}; give {tuple(final.shape)}."
        )
    vector = target.vector.detach().to(final)
    return _Resolved(target, vector, vector.new_zeros(()), target.text)


def find_token(token: int | str, tokenizer: Tokenizer) -> int:
    """Return a token's id, given the id or the token's text.

    A word may be given without the space that is a part of its token, unless it is a token without
    it, too.

    Raises:
        GraphError: If the text is not one token, or there is no such id.
    """
    if isinstance(token, str):
        ids = encode_words(tokenizer, token)
        if len(ids) != 1:
            raise GraphError(f"The target {token!r} is {len(ids)} tokens; give exactly one.")
        return ids[0]
    if not 0 <= token < tokenizer.d_vocab:
        raise GraphError(
            f"Target {token} is no token id; ids go from 0 to {tokenizer.d_vocab - 1}."
        )
    return int(token)
