"""The values of a comparison of two graphs."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuitscope_core.comparison.align import Column
from circuitscope_core.graph import AttributionGraph, NodeKind
from circuitscope_core.pruning import PrunedGraph
from circuitscope_core.tokenizer import token_label
from circuitscope_core.values import one_line

if TYPE_CHECKING:
    from circuitscope_core.circuit import Circuit


class Side(StrEnum):
    """Which of two graphs keeps a node or an edge."""

    A = "a"
    B = "b"
    BOTH = "both"

    @classmethod
    def of(cls, *, in_a: bool, in_b: bool) -> "Side":
        """Return the side of what is kept in at least one graph."""
        return cls.BOTH if in_a and in_b else cls.A if in_a else cls.B


@dataclass(frozen=True)
class Presence:
    """A node as one of the two graphs has it."""

    index: int
    """The node's number in that graph."""
    column: int
    kept: bool
    influence: float
    """Share of the output that passes through it, 0 to 1, kept or not."""
    activation: float | None
    """The activation of a feature; None for other nodes."""
    probability: float | None
    """The probability of an output; None for other nodes."""
    worth: float
    """Weight of an output in all that is explained; 0 of other nodes."""


@dataclass(frozen=True)
class ComparedNode:
    """A node that at least one graph keeps."""

    kind: NodeKind
    layer: int
    """-1 for tokens; of outputs, the number of layers of the deeper model."""
    column: int
    a: Presence | None
    """None where the node is not in A at all: a feature that is not active there."""
    b: Presence | None

    @property
    def side(self) -> Side:
        """Which graph keeps it."""
        in_a, in_b = (half is not None and half.kept for half in (self.a, self.b))
        return Side.of(in_a=in_a, in_b=in_b)

    @property
    def owner(self) -> Side:
        """Which graph it takes its name and number from: A, or B where it is not in A."""
        return Side.A if self.a else Side.B

    @property
    def home(self) -> Presence:
        """The node as the graph has it that it takes its name from."""
        home = self.a or self.b
        assert home is not None, "a compared node is in at least one graph"
        return home

    @property
    def halves(self) -> tuple[Presence, ...]:
        """The node in each graph that has it."""
        return tuple(half for half in (self.a, self.b) if half)

    @property
    def in_other(self) -> bool:
        """Whether it is in both graphs, though pruning may have dropped it from one."""
        return self.a is not None and self.b is not None

    @property
    def change(self) -> float:
        """Influence in B less that in A; 0 where the node is not there."""
        in_a, in_b = (half.influence if half else 0.0 for half in (self.a, self.b))
        return in_b - in_a


@dataclass(frozen=True)
class ComparedEdge:
    """An edge that at least one graph keeps."""

    source: int
    """Place in the comparison's nodes."""
    target: int
    side: Side
    weight_a: float
    """Raw and signed. Also where A does not keep the edge but has both nodes; else 0."""
    weight_b: float
    share_a: float
    """Signed share of the target's kept input in A, -1 to 1; 0 where A does not keep it."""
    share_b: float

    @property
    def weight_change(self) -> float:
        """Weight in B less that in A."""
        return self.weight_b - self.weight_a

    @property
    def change(self) -> float:
        """Share in B less that in A, -2 to 2."""
        return self.share_b - self.share_a


@dataclass(frozen=True)
class EdgeColumns:
    """The compared edges in one of the graphs; see ``ComparedEdge``."""

    kept: Bool[Tensor, " n_edges"]
    weights: Float[Tensor, " n_edges"]
    shares: Float[Tensor, " n_edges"]


@dataclass(frozen=True)
class ComparedEdges:
    """All edges that at least one graph keeps, by target, then source: a column for each fact."""

    sources: Int[Tensor, " n_edges"]
    targets: Int[Tensor, " n_edges"]
    a: EdgeColumns
    b: EdgeColumns

    def __len__(self) -> int:
        return len(self.sources)

    def __iter__(self) -> Iterator[ComparedEdge]:
        return map(self.edge, range(len(self)))

    @property
    def changes(self) -> Float[Tensor, " n_edges"]:
        """Shares in B less those in A."""
        return self.b.shares - self.a.shares

    @property
    def weight_changes(self) -> Float[Tensor, " n_edges"]:
        """Weights in B less those in A."""
        return self.b.weights - self.a.weights

    def edge(self, number: int) -> ComparedEdge:
        """Return one edge."""
        return ComparedEdge(
            source=int(self.sources[number]),
            target=int(self.targets[number]),
            side=Side.of(in_a=bool(self.a.kept[number]), in_b=bool(self.b.kept[number])),
            weight_a=float(self.a.weights[number]),
            weight_b=float(self.b.weights[number]),
            share_a=float(self.a.shares[number]),
            share_b=float(self.b.shares[number]),
        )


@one_line
@dataclass(frozen=True)
class Comparison:
    """Two pruned graphs, A and B, node by node and edge by edge."""

    a: PrunedGraph
    b: PrunedGraph
    same_features: bool
    columns: tuple[Column, ...]
    nodes: tuple[ComparedNode, ...]
    """Nodes by kind, layer and column: features, errors, tokens, outputs."""
    edges: ComparedEdges

    @property
    def is_same(self) -> bool:
        """Whether the two graphs say the same: same tokens, nodes and edges, nothing changed."""
        return (
            self.a.graph.token_texts == self.b.graph.token_texts
            and all(node.side is Side.BOTH and node.change == 0 for node in self.nodes)
            and self.edge_counts[Side.BOTH] == len(self.edges)
            and not self.edges.weight_changes.any()
        )

    @cached_property
    def circuit(self) -> "Circuit":
        """All that either graph keeps as one table, without labels of features."""
        from circuitscope_core.comparison.compared_circuit import (
            compared_circuit,  # it builds on this
        )

        return compared_circuit(self)

    @cached_property
    def rows(self) -> Mapping[ComparedNode, int]:
        """The row of each node in the circuit: its place among the nodes."""
        return {node: row for row, node in enumerate(self.nodes)}

    def graph_of(self, node: ComparedNode) -> AttributionGraph:
        """Return the graph that a node takes its name and number from."""
        return self.a.graph if node.owner is Side.A else self.b.graph

    def column_texts(self, column: int) -> tuple[str, str]:
        """Return the words for a column's token in A and in B, empty where a prompt has none."""
        place = self.columns[column]
        in_a, in_b = (
            "" if position is None else token_label(pruned.graph.token_texts[position])
            for pruned, position in ((self.a, place.a), (self.b, place.b))
        )
        return in_a, in_b

    def column_text(self, column: int) -> str:
        """Return the words for a column's token, for both where the prompts differ in it."""
        return "|".join(dict.fromkeys(filter(None, self.column_texts(column))))

    @property
    def node_counts(self) -> dict[Side, int]:
        """How many nodes are kept only in A, only in B, in both."""
        counts = Counter(node.side for node in self.nodes)
        return {side: counts[side] for side in Side}

    @property
    def edge_counts(self) -> dict[Side, int]:
        """How many edges are kept only in A, only in B, in both."""
        n_both = int((self.edges.a.kept & self.edges.b.kept).sum())
        n_a, n_b = (int(half.kept.sum()) - n_both for half in (self.edges.a, self.edges.b))
        return {Side.A: n_a, Side.B: n_b, Side.BOTH: n_both}

    def largest_node_changes(self, n: int) -> tuple[ComparedNode, ...]:
        """Return the nodes whose influence changed most, the largest change first."""
        changed = (node for node in self.nodes if node.change)
        return tuple(sorted(changed, key=lambda node: -abs(node.change))[:n])

    def largest_edge_changes(self, n: int) -> tuple[ComparedEdge, ...]:
        """Return the edges whose share changed most, the largest change first."""
        sizes = self.edges.changes.abs()
        order = sizes.argsort(descending=True, stable=True)[:n]
        return tuple(self.edges.edge(number) for number in order[sizes[order] > 0].tolist())
