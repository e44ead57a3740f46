"""What a graph explains: directions in the final residual stream, as logit nodes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.config import AttributionConfig
from circuitscope_core.errors import GraphError
from circuitscope_core.tokenizer import Tokenizer


@dataclass(frozen=True)
class TokenDifference:
    """The logit of one token minus that of another: "why this and not that"."""

    token: int | str
    minus: int | str


Target: TypeAlias = int | str | TokenDifference


@dataclass(frozen=True)
class LogitTargets:
    """The logit nodes of a graph."""

    token_ids: Int[Tensor, " n_logits"]
    """-1 for a difference of tokens."""
    probabilities: Float[Tensor, " n_logits"]
    """The model's probability of each token; weights that sum to 1 where differences are asked."""
    directions: Float[Tensor, "n_logits d_model"]
    """Product with the final norm's output, plus ``biases``, is the target's value."""
    biases: Float[Tensor, " n_logits"]
    texts: tuple[str, ...]


def select_targets(
    logits: Float[Tensor, " d_vocab"],
    W_U: Float[Tensor, "d_model d_vocab"],
    b_U: Float[Tensor, " d_vocab"],
    tokenizer: Tokenizer,
    targets: Sequence[Target] | None,
    config: AttributionConfig,
) -> LogitTargets:
    """Choose what to explain.

    Args:
        logits: At the last position.
        W_U: Unembedding.
        b_U: Unembedding bias.
        tokenizer: Turns target texts into ids.
        targets: Token ids, texts of one token, or differences; None takes the most likely tokens.
        config: How many of the most likely tokens to take.

    Raises:
        GraphError: If a target is no single token, or is given twice.
    """
    probabilities = logits.softmax(dim=0)
    if targets is None:
        chosen: list[Target] = list(
            salient_tokens(probabilities, config.max_logits, config.logit_probability).tolist()
        )
    else:
        chosen = list(targets)
    if not chosen:
        raise GraphError("No target was given; give a token, or None for the most likely ones.")
    pairs = [_resolve(target, tokenizer) for target in chosen]
    if len(set(pairs)) < len(pairs):
        raise GraphError("A target was given twice; name each once.")
    if all(minus is None for _, minus in pairs):
        pairs.sort(key=lambda pair: -float(probabilities[pair[0]]))
        weights = probabilities[[token for token, _ in pairs]]
    else:
        weights = torch.full((len(pairs),), 1 / len(pairs))
    columns = [_combine(W_U, pair) for pair in pairs]
    biases = [_combine(b_U[None], pair)[0] for pair in pairs]
    ids = [token if minus is None else -1 for token, minus in pairs]
    texts = tuple(_describe(tokenizer, pair) for pair in pairs)
    return LogitTargets(
        torch.tensor(ids), weights, torch.stack(columns), torch.stack(biases), texts
    )


def salient_tokens(
    probabilities: Float[Tensor, " d_vocab"], max_logits: int, logit_probability: float
) -> Int[Tensor, " n"]:
    """Return the most likely tokens that together reach a probability, best first."""
    top = probabilities.topk(min(max_logits, len(probabilities)))
    needed = int((top.values.cumsum(0) < logit_probability).sum()) + 1
    return top.indices[:needed]


Pair: TypeAlias = tuple[int, int | None]


def _resolve(target: Target, tokenizer: Tokenizer) -> Pair:
    if isinstance(target, TokenDifference):
        token, minus = (_token_id(item, tokenizer) for item in (target.token, target.minus))
        if token == minus:
            raise GraphError("A difference needs two different tokens.")
        return token, minus
    return _token_id(target, tokenizer), None


def _token_id(token: int | str, tokenizer: Tokenizer) -> int:
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


def _combine(matrix: Tensor, pair: Pair) -> Tensor:
    """Return the token's column less the mean column, or less the other token's."""
    token, minus = pair
    reference = matrix.mean(dim=1) if minus is None else matrix[:, minus]
    return matrix[:, token] - reference


def _describe(tokenizer: Tokenizer, pair: Pair) -> str:
    token, minus = pair
    text = tokenizer.token_text(token)
    return text if minus is None else f"{text} − {tokenizer.token_text(minus)}"
