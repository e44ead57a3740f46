"""A pruned graph as positions, names and numbers to draw."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.circuit import Circuit, CircuitEdges, Kept, circuit_of, place_of
from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.global_weights import GlobalWeights
from circuitscope_core.graph import NodeKind
from circuitscope_core.pruning import PrunedGraph
from circuitscope_core.supernodes import Supernode, Supernodes, collapse_graph, describe_members
from circuitscope_core.tokenizer import Tokenizer, token_label
from circuitscope_core.view.card_views import Partners, card_key, card_view
from circuitscope_core.view.columns import Axes, Edges, axes_of, edges_of, into_columns
from circuitscope_core.view.facts import facts_of
from circuitscope_core.view.graph_view import (
    CardView,
    GraphView,
    NodeView,
    PathView,
    Picture,
    Story,
)
from circuitscope_core.view.grid import Item, Spacing, arrange_compactly, spread
from circuitscope_core.view.paths import strongest_paths
from circuitscope_core.view.text import group_label, strongest_row
from circuitscope_core.view.words import FOLDED, Folding, Word, folded_words, tokens_of_words

MANY_CARDS = 300
"""Drawings with more features carry fewer examples of each."""
EXAMPLES, EXAMPLES_OF_MANY = {"top": 8, "middle": 3, "low": 3}, {"top": 4}
N_PATHS = 5
GLYPH_WIDTH, LOGIT_WIDTH, TILE_WIDTH = 15.0, 19.0, 104.0
GLYPHS = Spacing(longest_line=8 * GLYPH_WIDTH, line_height=17.0)
TILES = Spacing(longest_line=9 * TILE_WIDTH, line_height=40.0, least_column=20.0)


@dataclass(frozen=True)
class Extras:
    """Additions of a layout to a circuit's own nodes and edges."""

    story: Story | None = None
    """The story from ``tell_story``; the canvas opens with it."""
    folding: Folding = FOLDED


@checked
def layout_graph(
    kept: Kept,
    tokenizer: Tokenizer,
    cards: FeatureCards | None = None,
    supernodes: Supernodes | None = None,
    weights: GlobalWeights | None = None,
    extras: Extras = Extras(),  # a frozen value
) -> GraphView:
    """Lay a circuit out: x is the token, y the layer, outputs at the top.

    Args:
        kept: The circuit, or the pruned graph or trace that has it.
        tokenizer: Turns the cards' token ids into text.
        cards: Texts that the features respond to; without them features have numbers only.
        supernodes: Adds a second picture with these groups merged.
        weights: Adds to each card the features that it works with over the corpus.
        extras: The graph's story, and how the tokens of words are folded.

    Raises:
        GraphError: If a group has a node that the pruned graph lacks.
    """
    circuit, pruned = circuit_of(kept, cards), getattr(kept, "pruned", kept)
    return GraphView(
        prompt=circuit.prompt,
        full=full_picture(circuit, cards, extras.folding),
        groups=group_picture(circuit, cards, supernodes, extras.folding) if supernodes else None,
        cards=card_views(circuit, tokenizer, cards, weights) if cards else {},
        paths=path_views(circuit),
        facts=facts_of(pruned, supernodes) if isinstance(pruned, PrunedGraph) else (),
        neurons=circuit.neurons,
        story=extras.story,
        n_words=len(folded_words(circuit, Folding(by_words=True))),
    )


def path_views(circuit: Circuit) -> tuple[PathView, ...]:
    """Return the strongest paths of a circuit."""
    paths = strongest_paths(circuit, N_PATHS)
    return tuple(PathView(path.node_ids, path.strength, path.text) for path in paths)


def full_picture(
    circuit: Circuit, cards: FeatureCards | None = None, folding: Folding = FOLDED
) -> Picture:
    """Draw every node as a glyph, the tokens of a word that is folded as one."""
    words = folded_words(circuit, folding)
    none = Supernodes(())
    return draw_parts(circuit, cards, none, words, tiles=False)


def group_picture(
    circuit: Circuit,
    cards: FeatureCards | None,
    supernodes: Supernodes,
    folding: Folding = FOLDED,
) -> Picture:
    """Draw groups and single features as named tiles, all else as glyphs."""
    words = folded_words(circuit, folding)
    return draw_parts(circuit, cards, supernodes, words, tiles=True)


def draw_parts(
    circuit: Circuit,
    cards: FeatureCards | None,
    supernodes: Supernodes,
    words: Sequence[Word],
    *,
    tiles: bool,
) -> Picture:
    """Draw a circuit with groups and the tokens of words merged, their edges summed exactly."""
    groups = [*supernodes.merged, *tokens_of_words(circuit, words, supernodes)]
    n_groups = len(supernodes.merged)
    all_rows, edges = merged_parts(circuit, groups)
    single = node_views(circuit, cards)
    taken = set(circuit.ids)
    nodes, items = [], []
    for number, rows in enumerate(all_rows):
        strongest = strongest_row(circuit, rows)
        node = single[strongest]
        if number < n_groups:
            node = _group(circuit, groups[number], rows, node, _free_id(f"group_{number}", taken))
        elif number < len(groups):
            name = _free_id(f"word_{circuit.node(rows[0]).position}", taken)
            node = _word(circuit, groups[number].label, rows, node, name)
        elif tiles and node.kind == NodeKind.FEATURE:
            node = replace(node, members=(node.id,))
        nodes.append(node)
        items.append(item_of(node, circuit.n_layers, float(circuit.strength[strongest])))
    axes = axes_of(circuit, words)
    return draw_picture(axes, nodes, items, edges_of(edges), tiles=tiles)


def merged_parts(
    circuit: Circuit, groups: Sequence[Supernode]
) -> tuple[Sequence[Sequence[int]], CircuitEdges]:
    """Return the rows behind each node of a picture, those of groups first, and its edges."""
    if not groups:
        return [(row,) for row in range(len(circuit))], circuit.edges
    collapsed = collapse_graph(circuit, Supernodes(tuple(groups)))
    return collapsed.rows, collapsed.edges


def _word(
    circuit: Circuit, text: str, rows: Sequence[int], strongest: NodeView, name: str
) -> NodeView:
    """Turn the description of a word's strongest token into that of the word."""
    positions = [circuit.node(row).position for row in rows]
    return replace(
        strongest,
        id=name,
        label=f"“{text}”",
        detail=f"word of {len(rows)} tokens, {min(positions)} to {max(positions)}",
        position=min(positions),
        influence=float(circuit.influence[list(rows)].sum()),
        members=tuple(circuit.ids[row] for row in rows),
        folded=True,
    )


def _free_id(name: str, taken: Collection[str]) -> str:
    """Return a name that no node of the circuit has: a file may name its nodes anyhow."""
    while name in taken:
        name += "_"
    return name


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
    nodes, items, edges = into_columns(axes, nodes, items, edges)
    grid = place(items, axes.rows, axes.columns, spacing)
    placed = tuple(
        replace(node, x=x, y=y) for node, (x, y) in zip(nodes, grid.positions, strict=True)
    )
    return Picture(placed, edges.drawn, edges.n_left_out, edges.others, grid.rows, grid.columns)


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
    if node.members and not node.folded:
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
