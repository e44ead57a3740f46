"""What a graph explains, as its logit nodes: tokens, differences, features, directions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.attribution.context import AttributionContext
from circuitscope_core.config import AttributionConfig
from circuitscope_core.errors import GraphError
from circuitscope_core.replacement import ReplacementModel
from circuitscope_core.tokenizer import Tokenizer
from circuitscope_core.transcoder import check_place


@dataclass(frozen=True)
class TokenDifference:
    """The logit of one token minus that of another: "why this and not that"."""

    token: int | str
    minus: int | str


@dataclass(frozen=True)
class FeatureTarget:
    """The pre-activation of one feature, active or not."""

    layer: int
    position: int
    feature: int


@dataclass(frozen=True, eq=False)
class Direction:
    """The product of a vector with the final norm's output at the last position."""

    vector: Float[Tensor, " d_model"]
    text: str = "direction"


Target: TypeAlias = int | str | TokenDifference | FeatureTarget | Direction


@dataclass(frozen=True)
class LogitTargets:
    """The logit nodes of a graph."""

    token_ids: Int[Tensor, " n_logits"]
    """-1 for what is no single token."""
    probabilities: Float[Tensor, " n_logits"]
    """The model's probability of each token; equal weights where not all are tokens."""
    directions: Float[Tensor, "n_logits d_model"]
    """Product with what is read, plus ``biases``, is the target's value."""
    biases: Float[Tensor, " n_logits"]
    layers: Int[Tensor, " n_logits"]
    """Where the direction reads: a layer's read point, or after the final norm for ``n_layers``."""
    positions: Int[Tensor, " n_logits"]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class _Resolved:
    """One target, looked up."""

    key: object
    """Equal for targets that are the same."""
    direction: Tensor
    bias: Tensor
    text: str
    token_id: int = -1
    layer: int = -1
    position: int = -1


def select_targets(
    context: AttributionContext,
    replacement: ReplacementModel,
    targets: Sequence[Target] | None,
    config: AttributionConfig,
) -> LogitTargets:
    """Choose what to explain.

    Args:
        context: The prompt's clean pass.
        replacement: Its unembedding, encoders and tokenizer turn targets into directions.
        targets: What to explain; None takes the most likely tokens.
        config: How many of the most likely tokens to take.

    Raises:
        GraphError: If a target is no single token, does not exist, or is given twice.
    """
    probabilities = context.logits.softmax(dim=0)
    if targets is None:
        chosen: list[Target] = list(
            salient_tokens(probabilities, config.max_logits, config.logit_probability).tolist()
        )
    else:
        chosen = list(targets)
    if not chosen:
        raise GraphError("No target was given; give a token, or None for the most likely ones.")
    found = [_resolve(target, context, replacement) for target in chosen]
    if len({item.key for item in found}) < len(found):
        raise GraphError("A target was given twice; name each once.")
    if all(item.token_id >= 0 for item in found):
        found.sort(key=lambda item: -float(probabilities[item.token_id]))
        weights = probabilities[[item.token_id for item in found]]
    else:
        weights = torch.full((len(found),), 1 / len(found))
    n_layers, n_pos = context.frozen.n_layers, context.frozen.n_pos
    return LogitTargets(
        token_ids=torch.tensor([item.token_id for item in found]),
        probabilities=weights,
        directions=torch.stack([item.direction for item in found]),
        biases=torch.stack([item.bias for item in found]),
        layers=torch.tensor([item.layer if item.layer >= 0 else n_layers for item in found]),
        positions=torch.tensor([item.position if item.layer >= 0 else n_pos - 1 for item in found]),
        texts=tuple(item.text for item in found),
    )


def salient_tokens(
    probabilities: Float[Tensor, " d_vocab"], max_logits: int, logit_probability: float
) -> Int[Tensor, " n"]:
    """Return the most likely tokens that together reach a probability, best first."""
    top = probabilities.topk(min(max_logits, len(probabilities)))
    needed = int((top.values.cumsum(0) < logit_probability).sum()) + 1
    return top.indices[:needed]


def _resolve(
    target: Target, context: AttributionContext, replacement: ReplacementModel
) -> _Resolved:
    if isinstance(target, FeatureTarget):
        return _resolve_feature(target, context)
    if isinstance(target, Direction):
        return _resolve_direction(target, context)
    W_U, b_U = replacement.model.W_U.detach(), replacement.model.unembed.b_U
    tokenizer = replacement.tokenizer
    if isinstance(target, TokenDifference):
        token, minus = (find_token(item, tokenizer) for item in (target.token, target.minus))
        if token == minus:
            raise GraphError("A difference needs two different tokens.")
        text = f"{tokenizer.token_text(token)} − {tokenizer.token_text(minus)}"
        return _Resolved(
            (token, minus), W_U[:, token] - W_U[:, minus], b_U[token] - b_U[minus], text
        )
    token = find_token(target, tokenizer)
    direction, bias = W_U[:, token] - W_U.mean(dim=1), b_U[token] - b_U.mean()
    return _Resolved((token, None), direction, bias, tokenizer.token_text(token), token)


def _resolve_feature(target: FeatureTarget, context: AttributionContext) -> _Resolved:
    transcoder = context.transcoder
    place = layer, position, feature = (target.layer, target.position, target.feature)
    check_place(transcoder.config, context.frozen.n_pos, place, "Target at")
    return _Resolved(
        place,
        transcoder.W_enc[layer, feature].detach(),
        transcoder.b_enc[layer, feature].detach(),
        f"L{layer} feature {feature} at “{context.token_texts[position]}”",
        layer=layer,
        position=position,
    )


def _resolve_direction(target: Direction, context: AttributionContext) -> _Resolved:
    expected = context.final_normalized.shape
    if target.vector.shape != expected:
        raise GraphError(
            f"The direction has shape {tuple(target.vector.shape)}; give {tuple(expected)}."
        )
    vector = target.vector.detach().to(context.final_normalized.dtype)
    return _Resolved(target, vector, vector.new_zeros(()), target.text)


def find_token(token: int | str, tokenizer: Tokenizer) -> int:
    """Return a token's id, given the id or the token's text.

    Raises:
        GraphError: If the text is not one token, or there is no such id.
    """
    if isinstance(token, str):
        ids = tokenizer.encode(token)
        if len(ids) != 1:
            raise GraphError(f"The target {token!r} is {len(ids)} tokens; give exactly one.")
        return ids[0]
    if not 0 <= token < tokenizer.d_vocab:
        raise GraphError(
            f"Target {token} is no token id; ids go from 0 to {tokenizer.d_vocab - 1}."
        )
    return int(token)
