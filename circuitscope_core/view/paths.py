"""The strongest ways from the prompt's tokens to the outputs."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from circuitscope_core.arguments import checked
from circuitscope_core.circuit import Circuit, Kept, circuit_of
from circuitscope_core.errors import GraphError
from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.graph import Node, NodeKind

LONGEST_LABEL = 40
"""Characters of a feature's label in a path's text."""

if TYPE_CHECKING:  # networkx is slow to import, and its graphs take no kind of nodes before 3.6
    import networkx as nx

    Effects: TypeAlias = nx.DiGraph[int]
else:
    Effects = "nx.DiGraph"
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


def to_networkx(kept: Kept) -> Effects:
    """Return the kept graph with edges from source to target, ``weight`` and ``share`` on each.

    Nodes are called by their numbers in the graph.
    """
    import networkx as nx

    circuit = circuit_of(kept)
    edges, names = circuit.edges, circuit.index
    graph: Effects = nx.DiGraph()
    graph.add_nodes_from(names.tolist())
    columns = (names[edges.sources], names[edges.targets], edges.weights, edges.shares)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    graph.add_edges_from((s, t, {"weight": weight, "share": part}) for s, t, weight, part in rows)
    return graph


@checked
def strongest_paths(
    kept: Kept, n: int = 5, *, cards: FeatureCards | None = None
) -> tuple[GraphPath, ...]:
    """Return the paths from tokens to outputs that carry most, strongest first.

    Exact: the graph has no cycles, so the best ``n`` ways to a node continue the best ``n`` ways
    to the nodes before it.

    Args:
        kept: The pruned graph, its circuit, or a trace.
        n: The most paths to return.
        cards: Give the features their labels.

    Raises:
        GraphError: If ``n`` is below 1.
    """
    if n < 1:
        raise GraphError(f"n is {n}; ask for at least one path.")
    circuit = circuit_of(kept, cards)
    effects = to_networkx(circuit)
    starts = circuit.index[circuit.are(NodeKind.TOKEN)].tolist()
    ends = dict(zip(circuit.index.tolist(), circuit.worth.tolist(), strict=True))
    return tuple(_path(circuit, effects, way) for way in strongest_ways(effects, starts, ends, n))


@dataclass(frozen=True)
class Way:
    """The nodes from a start to an end, and how much flows along them."""

    nodes: tuple[int, ...]
    strength: float


def strongest_ways(
    effects: Effects, starts: Iterable[int], ends: Mapping[int, float], n: int
) -> tuple[Way, ...]:
    """Return the ``n`` ways that carry most, strongest first.

    Args:
        effects: A graph without cycles, with a ``share`` on each edge.
        starts: Nodes that a way may begin at.
        ends: What each node that a way may end at is worth; 0 for the others.
        n: The most ways to return.
    """
    best = best_ways(effects, starts, n)
    found = [
        (way[0] * worth, node, rank)
        for node, worth in ends.items()
        for rank, way in enumerate(best.get(node, []))
        if worth > 0
    ]
    strongest = heapq.nsmallest(n, found, key=lambda end: (-end[0], end[1], end[2]))
    return tuple(Way(_walk_back(best, node, rank), strength) for strength, node, rank in strongest)


def best_ways(effects: Effects, starts: Iterable[int], n: int) -> dict[int, list[Partial]]:
    """Return, for every node that a start reaches, the best ``n`` ways to it, best first."""
    import networkx as nx

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


def _walk_back(best: dict[int, list[Partial]], node: int, rank: int) -> tuple[int, ...]:
    nodes = [node]
    while best[node][rank][1] >= 0:
        _, node, rank = best[node][rank]
        nodes.append(node)
    return tuple(reversed(nodes))


def _path(circuit: Circuit, effects: Effects, way: Way) -> GraphPath:
    steps = [effects.edges[pair] for pair in pairwise(way.nodes)]
    shares = tuple(float(step["share"]) for step in steps)
    rows = [circuit.row_of[node] for node in way.nodes]
    names = [step_name(circuit.node(row), circuit.names[row]) for row in rows]
    if len(circuit.output_positions) > 1:
        names[-1] += f" (behind token {circuit.node(rows[-1]).position})"
    return GraphPath(
        nodes=way.nodes,
        node_ids=tuple(circuit.ids[row] for row in rows),
        weights=tuple(float(step["weight"]) for step in steps),
        shares=shares,
        strength=way.strength,
        text=describe_steps(names, shares),
    )


def describe_steps(names: Sequence[str], shares: Sequence[float]) -> str:
    """Return for example ``“N” (token 39) ─(+31%)→ L1 “N” (token 39) ─(+12%)→ output “D”``."""
    text = names[0]
    for share, name in zip(shares, names[1:], strict=True):
        sign = "+" if share > 0 else "−"
        text += f" ─({sign}{abs(share):.0%})→ {name}"
    return text


def step_name(node: Node, label: str) -> str:
    """Return a node's place in a path's text, given what it is called."""
    if node.kind is NodeKind.LOGIT:
        return f"output {label}"
    if node.kind is NodeKind.TOKEN:
        return f"{label} (token {node.position})"
    if node.kind is NodeKind.ERROR:
        return f"L{node.layer} error at token {node.position}"
    short = label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"
    return f"L{node.layer} {short} (token {node.position})"
