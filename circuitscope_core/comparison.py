"""Two pruned graphs on shared axes: what is kept in A, in B, in both, and what changed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from functools import cached_property
from itertools import count, zip_longest
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuitscope_core.graph import NodeKind
from circuitscope_core.pruning import PrunedGraph, kept_shares

Key = tuple[Any, ...]
"""What makes a node of A and a node of B the same one: its kind's number, layer, column, name."""
KINDS = tuple(NodeKind)
FEATURE, ERROR, TOKEN, LOGIT = range(len(KINDS))


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
class Column:
    """A shared token position: its place in each prompt, None where a prompt has none."""

    a: int | None
    b: int | None


@dataclass(frozen=True)
class Presence:
    """A node as one of the two graphs has it."""

    index: int
    """Its number in that graph."""
    column: int
    kept: bool
    influence: float
    """Share of the output that passes through it, 0 to 1, kept or not."""
    activation: float | None
    """Of features."""
    probability: float | None
    """Of outputs."""


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
class Comparison:
    """Two pruned graphs, A and B, node by node and edge by edge."""

    a: PrunedGraph
    b: PrunedGraph
    same_features: bool
    columns: tuple[Column, ...]
    nodes: tuple[ComparedNode, ...]
    """By kind, layer and column: features, errors, tokens, outputs."""
    edges: tuple[ComparedEdge, ...]

    @property
    def is_same(self) -> bool:
        """Whether the two graphs say the same: same tokens, nodes and edges, nothing changed."""
        return (
            self.a.graph.token_texts == self.b.graph.token_texts
            and all(node.side is Side.BOTH and node.change == 0 for node in self.nodes)
            and all(edge.side is Side.BOTH and edge.weight_change == 0 for edge in self.edges)
        )


Compared = TypeVar("Compared", ComparedNode, ComparedEdge)


def compare_graphs(a: PrunedGraph, b: PrunedGraph, *, same_features: bool) -> Comparison:
    """Compare two pruned graphs, of two prompts or of two models.

    A node of A and one of B are the same if they are features of one number, layer and column,
    errors of one layer and column, tokens of one column, or outputs of one token.

    Args:
        a: One graph.
        b: The other.
        same_features: Whether both were made with the same transcoder and tokenizer. If not, no
            feature of A is one of B, and outputs are compared by their text.
    """
    columns = align(a.graph.token_texts, b.graph.token_texts)
    n_layers = max(a.graph.n_layers, b.graph.n_layers)
    half_a = _Half(a, [column.a for column in columns], "" if same_features else "a", n_layers)
    half_b = _Half(b, [column.b for column in columns], "" if same_features else "b", n_layers)
    kept = sorted(half_a.kept_keys | half_b.kept_keys)
    nodes = tuple(_compared(key, half_a.presence(key), half_b.presence(key)) for key in kept)
    return Comparison(a, b, same_features, columns, nodes, _edges(a, b, nodes))


def align(a: Sequence[str], b: Sequence[str]) -> tuple[Column, ...]:
    """Lay the tokens of two prompts side by side.

    Their first tokens share a column, since both open the prompt, and so do their last, since the
    outputs hang there. Between them words are matched, then tokens within words that replace each
    other; what replaces something else shares its columns, beginnings first. ``align(b, a)`` is
    the mirror image.

    Args:
        a: Texts of one prompt's tokens, at least one.
        b: Texts of the other's.
    """
    if list(b) < list(a):  # the matcher is not symmetric, so it is always asked in one order
        return tuple(Column(column.b, column.a) for column in align(b, a))
    n_ends = 1 if min(len(a), len(b)) > 1 else 0
    end_a, end_b = len(a) - n_ends, len(b) - n_ends
    columns = [Column(0, 0)]
    places_a, places_b = count(1), count(1)
    for words in _side_by_side(_words(a[1:end_a]), _words(b[1:end_b])):
        for in_a, in_b in _side_by_side(*(word or () for word in words)):
            column = Column(
                None if in_a is None else next(places_a), None if in_b is None else next(places_b)
            )
            columns.append(column)
    return (*columns, Column(end_a, end_b)) if n_ends else tuple(columns)


def _side_by_side(a: Sequence[Any], b: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Pair what two sequences have in common, and what replaces what; None for what is left."""
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    for _, from_a, to_a, from_b, to_b in matcher.get_opcodes():
        yield from zip_longest(a[from_a:to_a], b[from_b:to_b])


def _words(tokens: Sequence[str]) -> list[tuple[str, ...]]:
    """Split tokens into runs of letters and digits, and single other tokens."""
    words: list[tuple[str, ...]] = []
    for number, token in enumerate(tokens):
        if number and tokens[number - 1][-1:].isalnum() and token[:1].isalnum():
            words[-1] = (*words[-1], token)
        else:
            words.append((token,))
    return words


def count_sides(items: Iterable[ComparedNode] | Iterable[ComparedEdge]) -> dict[Side, int]:
    """Return how many nodes or edges are kept only in A, only in B, in both."""
    counts = Counter(item.side for item in items)
    return {side: counts[side] for side in Side}


def largest_changes(items: Iterable[Compared], n: int) -> tuple[Compared, ...]:
    """Return the nodes or edges that changed most, largest first: by influence or by share."""
    changed = (item for item in items if item.change)
    return tuple(sorted(changed, key=lambda item: -abs(item.change))[:n])


@dataclass(frozen=True)
class _Half:
    """One of the two graphs, with a key for each of its nodes."""

    pruned: PrunedGraph
    positions: Sequence[int | None]
    """Of each shared column, the place in this prompt."""
    owner: str
    """Tells features of two transcoders apart; empty where they are the same."""
    n_layers: int
    """Of the deeper model: the layer of all outputs."""

    @cached_property
    def columns(self) -> list[int]:
        """Shared column of each position."""
        return [column for column, place in enumerate(self.positions) if place is not None]

    @cached_property
    def keys(self) -> list[Key]:
        """What names each node in both graphs, in this graph's order."""
        graph, columns = self.pruned.graph, self.columns
        every = [(layer, column) for layer in range(graph.n_layers) for column in columns]
        features = (
            (FEATURE, layer, columns[place], number, self.owner)
            for layer, place, number in graph.features.tolist()
        )
        errors = ((ERROR, layer, column) for layer, column in every)
        tokens = ((TOKEN, -1, column) for column in columns)
        return [*features, *errors, *tokens, *self._outputs()]

    def _outputs(self) -> Iterator[Key]:
        """Outputs are the same where the token is; those of one text are counted."""
        graph = self.pruned.graph
        seen: Counter[Key] = Counter()
        for token, text in zip(graph.logit_token_ids.tolist(), graph.logit_texts, strict=True):
            name = (text,) if self.owner else (text, token)
            yield (LOGIT, self.n_layers, 0, *name, seen[name])
            seen[name] += 1

    @cached_property
    def index(self) -> dict[Key, int]:
        """The graph's node of each key."""
        return dict(zip(self.keys, range(len(self.keys)), strict=True))

    @cached_property
    def kept_keys(self) -> set[Key]:
        """Keys of the nodes kept."""
        return {self.keys[node] for node in self.pruned.kept_nodes.tolist()}

    def presence(self, key: Key) -> Presence | None:
        """Return what there is to know of a node here; None where it is not in this graph."""
        if key not in self.index:
            return None
        index, graph = self.index[key], self.pruned.graph
        rank = index - graph.logit_nodes.start
        is_token = rank >= 0 and int(graph.logit_token_ids[rank]) >= 0
        return Presence(
            index=index,
            column=self.columns[int(self._node_positions[index])],
            kept=bool(self.pruned.node_mask[index]),
            influence=float(self.pruned.node_influence[index]),
            activation=float(graph.activations[index]) if index < graph.n_features else None,
            probability=float(graph.logit_probabilities[rank]) if is_token else None,
        )

    @cached_property
    def _node_positions(self) -> Int[Tensor, " n_nodes"]:
        return self.pruned.graph.node_positions


def _compared(key: Key, a: Presence | None, b: Presence | None) -> ComparedNode:
    kind, layer, *_ = key
    # outputs of prompts that do not end in one column stand in the later
    column = max(half.column for half in (a, b) if half)
    return ComparedNode(KINDS[kind], layer, column, a, b)


def _edges(
    a: PrunedGraph, b: PrunedGraph, nodes: Sequence[ComparedNode]
) -> tuple[ComparedEdge, ...]:
    """Return the edges kept in either graph, by target, then source."""
    in_a = _Effects.among(a, [node.a.index if node.a else -1 for node in nodes])
    in_b = _Effects.among(b, [node.b.index if node.b else -1 for node in nodes])
    places = (in_a.kept | in_b.kept).nonzero(as_tuple=True)
    tables = (in_a.kept, in_b.kept, in_a.weights, in_b.weights, in_a.shares, in_b.shares)
    columns = (*places, *(table[places] for table in tables))
    return tuple(
        ComparedEdge(source, target, Side.of(in_a=kept_a, in_b=kept_b), *numbers)
        for target, source, kept_a, kept_b, *numbers in zip(
            *(column.tolist() for column in columns), strict=True
        )
    )


@dataclass(frozen=True)
class _Effects:
    """A graph's direct effects among the nodes of a comparison; row = target, column = source."""

    kept: Bool[Tensor, "n n"]
    weights: Float[Tensor, "n n"]
    shares: Float[Tensor, "n n"]

    @classmethod
    def among(cls, pruned: PrunedGraph, nodes: Sequence[int]) -> "_Effects":
        """Return the effects among some of a graph's nodes, -1 where it has no such node."""
        indices = torch.tensor(nodes, dtype=torch.int64)
        there = (indices >= 0).nonzero()[:, 0]
        own = indices[there]
        weights = torch.zeros(len(nodes), len(nodes))
        weights[there[:, None], there] = pruned.graph.adjacency[own[:, None], own]
        places = torch.zeros(pruned.graph.n_nodes, dtype=torch.int64)
        places[own] = there
        mine = places[pruned.kept_nodes]
        kept = torch.zeros_like(weights, dtype=torch.bool)
        kept[mine[:, None], mine] = pruned.kept_edges
        shares = torch.zeros_like(weights)
        shares[mine[:, None], mine] = kept_shares(pruned)
        return cls(kept, weights, shares)
