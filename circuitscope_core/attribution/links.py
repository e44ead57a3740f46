"""Explains an edge of the picture: the heads that carried it, and why they attended."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from circuitscope_core.attribution.edges import EdgePath, explain_edge, pass_of
from circuitscope_core.attribution.heads import explain_attention
from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.graph import AttributionGraph, Node, NodeKind
from circuitscope_core.prompt_pass import PromptPass
from circuitscope_core.replacement import Explainable
from circuitscope_core.tokenizer import token_label
from circuitscope_core.values import one_line

MAX_PAIRS = 12
"""Pairs of sources shown for a head."""


@dataclass(frozen=True)
class LinkPath:
    """One way that an edge took."""

    text: str
    """Heads as ``layer.head``, or "stayed in place"."""
    weight: float
    share: float
    """Signed share of the sum of all ways' absolute weights."""


@one_line
@dataclass(frozen=True)
class LinkExplanation:
    """An edge, or all edges between two groups, by the ways they took."""

    weight: float
    paths: tuple[LinkPath, ...]
    """Strongest first."""
    rest: float
    """The weight of the ways that were not followed."""
    single_heads: tuple[tuple[int, int], ...]
    """Layer and number of the heads that carried a part all alone."""


@dataclass(frozen=True)
class PairRow:
    """The part of an attention score that one source in a query and one in a key give it."""

    query: str
    key: str
    weight: float


@one_line
@dataclass(frozen=True)
class HeadExplanation:
    """Why a head attends from one position to another."""

    score: float
    attention: float
    rows: tuple[PairRow, ...]
    rest: float


def explain_link(
    bundle: Explainable | PromptPass,
    graph: AttributionGraph,
    sources: Sequence[int],
    targets: Sequence[int],
) -> LinkExplanation:
    """Split the edges from some nodes to others by the heads that carried them."""
    clean, _ = pass_of(bundle, graph)
    weights: dict[EdgePath, float] = defaultdict(float)
    total, rest = 0.0, 0.0
    for target in targets:
        for source in sources:
            if graph.adjacency[target, source] == 0:
                continue
            found = explain_edge(clean, graph, source, target)
            total += found.weight
            rest += found.rest
            for path in found.paths:
                weights[EdgePath(path.heads, 0.0)] += path.weight
    size = sum(abs(weight) for weight in weights.values()) or 1.0
    ordered = sorted(weights.items(), key=lambda item: -abs(item[1]))
    paths = tuple(LinkPath(path.text, weight, weight / size) for path, weight in ordered)
    alone = tuple(path.heads[0] for path, _ in ordered if len(path.heads) == 1)
    return LinkExplanation(total, paths, rest, alone)


def explain_head(
    bundle: Explainable | PromptPass,
    graph: AttributionGraph,
    head: tuple[int, int],
    positions: tuple[int, int],
    cards: FeatureCards,
) -> HeadExplanation:
    """Name the pairs of sources that make a head attend from one position to another.

    Args:
        bundle: As for ``explain_attention``.
        graph: From ``attribute``.
        head: The head's layer and number.
        positions: The one that attends, and the one that is attended to.
        cards: Give the features their labels.
    """
    found = explain_attention(bundle, graph, head, *positions, max_pairs=MAX_PAIRS)
    rows = tuple(
        PairRow(_name(graph, pair.query, cards), _name(graph, pair.key, cards), pair.weight)
        for pair in found.pairs
    )
    return HeadExplanation(found.score, found.attention, rows, found.rest)


def _name(graph: AttributionGraph, node: Node | None, cards: FeatureCards) -> str:
    if node is None:
        return "constant (biases, position)"
    where = f"at “{token_label(graph.token_texts[node.position])}”, token {node.position}"
    if node.kind is NodeKind.TOKEN:
        return f"token {where}"
    if node.kind is NodeKind.ERROR:
        return f"L{node.layer} error {where}"
    label = cards.label(node.layer, node.feature) or f"feature {node.feature}"
    return f"L{node.layer} {label} {where}"
