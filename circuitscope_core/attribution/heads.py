"""Why a head attends: which pairs of sources make up one attention score, exactly.

A score is the product of a query and a key. With LN1's denominators and everything below frozen,
both are sums over sources, so the score is a sum over pairs of them.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.attribution.context import AttributionContext, make_context
from circuitscope_core.attribution.effects import Rows, lay_out_sources, stream_rows
from circuitscope_core.errors import GraphError
from circuitscope_core.graph import AttributionGraph, Node, NodeKind
from circuitscope_core.transformer import HeadSide

MAX_PAIRS = 100
"""Pairs listed; the others are given as a sum."""


@dataclass(frozen=True)
class AttentionPair:
    """What one source in the query and one in the key add to a score."""

    query: Node | None
    """None: what is constant, that is biases and position embeddings."""
    key: Node | None
    weight: float


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


def explain_attention(
    graph: AttributionGraph,
    layer: int,
    head: int,
    query: int,
    key: int,
    *,
    max_pairs: int = MAX_PAIRS,
) -> AttentionExplanation:
    """Split one head's attention score by what its query and its key were made of.

    Sources are features (also those that a budget left out of the graph), errors and tokens, at any
    position whose content earlier heads brought to the query or the key.

    Args:
        graph: From ``attribute``.
        layer: The head's layer.
        head: The head's number.
        query: Position that attends.
        key: Position that is attended to.
        max_pairs: At most so many pairs are listed.

    Raises:
        GraphError: If the graph was not made by ``attribute``, there is no such head or position,
            or the key lies to the right of what the query sees.
    """
    if graph.origin is None:
        raise GraphError("This graph does not know its model; make it with attribute().")
    context = make_context(graph.origin.replacement, graph.token_ids.tolist())
    _check(context, layer, head, query, key)
    with torch.no_grad():
        parts = read_by_source(context, layer, head, query, "query")
        others = read_by_source(context, layer, head, key, "key")
        weights = parts.T @ others / len(parts) ** 0.5
    score = float(weights.double().sum())
    strongest = weights.flatten().abs().topk(min(max_pairs, weights.numel())).indices
    pairs = tuple(
        AttentionPair(_node(context, row), _node(context, column), float(weights[row, column]))
        for row, column in (divmod(index, weights.shape[1]) for index in strongest.tolist())
        if weights[row, column] != 0
    )
    rest = score - sum(pair.weight for pair in pairs)
    attention = context.frozen.attention(layer, head, query, key)
    return AttentionExplanation(layer, head, query, key, score, attention, pairs, rest)


def read_by_source(
    context: AttributionContext, layer: int, head: int, position: int, side: HeadSide
) -> Float[Tensor, "d_head n_columns_plus_1"]:
    """Return what each source puts into a query or key; the last column is what is constant."""
    sources = lay_out_sources(context)
    directions, biases = context.frozen.head_reads(layer, head, position, side)
    rows: Rows = stream_rows(context, sources, layer, position, directions, biases)
    return torch.cat([rows.effects, rows.bias[:, None]], dim=1)


def _check(context: AttributionContext, layer: int, head: int, query: int, key: int) -> None:
    frozen = context.frozen
    limits = {"layer": frozen.n_layers, "head": frozen.n_heads}
    limits |= {"query": frozen.n_pos, "key": query + 1 if frozen.causal else frozen.n_pos}
    given = {"layer": layer, "head": head, "query": query, "key": key}
    for name, limit in limits.items():
        if not 0 <= given[name] < limit:
            raise GraphError(f"The {name} is {given[name]}; it must be from 0 to {limit - 1}.")


def _node(context: AttributionContext, column: int) -> Node | None:
    """Return the source of a column: features, errors layer by layer, tokens, the constant."""
    n_features, n_pos = len(context.features), context.frozen.n_pos
    if column < n_features:
        layer, position, feature = context.features[column].tolist()
        return Node(NodeKind.FEATURE, layer, position, feature)
    column -= n_features
    if column < context.frozen.n_layers * n_pos:
        return Node(NodeKind.ERROR, column // n_pos, column % n_pos, -1)
    column -= context.frozen.n_layers * n_pos
    if column < n_pos:
        return Node(NodeKind.TOKEN, -1, column, context.frozen.token_ids[column])
    return None
