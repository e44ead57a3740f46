"""A pruned graph as positions, names and numbers to draw."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.circuit import Circuit, CircuitEdges, Kept, circuit_of, place_of
from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.global_weights import GlobalWeights
from circuitscope_core.graph import NodeKind
from circuitscope_core.pruning import PrunedGraph
from circuitscope_core.supernodes import Supernode, Supernodes, collapse_graph, describe_members
from circuitscope_core.tokenizer import Tokenizer, token_label
from circuitscope_core.view.cards import Partners, card_key, card_view
from circuitscope_core.view.facts import facts_of
from circuitscope_core.view.grid import Item, Spacing, arrange_compactly, spread
from circuitscope_core.view.model import (
    CardView,
    EdgeView,
    GraphView,
    NodeView,
    PathView,
    Picture,
    Story,
)
from circuitscope_core.view.paths import strongest_paths
from circuitscope_core.view.text import group_label, strongest_row

MAX_DRAWN_EDGES = 12_000
"""More make a drawing slow and grey; the weakest shares are left out, and counted."""
MANY_CARDS = 300
"""Drawings with more features carry fewer examples of each."""
EXAMPLES, EXAMPLES_OF_MANY = {"top": 8, "middle": 3, "low": 3}, {"top": 4}
N_PATHS = 5
GLYPH_WIDTH, LOGIT_WIDTH, TILE_WIDTH = 15.0, 19.0, 104.0
MAX_LISTED_EDGES = 300_000
"""More cannot be sent to a browser; the weakest shares are then in no list either, and counted."""
MOST_COLUMNS = 96
"""Tokens up to which each has a column of its own; of a longer prompt, runs without a node or an
edge are folded."""
SHORTEST_RUN = 3
"""Tokens of a run from which on it is folded."""
GLYPHS = Spacing(longest_line=8 * GLYPH_WIDTH, line_height=17.0)
TILES = Spacing(longest_line=9 * TILE_WIDTH, line_height=40.0, least_column=20.0)


@dataclass(frozen=True)
class Axes:
    """What a picture's rows and columns stand for."""

    n_layers: int
    columns: tuple[str, ...]
    column_of: tuple[int, ...] | None = None
    """The column of each position, where runs of tokens are folded into one; None where each token
    has a column of its own."""

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


@checked
def layout_graph(
    kept: Kept,
    tokenizer: Tokenizer,
    cards: FeatureCards | None = None,
    supernodes: Supernodes | None = None,
    weights: GlobalWeights | None = None,
    story: Story | None = None,
) -> GraphView:
    """Lay a circuit out: x is the token, y the layer, outputs at the top.

    Args:
        kept: The circuit, or the pruned graph or trace that has it.
        tokenizer: Turns the cards' token ids into text.
        cards: Texts that the features respond to; without them features have numbers only.
        supernodes: Adds a second picture with these groups merged.
        weights: Adds to each card the features that it works with over the corpus.
        story: From ``tell_story``; the canvas opens with it.

    Raises:
        GraphError: If a group has a node that the pruned graph lacks.
    """
    circuit, pruned = circuit_of(kept, cards), getattr(kept, "pruned", kept)
    return GraphView(
        prompt=circuit.prompt,
        full=full_picture(circuit, cards),
        groups=group_picture(circuit, cards, supernodes) if supernodes else None,
        cards=card_views(circuit, tokenizer, cards, weights) if cards else {},
        paths=path_views(circuit),
        facts=facts_of(pruned, supernodes) if isinstance(pruned, PrunedGraph) else (),
        neurons=circuit.neurons,
        story=story,
    )


def path_views(circuit: Circuit) -> tuple[PathView, ...]:
    """Return the strongest paths of a circuit."""
    paths = strongest_paths(circuit, N_PATHS)
    return tuple(PathView(path.node_ids, path.strength, path.text) for path in paths)


def full_picture(circuit: Circuit, cards: FeatureCards | None = None) -> Picture:
    """Draw every node as a glyph."""
    nodes = node_views(circuit, cards)
    strengths = circuit.strength.tolist()
    items = [
        item_of(node, circuit.n_layers, strength)
        for node, strength in zip(nodes, strengths, strict=True)
    ]
    return draw_picture(axes_of(circuit), nodes, items, edges_of(circuit.edges), tiles=False)


def group_picture(circuit: Circuit, cards: FeatureCards | None, supernodes: Supernodes) -> Picture:
    """Draw groups and single features as named tiles, all else as glyphs."""
    collapsed = collapse_graph(circuit, supernodes)
    merged = supernodes.merged
    single = node_views(circuit, cards)
    taken = set(circuit.ids)
    nodes, items = [], []
    for number, rows in enumerate(collapsed.rows):
        strongest = strongest_row(circuit, rows)
        node = single[strongest]
        if number < len(merged):
            node = _group(circuit, merged[number], rows, node, _free_id(f"group_{number}", taken))
        elif node.kind == NodeKind.FEATURE:
            node = replace(node, members=(node.id,))
        nodes.append(node)
        items.append(item_of(node, circuit.n_layers, float(circuit.strength[strongest])))
    return draw_picture(axes_of(circuit), nodes, items, edges_of(collapsed.edges), tiles=True)


def _free_id(name: str, taken: Collection[str]) -> str:
    """Return a name that no node of the circuit has: a file may name its nodes anyhow."""
    while name in taken:
        name += "_"
    return name


def axes_of(circuit: Circuit) -> Axes:
    """Return the layers and tokens of a circuit.

    Of a long prompt, runs of tokens that nothing is drawn for are one column.
    """
    labels = tuple(map(token_label, circuit.token_texts))
    if len(labels) <= MOST_COLUMNS:
        return Axes(circuit.n_layers, labels)
    is_token = circuit.are(NodeKind.TOKEN)
    used = set(circuit.positions[~is_token].tolist())
    used |= set(circuit.positions[circuit.edges.sources].tolist())
    columns: list[str] = []
    column_of: list[int] = []
    for is_used, run in groupby(range(len(labels)), key=used.__contains__):
        positions = list(run)
        if is_used or len(positions) < SHORTEST_RUN:
            column_of += range(len(columns), len(columns) + len(positions))
            columns += [labels[position] for position in positions]
        else:
            column_of += [len(columns)] * len(positions)
            columns.append(f"… {len(positions):,} tokens …")
    return Axes(circuit.n_layers, tuple(columns), tuple(column_of))


def draw_picture(
    axes: Axes,
    nodes: Sequence[NodeView],
    items: Sequence[Item],
    edges: Edges,
    *,
    tiles: bool,
) -> Picture:
    """Put nodes into their places, which ``items`` asks for in the nodes' order."""
    place, spacing = (spread, TILES) if tiles else (arrange_compactly, GLYPHS)
    if axes.column_of is not None:
        nodes, items, edges = fold(axes, nodes, items, edges)
    grid = place(items, axes.rows, axes.columns, spacing)
    placed = tuple(
        replace(node, x=x, y=y) for node, (x, y) in zip(nodes, grid.positions, strict=True)
    )
    return Picture(placed, edges.drawn, edges.n_left_out, edges.others, grid.rows, grid.columns)


def fold(
    axes: Axes, nodes: Sequence[NodeView], items: Sequence[Item], edges: Edges
) -> tuple[Sequence[NodeView], Sequence[Item], Edges]:
    """Return a picture's parts without the tokens in folded columns, which have no edge."""
    assert axes.column_of is not None
    sizes = Counter(axes.column_of)
    rows = [
        row
        for row, node in enumerate(nodes)
        if node.kind != NodeKind.TOKEN or sizes[axes.column_of[node.position]] == 1
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


def edges_of(edges: CircuitEdges) -> Edges:
    """Return a circuit's edges by rising share: those to draw, and those to list beside them."""
    n = len(edges)
    order = edges.shares.abs().argsort(stable=True)[max(0, n - MAX_LISTED_EDGES) :]
    every = (edges.sources, edges.targets, edges.weights, edges.shares)
    columns = (column[order].tolist() for column in every)
    ranked = tuple(EdgeView(*row) for row in zip(*columns, strict=True))
    first = max(0, len(ranked) - MAX_DRAWN_EDGES)
    return Edges(ranked[first:], ranked[:first], n - (len(ranked) - first))


def node_views(circuit: Circuit, cards: FeatureCards | None = None) -> list[NodeView]:
    """Describe every node of a circuit; places come later."""
    texts = circuit.token_texts
    several = len(circuit.output_positions) > 1
    details = [
        f"output behind “{token_label(texts[node.position])}”, token {node.position}"
        if several and node.kind is NodeKind.LOGIT
        else place_of(node, texts[node.position], neurons=circuit.neurons)
        for node in circuit.nodes
    ]
    columns = (
        circuit.ids,
        circuit.nodes,
        circuit.names,
        details,
        circuit.influence.tolist(),
        _known(circuit.activations),
        _known(circuit.probabilities),
        circuit.dropped.tolist(),
        circuit.error_shares.tolist(),
        _known(circuit.ablation_bits),
    )
    views = []
    for name, node, label, detail, influence, activation, probability, *rest in zip(
        *columns, strict=True
    ):
        dropped, errors, bits = rest
        is_card = bool(cards) and node.kind is NodeKind.FEATURE
        percentile = None
        if is_card and cards is not None and activation is not None and not circuit.neurons:
            percentile = cards.percentile(node.layer, node.feature, activation)
        views.append(
            NodeView(
                id=name,
                kind=str(node.kind),
                x=0.0,
                y=0.0,
                label=label,
                detail=detail,
                layer=node.layer,
                position=node.position,
                influence=influence,
                activation=activation,
                percentile=percentile,
                probability=probability,
                dropped=dropped,
                error_share=errors,
                card=card_key(node.layer, node.feature) if is_card else None,
                filled=circuit.neurons and activation is not None and activation > 0,
                ablation=bits,
            )
        )
    return views


def _known(values: Tensor) -> list[float | None]:
    """Return numbers, None where there is none."""
    return [None if value != value else value for value in values.tolist()]


def _group(
    circuit: Circuit, group: Supernode, rows: Sequence[int], strongest: NodeView, name: str
) -> NodeView:
    """Turn the description of a group's strongest member into that of the group."""
    return NodeView(
        id=name,
        kind="group",
        x=0.0,
        y=0.0,
        label=group_label(circuit, group, rows),
        detail=f"supernode of {describe_members(circuit, group.members)}",
        layer=strongest.layer,
        position=strongest.position,
        influence=float(circuit.influence[list(rows)].sum()),
        dropped=strongest.dropped,
        error_share=strongest.error_share,
        card=strongest.card,
        members=tuple(circuit.ids[row] for row in rows),
    )


def item_of(node: NodeView, n_layers: int, strength: float) -> Item:
    """Return what the grid needs: the row counted from the top, the size, the order."""
    row = n_layers - node.layer
    if node.members:
        return Item((row, node.position), TILE_WIDTH, strength)
    if node.kind == NodeKind.LOGIT:
        return Item((row, node.position), LOGIT_WIDTH, node.probability or 0.0)
    is_error = node.kind == NodeKind.ERROR
    return Item((row, node.position), GLYPH_WIDTH, -1.0 if is_error else strength)


def card_views(
    circuit: Circuit,
    tokenizer: Tokenizer,
    cards: FeatureCards,
    weights: GlobalWeights | None,
) -> dict[str, CardView]:
    """Return the cards of all features of a circuit, each once."""
    rows = circuit.rows_of(NodeKind.FEATURE)
    used = set(zip(circuit.layers[rows].tolist(), circuit.features[rows].tolist(), strict=True))
    return cards_of_features(used, tokenizer, cards, Partners(weights, cards) if weights else None)


def cards_of_features(
    used: Collection[tuple[int, int]],
    tokenizer: Tokenizer,
    cards: FeatureCards,
    partners: Partners | None = None,
) -> dict[str, CardView]:
    """Return the cards of some features, given by layer and number."""
    n_of_kind = EXAMPLES if len(used) <= MANY_CARDS else EXAMPLES_OF_MANY
    return {
        card_key(*feature): card_view(cards.card(*feature), tokenizer, n_of_kind, partners)
        for feature in sorted(used)
    }
