"""The strongest ways from the prompt's tokens to the outputs."""

import heapq
from dataclasses import dataclass
from itertools import pairwise

import networkx as nx

from circuitscope_core.errors import GraphError
from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.graph import AttributionGraph, NodeKind
from circuitscope_core.pruning import PrunedGraph, kept_shares
from circuitscope_core.view.text import node_id, node_label, output_label, token_label

LONGEST_LABEL = 40
"""Characters of a feature's label in a path's text."""

Partial = tuple[float, int, int]
"""Strength of a way to a node, the node before it, and that way's rank there."""


@dataclass(frozen=True)
class GraphPath:
    """One way from a token to an output through kept edges."""

    nodes: tuple[int, ...]
    """Graph indices, token first."""
    node_ids: tuple[str, ...]
    weights: tuple[float, ...]
    """Raw direct effect of each step."""
    shares: tuple[float, ...]
    """Each step's signed share of its target's kept input, -1 to 1."""
    strength: float
    """Product of the absolute shares and the output's probability: the part of the output's
    influence that flows this way."""
    text: str


def to_networkx(pruned: PrunedGraph) -> "nx.DiGraph[int]":
    """Return the kept graph with edges from source to target, ``weight`` and ``share`` on each."""
    effects, shares = pruned.kept_effects, kept_shares(pruned)
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(pruned.kept_nodes.tolist())
    targets, sources = pruned.kept_edges.nonzero(as_tuple=True)
    weights = effects[targets, sources].tolist()
    parts = shares[targets, sources].tolist()
    ends = (pruned.kept_nodes[sources].tolist(), pruned.kept_nodes[targets].tolist())
    rows = zip(*ends, weights, parts, strict=True)
    graph.add_edges_from((s, t, {"weight": weight, "share": part}) for s, t, weight, part in rows)
    return graph


def strongest_paths(
    pruned: PrunedGraph, n: int = 5, *, cards: FeatureCards | None = None
) -> tuple[GraphPath, ...]:
    """Return the paths from tokens to outputs that carry most, strongest first.

    Exact: the graph has no cycles, so the best ``n`` ways to a node continue the best ``n`` ways
    to the nodes before it.

    Args:
        pruned: The pruned graph.
        n: At most so many paths.
        cards: Give the features their labels.

    Raises:
        GraphError: If ``n`` is below 1.
    """
    if n < 1:
        raise GraphError(f"n is {n}; ask for at least one path.")
    graph = pruned.graph
    effects = to_networkx(pruned)
    best = best_ways(effects, range(*graph.token_nodes.indices(graph.n_nodes)), n)
    ends = [
        (way[0] * float(probability), node, rank)
        for node, probability in enumerate(graph.logit_weights.tolist())
        for rank, way in enumerate(best.get(node, []))
        if probability > 0
    ]
    strongest = heapq.nsmallest(n, ends, key=lambda end: (-end[0], end[1], end[2]))
    return tuple(_path(pruned.graph, effects, best, end, cards) for end in strongest)


def best_ways(effects: "nx.DiGraph[int]", starts: range, n: int) -> dict[int, list[Partial]]:
    """Return, for every node that a start reaches, the best ``n`` ways to it, best first."""
    best: dict[int, list[Partial]] = {start: [(1.0, -1, 0)] for start in starts}
    for node in nx.topological_sort(effects):
        ways = [
            (way[0] * abs(data["share"]), source, rank)
            for source, _, data in effects.in_edges(node, data=True)
            for rank, way in enumerate(best.get(source, []))
        ]
        if ways:
            best[node] = heapq.nsmallest(n, ways, key=lambda way: (-way[0], way[1], way[2]))
    return best


def _path(
    graph: AttributionGraph,
    effects: "nx.DiGraph[int]",
    best: dict[int, list[Partial]],
    end: Partial,
    cards: FeatureCards | None,
) -> GraphPath:
    strength, node, rank = end
    nodes = [node]
    while best[node][rank][1] >= 0:
        _, node, rank = best[node][rank]
        nodes.append(node)
    nodes.reverse()
    steps = [effects.edges[pair] for pair in pairwise(nodes)]
    shares = tuple(float(step["share"]) for step in steps)
    return GraphPath(
        nodes=tuple(nodes),
        node_ids=tuple(node_id(graph, node) for node in nodes),
        weights=tuple(float(step["weight"]) for step in steps),
        shares=shares,
        strength=strength,
        text=_describe(graph, nodes, shares, cards),
    )


def _describe(
    graph: AttributionGraph,
    nodes: list[int],
    shares: tuple[float, ...],
    cards: FeatureCards | None,
) -> str:
    """Return for example ``“N” (token 39) ─(+31%)→ L1 “N” (token 39) ─(+12%)→ output “D”``."""
    text = _step_name(graph, nodes[0], cards)
    for share, node in zip(shares, nodes[1:], strict=True):
        sign = "+" if share > 0 else "−"
        text += f" ─({sign}{abs(share):.0%})→ {_step_name(graph, node, cards)}"
    return text


def _step_name(graph: AttributionGraph, index: int, cards: FeatureCards | None) -> str:
    node = graph.node(index)
    if node.kind is NodeKind.LOGIT:
        return f"output {output_label(graph, index - graph.logit_nodes.start)}"
    token = token_label(graph.token_texts[node.position])
    if node.kind is NodeKind.TOKEN:
        return f"“{token}” (token {node.position})"
    if node.kind is NodeKind.ERROR:
        return f"L{node.layer} error at token {node.position}"
    label = node_label(graph, index, cards)
    short = label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"
    return f"L{node.layer} {short} (token {node.position})"
