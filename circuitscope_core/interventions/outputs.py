"""The outputs of a graph in the model: each one's tokens, the position it is read at, its value."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.graph import AttributionGraph


def tokens_of(graph: AttributionGraph) -> list[tuple[int, int]]:
    """Return each target's token and the one it is compared with; -1 where there is none."""
    if graph.targets is None or graph.targets.tokens is None:
        return [(token, -1) for token in graph.logit_token_ids.tolist()]
    return [(token, minus) for token, minus in graph.targets.tokens.tolist()]


def output_values(
    graph: AttributionGraph, logits: Float[Tensor, "*n n_pos d_vocab"]
) -> Float[Tensor, "*n n_logits"]:
    """Return the value of each output in some runs of the model on the graph's tokens.

    That is a token's logit at its position, less the mean of all logits there, or less that of the
    token it is compared with; NaN for an output that is no token.
    """
    found = [
        value_of(logits[..., position, :], token, minus)
        for (token, minus), position in zip(
            tokens_of(graph), graph.target_positions.tolist(), strict=True
        )
    ]
    return torch.stack(found, dim=-1)


def value_of(logits: Float[Tensor, "*n d_vocab"], token: int, minus: int) -> Float[Tensor, "*n"]:
    """Return a token's logit less the mean logit, or less that of another; NaN for no token."""
    if token < 0:
        return torch.full_like(logits[..., 0], float("nan"))
    against = logits.mean(dim=-1) if minus < 0 else logits[..., minus]
    return logits[..., token] - against


def places_of_outputs(graph: AttributionGraph) -> tuple[int, ...]:
    """Return the positions at which outputs that are tokens are read, each once, rising."""
    known = zip(tokens_of(graph), graph.target_positions.tolist(), strict=True)
    return tuple(sorted({position for (token, _), position in known if token >= 0}))


def numbered(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the tokens of an answer by their place in it, which tells equal ones apart."""
    return tuple(f"{number}. {text}" for number, text in enumerate(texts, start=1))
