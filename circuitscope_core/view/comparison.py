"""Two graphs on shared axes as one drawing, and tables of what differs most between them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from circuitscope_core.comparison import ComparedNode, Comparison, Side
from circuitscope_core.graph import NodeKind
from circuitscope_core.view.columns import Axes, edges_of
from circuitscope_core.view.compared_names import ComparedNames, Naming
from circuitscope_core.view.graph_view import CardView, Fact, GraphView, NodeView
from circuitscope_core.view.layout import (
    cards_of_features,
    draw_picture,
    item_of,
    node_views,
)

KEPT_IN = {Side.BOTH: "both", Side.A: "only A", Side.B: "only B"}
"""Short words for tables."""


@dataclass(frozen=True)
class NodeDifference:
    """A node whose influence is not the same in both graphs."""

    node: str
    place: str
    """``L0``, ``L1``, … or ``token``."""
    token: str
    """Text of its column, of both prompts where they differ."""
    kept: str
    """``both``, ``only A`` or ``only B``."""
    other: str
    """The node's state in the graph that does not keep it; empty where both do."""
    influence_a: float
    influence_b: float
    change: float
    """Influence in B less that in A."""
    activation_a: float | None
    """None for all but features, and where the feature is not active."""
    activation_b: float | None


@dataclass(frozen=True)
class EdgeDifference:
    """An edge whose share of its target's input is not the same in both graphs."""

    source: str
    target: str
    kept: str
    share_a: float
    share_b: float
    change: float
    """Share in B less that in A."""
    weight_a: float
    weight_b: float
    weight_change: float


def layout_comparison(comparison: Comparison, a: Naming, b: Naming) -> GraphView:
    """Lay two graphs out on shared axes: weights and shares of edges are changes, B less A.

    Args:
        comparison: The two graphs, compared.
        a: Names of A's features.
        b: Names of B's features; not asked where the features are the same.
    """
    names = ComparedNames(comparison, a, b)
    circuit = names.circuit
    columns = tuple(map(names.column_label, range(len(comparison.columns))))
    nodes = [_compared_view(names, row, view) for row, view in enumerate(node_views(circuit))]
    items = [item_of(node, circuit.n_layers, node.influence) for node in nodes]
    kept_a, kept_b = comparison.edges.a, comparison.edges.b
    both = zip(kept_a.kept.tolist(), kept_b.kept.tolist(), strict=True)
    sides = [str(Side.of(in_a=in_a, in_b=in_b)) for in_a, in_b in both]
    sizes = kept_a.shares.abs().maximum(kept_b.shares.abs()).tolist()
    axes, edges = Axes(circuit.n_layers, columns), edges_of(circuit.edges, sides, sizes)
    return GraphView(
        prompt=circuit.prompt,
        full=draw_picture(axes, nodes, items, edges, tiles=False),
        groups=None,
        cards=_cards(names),
        paths=(),
        facts=(
            Fact("Nodes", _counts(comparison.node_counts), "Nodes that at least one graph keeps."),
            Fact("Edges", _counts(comparison.edge_counts), "Edges that at least one graph keeps."),
        ),
        compared=True,
    )


def node_differences(
    comparison: Comparison, a: Naming, b: Naming, n: int = 30
) -> tuple[NodeDifference, ...]:
    """Return the nodes whose influence changed most, largest change first."""
    names = ComparedNames(comparison, a, b)
    return tuple(_difference(names, node) for node in comparison.largest_node_changes(n))


def edge_differences(
    comparison: Comparison, a: Naming, b: Naming, n: int = 30
) -> tuple[EdgeDifference, ...]:
    """Return the edges whose share of their target's input changed most, largest change first."""
    names = ComparedNames(comparison, a, b)
    return tuple(
        EdgeDifference(
            source=names.full_name(edge.source),
            target=names.full_name(edge.target),
            kept=KEPT_IN[edge.side],
            share_a=edge.share_a,
            share_b=edge.share_b,
            change=edge.change,
            weight_a=edge.weight_a,
            weight_b=edge.weight_b,
            weight_change=edge.weight_change,
        )
        for edge in comparison.largest_edge_changes(n)
    )


def _counts(counts: Mapping[Side, int]) -> str:
    return (
        f"{counts[Side.BOTH]:,} in both, {counts[Side.A]:,} only in A, {counts[Side.B]:,} only in B"
    )


def _compared_view(names: ComparedNames, row: int, view: NodeView) -> NodeView:
    """Add what a node is in each graph; what its inputs are made of is not the same in both."""
    node = names.comparison.nodes[row]
    return replace(
        view,
        detail=names.detail(row),
        error_share=0.0,
        card=names.card_key(row),
        side=str(node.side),
        side_facts=names.facts(node),
    )


def _cards(names: ComparedNames) -> dict[str, CardView]:
    """Return the cards of all features in the picture, each once."""
    shared, found = names.comparison.same_features, names.circuit
    used: dict[Side, set[tuple[int, int]]] = {Side.A: set(), Side.B: set()}
    for row in found.rows_of(NodeKind.FEATURE).tolist():
        owner = Side.A if shared else names.comparison.nodes[row].owner
        used[owner].add((int(found.layers[row]), int(found.features[row])))
    cards: dict[str, CardView] = {}
    for owner, naming in ((Side.A, names.a), (Side.B, names.b)):
        if naming.cards is not None:
            views = cards_of_features(used[owner], naming.tokenizer, naming.cards)
            cards |= {key if shared else f"{owner}/{key}": card for key, card in views.items()}
    return cards


def _difference(names: ComparedNames, node: ComparedNode) -> NodeDifference:
    a, b = node.a, node.b
    return NodeDifference(
        node=names.circuit.names[names.comparison.rows[node]],
        place="token" if node.kind is NodeKind.TOKEN else f"L{node.layer}",
        token=names.circuit.token_texts[node.column],
        kept=KEPT_IN[node.side],
        other=names.other(node),
        influence_a=a.influence if a else 0.0,
        influence_b=b.influence if b else 0.0,
        change=node.change,
        activation_a=a.activation if a else None,
        activation_b=b.activation if b else None,
    )
