"""A pruned graph as positions, names and numbers to draw."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.global_weights import GlobalWeights
from circuitscope_core.glossary import FIGURES
from circuitscope_core.graph import AttributionGraph, NodeKind
from circuitscope_core.pruning import PrunedGraph, graph_scores, kept_shares
from circuitscope_core.supernodes import Supernodes, collapse_graph, describe_members
from circuitscope_core.tokenizer import Tokenizer
from circuitscope_core.view.cards import Partners, card_key, card_view
from circuitscope_core.view.grid import Item, Spacing, arrange_compactly, spread
from circuitscope_core.view.model import (
    CardView,
    EdgeView,
    Fact,
    GraphView,
    NodeView,
    PathView,
    Picture,
)
from circuitscope_core.view.paths import strongest_paths
from circuitscope_core.view.text import (
    card_of,
    group_label,
    node_detail,
    node_id,
    node_label,
    output_label,
    token_label,
)

MAX_DRAWN_EDGES = 12_000
"""More make a drawing slow and grey; the weakest shares are left out, and counted."""
MANY_CARDS = 300
"""Drawings with more features carry fewer examples of each."""
EXAMPLES, EXAMPLES_OF_MANY = {"top": 8, "middle": 3, "low": 3}, {"top": 4}
N_PATHS = 5
GLYPH_WIDTH, LOGIT_WIDTH, TILE_WIDTH = 15.0, 19.0, 104.0
Edges = tuple[tuple[EdgeView, ...], int]
"""Edges by rising share, and how many of the weakest were left out."""
GLYPHS = Spacing(longest_line=8 * GLYPH_WIDTH, line_height=17.0)
TILES = Spacing(longest_line=9 * TILE_WIDTH, line_height=40.0, least_column=20.0)


@dataclass(frozen=True)
class Axes:
    """What a picture's rows and columns stand for."""

    n_layers: int
    columns: tuple[str, ...]

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of the rows, from the top."""
        return ("Output", *(f"L{layer}" for layer in reversed(range(self.n_layers))), "Token")


@dataclass(frozen=True)
class _Inputs:
    """What each kept node's input consists of, by its index in the graph."""

    dropped: dict[int, float]
    error_share: dict[int, float]

    @classmethod
    def of(cls, pruned: PrunedGraph) -> "_Inputs":
        graph = pruned.graph
        nodes, kept = pruned.kept_nodes, pruned.kept_effects.abs()
        total = graph.adjacency[nodes].abs_().sum(dim=1)
        held = kept.sum(dim=1)
        dropped = torch.where(total > 0, 1 - held / total.clamp(min=1e-10), torch.zeros(()))
        is_error = (nodes >= graph.error_nodes.start) & (nodes < graph.error_nodes.stop)
        errors = kept[:, is_error].sum(dim=1) / held.clamp(min=1e-10)
        names = nodes.tolist()
        return cls(
            dict(zip(names, dropped.clamp(min=0).tolist(), strict=True)),
            dict(zip(names, errors.tolist(), strict=True)),
        )


def layout_graph(
    pruned: PrunedGraph,
    tokenizer: Tokenizer,
    cards: FeatureCards | None = None,
    supernodes: Supernodes | None = None,
    weights: GlobalWeights | None = None,
) -> GraphView:
    """Lay a pruned graph out: x is the token, y the layer, outputs at the top.

    Args:
        pruned: The pruned graph.
        tokenizer: Turns the cards' token ids into text.
        cards: What the features respond to; without them features have numbers only.
        supernodes: Adds a second picture with these groups merged.
        weights: Adds to each card what the feature works with over the corpus.

    Raises:
        GraphError: If a group has a node that the pruned graph lacks.
    """
    paths = strongest_paths(pruned, N_PATHS, cards=cards)
    return GraphView(
        prompt=pruned.graph.prompt,
        full=full_picture(pruned, cards),
        groups=group_picture(pruned, cards, supernodes) if supernodes else None,
        cards=card_views(pruned, tokenizer, cards, weights) if cards else {},
        paths=tuple(PathView(path.node_ids, path.strength, path.text) for path in paths),
        facts=facts_of(pruned, supernodes),
    )


def full_picture(pruned: PrunedGraph, cards: FeatureCards | None) -> Picture:
    """Draw every kept node as a glyph."""
    graph = pruned.graph
    kept = pruned.kept_nodes.tolist()
    inputs = _Inputs.of(pruned)
    influence = pruned.node_influence.tolist()
    nodes = [_single(pruned, index, cards, inputs) for index in kept]
    items = [
        item_of(node, graph.n_layers, influence[index])
        for node, index in zip(nodes, kept, strict=True)
    ]
    effects = (pruned.kept_effects, kept_shares(pruned))
    return draw_picture(axes_of(graph), nodes, items, edges_of(*effects), tiles=False)


def group_picture(
    pruned: PrunedGraph, cards: FeatureCards | None, supernodes: Supernodes
) -> Picture:
    """Draw groups and single features as named tiles, all else as glyphs."""
    graph = pruned.graph
    collapsed = collapse_graph(pruned, supernodes)
    groups = {group.members: group for group in supernodes.merged}
    influence = pruned.node_influence.tolist()
    inputs = _Inputs.of(pruned)
    nodes, items = [], []
    for number, members in enumerate(collapsed.members):
        strongest = max(members, key=lambda member: (influence[member], -member))
        node = _single(pruned, strongest, cards, inputs)
        if members in groups:
            label = group_label(graph, groups[members], cards, influence)
            node = _group(pruned, members, node, f"group_{number}", label)
        elif node.kind == NodeKind.FEATURE:
            node = NodeView(**{**vars(node), "members": (node.id,)})
        nodes.append(node)
        items.append(item_of(node, graph.n_layers, influence[strongest]))
    edges = edges_of(collapsed.weights, collapsed.shares)
    return draw_picture(axes_of(graph), nodes, items, edges, tiles=True)


def axes_of(graph: AttributionGraph) -> Axes:
    """Return the layers and tokens of one graph."""
    return Axes(graph.n_layers, tuple(token_label(text) for text in graph.token_texts))


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
    grid = place(items, axes.rows, axes.columns, spacing)
    placed = (
        NodeView(**{**vars(node), "x": x, "y": y})
        for node, (x, y) in zip(nodes, grid.positions, strict=True)
    )
    return Picture(tuple(placed), *edges, grid.rows, grid.columns)


def edges_of(weights: Tensor, shares: Tensor) -> Edges:
    """Return the effects that are not 0; row = target, column = source, as places in a picture."""
    targets, sources = weights.nonzero(as_tuple=True)
    return rank_edges(sources, targets, weights[targets, sources], shares[targets, sources])


def rank_edges(sources: Tensor, targets: Tensor, weights: Tensor, shares: Tensor) -> Edges:
    """Return edges by rising share, and how many of the weakest were left out."""
    order = shares.abs().argsort(stable=True)[max(0, len(shares) - MAX_DRAWN_EDGES) :]
    columns = (column[order].tolist() for column in (sources, targets, weights, shares))
    edges = tuple(EdgeView(*row) for row in zip(*columns, strict=True))
    return edges, len(shares) - len(edges)


def _single(
    pruned: PrunedGraph, index: int, cards: FeatureCards | None, inputs: _Inputs
) -> NodeView:
    """Describe one graph node; its place comes later."""
    graph = pruned.graph
    node = graph.node(index)
    card = card_of(graph, index, cards)
    is_feature = node.kind is NodeKind.FEATURE
    activation = float(graph.activations[index]) if is_feature else None
    rank = index - graph.logit_nodes.start
    return NodeView(
        id=node_id(graph, index),
        kind=str(node.kind),
        x=0.0,
        y=0.0,
        label=node_label(graph, index, cards),
        detail=node_detail(graph, index),
        layer=node.layer,
        position=node.position,
        influence=float(pruned.node_influence[index]),
        activation=activation,
        percentile=card.percentile(activation) if card and activation is not None else None,
        probability=_probability(graph, rank),
        dropped=inputs.dropped[index],
        error_share=inputs.error_share[index],
        card=card_key(node.layer, node.feature) if card else None,
    )


def _group(
    pruned: PrunedGraph, members: tuple[int, ...], strongest: NodeView, name: str, label: str
) -> NodeView:
    """Turn the description of a group's strongest member into that of the group."""
    graph = pruned.graph
    return NodeView(
        id=name,
        kind="group",
        x=0.0,
        y=0.0,
        label=label,
        detail=f"supernode of {describe_members(graph, members)}",
        layer=strongest.layer,
        position=strongest.position,
        influence=float(pruned.node_influence[list(members)].sum()),
        dropped=strongest.dropped,
        error_share=strongest.error_share,
        card=strongest.card,
        members=tuple(node_id(graph, member) for member in members),
    )


def item_of(node: NodeView, n_layers: int, influence: float) -> Item:
    """Return what the grid needs: the row counted from the top, the size, the order."""
    row = n_layers - node.layer
    if node.members:
        return Item((row, node.position), TILE_WIDTH, influence)
    if node.kind == NodeKind.LOGIT:
        return Item((row, node.position), LOGIT_WIDTH, node.probability or 0.0)
    is_error = node.kind == NodeKind.ERROR
    return Item((row, node.position), GLYPH_WIDTH, -1.0 if is_error else influence)


def card_views(
    pruned: PrunedGraph,
    tokenizer: Tokenizer,
    cards: FeatureCards,
    weights: GlobalWeights | None,
) -> dict[str, CardView]:
    """Return the cards of all kept features, each once."""
    graph = pruned.graph
    kept = pruned.node_mask[graph.feature_nodes]
    used = {(layer, feature) for layer, _, feature in graph.features[kept].tolist()}
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


def _probability(graph: AttributionGraph, rank: int) -> float | None:
    """Return an output token's probability; None for other nodes and what is no single token."""
    if rank < 0 or int(graph.logit_token_ids[rank]) < 0:
        return None
    return float(graph.logit_probabilities[rank])


def _score(key: str, value: float) -> Fact:
    figure = FIGURES[key]
    return Fact(figure.name, figure.write(value), figure.meaning)


def facts_of(pruned: PrunedGraph, supernodes: Supernodes | None) -> tuple[Fact, ...]:
    """Return the numbers that say how far to trust the picture."""
    graph = pruned.graph
    scores = graph_scores(graph)
    best, probability = output_label(graph, 0), _probability(graph, 0)
    meaning = "What the graph explains."
    if probability is not None:
        best = f"{best} {probability:.1%}"
        meaning = "The first output node and its probability in the model."
    facts = [
        Fact("Output", best, meaning),
        _score("replacement_score", scores.replacement),
        _score("completeness_score", scores.completeness),
        Fact(
            "Nodes kept",
            f"{pruned.n_nodes:,} of {graph.n_nodes:,}",
            f"Those that carry {pruned.config.node_threshold:.0%} of the influence; tokens and "
            "outputs always stay.",
        ),
        Fact(
            "Edges kept",
            f"{pruned.n_edges:,} of {graph.n_edges:,}",
            f"Those that carry {pruned.config.edge_threshold:.0%} of the influence on edges.",
        ),
    ]
    if supernodes:
        n_grouped = sum(len(group.members) for group in supernodes.merged)
        value = f"{len(supernodes.merged)} of {n_grouped} features" if n_grouped else "none"
        facts.append(Fact("Supernodes", value, "Groups of features that write the same way."))
    return tuple(facts)
