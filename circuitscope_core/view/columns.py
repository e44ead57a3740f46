"""Columns of a picture: tokens, words, or runs of tokens that nothing is drawn for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from circuitscope_core.circuit import Circuit, CircuitEdges
from circuitscope_core.graph import NodeKind
from circuitscope_core.view.graph_view import EdgeView, NodeView
from circuitscope_core.view.grid import Item
from circuitscope_core.view.words import Word, text_of_word

MAX_DRAWN_EDGES = 12_000
"""More make a drawing slow and grey; the weakest shares are left out, and counted."""
MAX_LISTED_EDGES = 300_000
"""More cannot be sent to a browser; the weakest shares are then in no list either, and counted."""
MOST_COLUMNS = 96
"""Columns up to which none is folded; of a longer prompt, runs without a node or an edge are."""
SHORTEST_RUN = 3
"""Columns of a run from which on it is folded."""


@dataclass(frozen=True)
class Axes:
    """The layers and positions that a picture's rows and columns stand for."""

    n_layers: int
    columns: tuple[str, ...]
    column_of: tuple[int, ...] | None = None
    """The column of each position, where several share one; None where each token has its own."""
    empty: frozenset[int] = frozenset()
    """The columns of runs that nothing is drawn for, not even their tokens."""

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of the rows, from the top."""
        return ("Output", *(f"L{layer}" for layer in reversed(range(self.n_layers))), "Token")


@dataclass(frozen=True)
class Edges:
    """Edges of a picture, each list by rising share."""

    drawn: tuple[EdgeView, ...]
    others: tuple[EdgeView, ...]
    """The edges that are listed but not drawn."""
    n_left_out: int
    """Edges that are not drawn."""


def axes_of(circuit: Circuit, words: Sequence[Word] = ()) -> Axes:
    """Return the layers and the columns of a circuit.

    Args:
        circuit: The circuit.
        words: Those whose tokens share a column.
    """
    texts = circuit.token_texts
    parts = list(_parts(len(texts), words))
    labels = [text_of_word(texts, part) for part in parts]
    if len(parts) <= MOST_COLUMNS:
        if len(parts) == len(texts):
            return Axes(circuit.n_layers, tuple(labels))
        return Axes(circuit.n_layers, tuple(labels), _column_of(parts))
    used = _used_positions(circuit)
    columns: list[str] = []
    joined: list[Word] = []
    empty: set[int] = set()
    places = range(len(parts))
    for is_used, run in groupby(places, key=lambda place: not used.isdisjoint(parts[place])):
        some = list(run)
        if is_used or len(some) < SHORTEST_RUN:
            columns += [labels[place] for place in some]
            joined += [parts[place] for place in some]
            continue
        positions = tuple(position for place in some for position in parts[place])
        empty.add(len(columns))
        columns.append(f"… {len(positions):,} tokens …")
        joined.append(positions)
    return Axes(circuit.n_layers, tuple(columns), _column_of(joined), frozenset(empty))


def _parts(n_tokens: int, words: Sequence[Word]) -> list[Word]:
    """Return words and single positions in their order."""
    word_at = {word[0]: word for word in words}
    inside = {position for word in words for position in word[1:]}
    return [word_at.get(place, (place,)) for place in range(n_tokens) if place not in inside]


def _column_of(columns: Sequence[Word]) -> tuple[int, ...]:
    return tuple(number for number, part in enumerate(columns) for _ in part)


def _used_positions(circuit: Circuit) -> set[int]:
    is_token = circuit.are(NodeKind.TOKEN)
    used = set(circuit.positions[~is_token].tolist())
    return used | set(circuit.positions[circuit.edges.sources].tolist())


def into_columns(
    axes: Axes, nodes: Sequence[NodeView], items: Sequence[Item], edges: Edges
) -> tuple[Sequence[NodeView], Sequence[Item], Edges]:
    """Return a picture's parts in its columns, without the tokens of empty runs."""
    if axes.column_of is None:
        return nodes, items, edges
    rows = [
        row for row, node in enumerate(nodes) if axes.column_of[node.position] not in axes.empty
    ]
    places = {row: place for place, row in enumerate(rows)}
    kept_items = [
        replace(items[row], cell=(items[row].cell[0], axes.column_of[nodes[row].position]))
        for row in rows
    ]
    drawn, others = (
        tuple(replace(e, source=places[e.source], target=places[e.target]) for e in part)
        for part in (edges.drawn, edges.others)
    )
    return [nodes[row] for row in rows], kept_items, Edges(drawn, others, edges.n_left_out)


def edges_of(edges: CircuitEdges, sides: Sequence[str] = (), sizes: Sequence[float] = ()) -> Edges:
    """Return a circuit's edges by rising share: those to draw, and those to list beside them.

    Args:
        edges: The edges.
        sides: Where two graphs are compared, which of them keeps each edge.
        sizes: And the larger of its absolute shares.
    """
    n = len(edges)
    order = edges.shares.abs().argsort(stable=True)[max(0, n - MAX_LISTED_EDGES) :]
    every = (edges.sources, edges.targets, edges.weights, edges.shares)
    columns = (column[order].tolist() for column in every)
    more = ([part[place] for place in order.tolist()] for part in (sides, sizes) if part)
    ranked = tuple(EdgeView(*row) for row in zip(*columns, *more, strict=True))
    first = max(0, len(ranked) - MAX_DRAWN_EDGES)
    return Edges(ranked[first:], ranked[:first], n - (len(ranked) - first))
