"""Why a head attends: which pairs of sources make up one attention score, exactly.

A score is the product of a query and a key. With LN1's denominators and everything below frozen,
both are sums over sources, so the score is a sum over pairs of them.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.attribution.edges import pass_of
from circuitscope_core.attribution.effects import Rows, stream_rows
from circuitscope_core.attribution.sources import lay_out_sources
from circuitscope_core.devices import in_double
from circuitscope_core.errors import GraphError
from circuitscope_core.graph import AttributionGraph, Node, NodeKind
from circuitscope_core.language_model import HeadSide
from circuitscope_core.prompt_pass import PromptPass
from circuitscope_core.replacement import Explainable
from circuitscope_core.values import one_line

MAX_PAIRS = 100
"""Pairs listed; the others are given as a sum."""


@dataclass(frozen=True)
class AttentionPair:
    """The part of a score that one source in the query and one in the key give it."""

    query: Node | None
    """None: what is constant, that is biases and position embeddings."""
    key: Node | None
    weight: float


@one_line
@dataclass(frozen=True)
class AttentionExplanation:
    """One attention score, before the softmax, as the sum of its pairs."""

    layer: int
    head: int
    query: int
    """Position that attends."""
    key: int
    """Position that is attended to."""
    score: float
    attention: float
    """Share of the query's attention that the key gets, 0 to 1."""
    pairs: tuple[AttentionPair, ...]
    """Strongest first."""
    rest: float
    """The sum of all other pairs."""


@checked
def explain_attention(
    bundle: Explainable | PromptPass,
    graph: AttributionGraph,
    head: tuple[int, int],
    query: int,
    key: int,
    *,
    max_pairs: int = MAX_PAIRS,
) -> AttentionExplanation:
    """Split one head's attention score by what its query and its key were made of.

    Sources are features (also those that a budget left out of the graph), errors and tokens, at any
    position whose content earlier heads brought to the query or the key.

    Args:
        bundle: The bundle or replacement model that the graph was made with; or the prompt's pass,
            which saves a run of the model.
        graph: From ``attribute``.
        head: The head's layer and number.
        query: Position that attends.
        key: Position that is attended to.
        max_pairs: The most pairs that are listed.

    Raises:
        GraphError: If the graph was not made by ``attribute``, there is no such head or position,
            or the key lies to the right of what the query sees.
    """
    if max_pairs < 1:
        raise GraphError(f"max_pairs is {max_pairs}; list at least one pair.")
    clean, _ = pass_of(bundle, graph)
    _check(clean, *head, query, key)
    with torch.no_grad():
        parts = read_by_source(clean, *head, query, "query")
        others = read_by_source(clean, *head, key, "key")
        weights = parts.T @ others / len(parts) ** 0.5
    score = float(in_double(weights).sum())
    strongest = weights.flatten().abs().topk(min(max_pairs, weights.numel())).indices
    pairs = tuple(
        AttentionPair(_node(clean, row), _node(clean, column), float(weights[row, column]))
        for row, column in (divmod(index, weights.shape[1]) for index in strongest.tolist())
        if weights[row, column] != 0
    )
    rest = score - sum(pair.weight for pair in pairs)
    attention = clean.frozen.attention(*head, query, key)
    return AttentionExplanation(*head, query, key, score, attention, pairs, rest)


def read_by_source(
    clean: PromptPass, layer: int, head: int, position: int, side: HeadSide
) -> Float[Tensor, "d_head n_columns_plus_1"]:
    """Return what each source puts into a query or key; the last column is what is constant."""
    sources = lay_out_sources(clean, carry_tokens=False)
    model = clean.replacement.model
    directions, biases = model.head_reads(clean.record, layer, head, position, side)
    rows: Rows = stream_rows(clean, sources, layer, position, directions, biases)
    return torch.cat([rows.effects, rows.bias[:, None]], dim=1)


def _check(clean: PromptPass, layer: int, head: int, query: int, key: int) -> None:
    frozen = clean.frozen
    limits = {"layer": frozen.n_layers, "head": frozen.n_heads}
    limits |= {"query": frozen.n_pos, "key": query + 1 if frozen.causal else frozen.n_pos}
    given = {"layer": layer, "head": head, "query": query, "key": key}
    for name, limit in limits.items():
        if not 0 <= given[name] < limit:
            raise GraphError(f"The {name} is {given[name]}; it must be from 0 to {limit - 1}.")


def _node(clean: PromptPass, column: int) -> Node | None:
    """Return the source of a column: features, errors layer by layer, tokens, the constant."""
    n_features, n_pos = len(clean.features), clean.frozen.n_pos
    if column < n_features:
        layer, position, feature = clean.features[column].tolist()
        return Node(NodeKind.FEATURE, layer, position, feature)
    column -= n_features
    if column < clean.frozen.n_layers * n_pos:
        return Node(NodeKind.ERROR, column // n_pos, column % n_pos, -1)
    column -= clean.frozen.n_layers * n_pos
    if column < n_pos:
        return Node(NodeKind.TOKEN, -1, column, clean.token_ids[column])
    return None
