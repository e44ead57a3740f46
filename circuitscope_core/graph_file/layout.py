"""A graph file as positions, names and numbers to draw: the picture that our own graphs get."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from circuitscope_core.feature_cards import show
from circuitscope_core.graph import NodeKind, signed_shares
from circuitscope_core.graph_file.model import FileGroup, FileNode, GraphFile
from circuitscope_core.pruning import propagate
from circuitscope_core.supernodes import describe_nodes, merge_effects
from circuitscope_core.view import Fact, GraphView, NodeView, PathView, Picture
from circuitscope_core.view.layout import N_PATHS, Axes, draw_picture, edges_of, item_of
from circuitscope_core.view.paths import describe_steps, digraph, step_name, strongest_ways
from circuitscope_core.view.text import name_node, place_node, token_label

LONGEST_LABEL, LONGEST_TOKEN = 300, 60
"""Characters that are drawn; files may hold labels of any length."""
OUTPUT_LABEL = re.compile(r'Output "(.*)" \(p=[^()]*\)', re.DOTALL)


@dataclass(frozen=True)
class _Effects:
    """The file's links as matrices, row = target, column = source, and what follows from them."""

    weights: Tensor
    shares: Tensor
    influence: Tensor
    error_shares: Tensor

    @classmethod
    def of(cls, file: GraphFile) -> "_Effects":
        n = len(file.nodes)
        weights = torch.zeros(n, n)
        rows = [(link.target, link.source, link.weight) for link in file.links]
        if rows:
            targets, sources, values = map(list, zip(*rows, strict=True))
            weights[targets, sources] = torch.tensor(values)
        shares = signed_shares(weights)
        is_error = torch.tensor([item.node.kind is NodeKind.ERROR for item in file.nodes])
        layers = torch.tensor([item.node.layer for item in file.nodes])
        outputs = torch.tensor([item.probability or 0.0 for item in file.nodes])
        errors = shares[:, is_error].abs().sum(dim=1)
        return cls(weights, shares, propagate(layers, outputs, weights), errors)


def layout_graph_file(file: GraphFile) -> GraphView:
    """Lay a graph file out as ``layout_graph`` does: x is the token, y the layer, outputs on top.

    Influence, shares and strongest paths are computed from the file's links, by the rules of our
    own graphs. What pruning left out is not in the file, so they are shares of what it holds.
    There are no feature cards.
    """
    effects = _Effects.of(file)
    texts = tuple(_shorten(text, LONGEST_TOKEN) for text in file.token_texts)
    axes = Axes(file.n_layers, tuple(map(token_label, texts)))
    nodes = [
        _view(item, texts[item.node.position], effects, place)
        for place, item in enumerate(file.nodes)
    ]
    items = [item_of(node, file.n_layers, node.influence) for node in nodes]
    edges = edges_of(effects.weights, effects.shares)
    groups = [_group(file, group, nodes, texts) for group in file.groups]
    return GraphView(
        prompt=file.prompt,
        full=draw_picture(axes, nodes, items, edges, tiles=False),
        groups=_group_picture(axes, effects, nodes, groups) if groups else None,
        cards={},
        paths=_paths(file, effects, nodes),
        facts=_facts(file, nodes),
    )


def _view(item: FileNode, token_text: str, effects: _Effects, place: int) -> NodeView:
    """Describe one node; its place in the picture comes later."""
    node = item.node
    is_token = node.kind is NodeKind.LOGIT and node.feature >= 0
    return NodeView(
        id=item.id,
        kind=str(node.kind),
        x=0.0,
        y=0.0,
        label=_label(item, token_text),
        detail=place_node(node, token_text),
        layer=node.layer,
        position=node.position,
        influence=float(effects.influence[place]),
        activation=item.activation if node.kind is NodeKind.FEATURE else None,
        probability=item.probability if is_token else None,
        error_share=float(effects.error_shares[place]),
    )


def _label(item: FileNode, token_text: str) -> str:
    node = item.node
    if node.kind is not NodeKind.LOGIT:
        label = item.label or ("" if node.feature >= 0 else item.id)
        return name_node(node, token_text, _shorten(label, LONGEST_LABEL))
    written = OUTPUT_LABEL.fullmatch(item.label)
    text = show(_shorten(written[1] if written else item.label or item.id, LONGEST_LABEL))
    return f"“{text}”" if written and node.feature >= 0 else text


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


@dataclass(frozen=True)
class _Group:
    """A supernode's tile, the places of its members, and the influence it is ordered by."""

    tile: NodeView
    members: tuple[int, ...]
    influence: float


def _group(
    file: GraphFile, group: FileGroup, nodes: Sequence[NodeView], texts: Sequence[str]
) -> _Group:
    """Describe a supernode by its strongest member and its name."""
    members = [nodes[place] for place in group.members]
    strongest = max(members, key=lambda node: node.influence)
    parts = [file.nodes[place].node for place in group.members]
    described = describe_nodes(parts, texts, file.n_layers)
    tile = replace(
        strongest,
        id=_group_id(file.groups.index(group), nodes),
        kind="group",
        label=_shorten(group.label, LONGEST_LABEL) or described,
        detail=f"supernode of {described}",
        influence=sum(node.influence for node in members),
        activation=None,
        probability=None,
        members=tuple(node.id for node in members),
    )
    return _Group(tile, group.members, strongest.influence)


def _group_id(number: int, nodes: Sequence[NodeView]) -> str:
    """Return a group's id, which no node of the file has."""
    name = f"group_{number}"
    while any(node.id == name for node in nodes):
        name += "_"
    return name


def _group_picture(
    axes: Axes, effects: _Effects, nodes: Sequence[NodeView], groups: Sequence[_Group]
) -> Picture:
    """Draw groups and single features as named tiles, all else as glyphs."""
    grouped = {place for group in groups for place in group.members}
    drawn = list(groups)
    for place, node in enumerate(nodes):
        if place not in grouped:
            members = (node.id,) if node.kind == NodeKind.FEATURE else ()
            drawn.append(_Group(replace(node, members=members), (place,), node.influence))
    items = [item_of(group.tile, axes.n_layers, group.influence) for group in drawn]
    merged = merge_effects(effects.weights, [group.members for group in drawn])
    tiles = [group.tile for group in drawn]
    return draw_picture(axes, tiles, items, edges_of(*merged), tiles=True)


def _paths(file: GraphFile, effects: _Effects, nodes: Sequence[NodeView]) -> tuple[PathView, ...]:
    graph = digraph(effects.weights, effects.shares, torch.arange(len(nodes)))
    starts = [place for place, node in enumerate(nodes) if node.kind == NodeKind.TOKEN]
    ends = {place: item.probability or 0.0 for place, item in enumerate(file.nodes)}
    paths = []
    for way in strongest_ways(graph, starts, ends, N_PATHS):
        names = [step_name(file.nodes[place].node, nodes[place].label) for place in way.nodes]
        shares = [
            float(effects.shares[target, source])
            for source, target in zip(way.nodes, way.nodes[1:], strict=False)
        ]
        ids = tuple(nodes[place].id for place in way.nodes)
        paths.append(PathView(ids, way.strength, describe_steps(names, shares)))
    return tuple(paths)


def _facts(file: GraphFile, nodes: Sequence[NodeView]) -> tuple[Fact, ...]:
    """Return what the file holds, and how far its numbers reach."""
    outputs = [node for node in nodes if node.kind == NodeKind.LOGIT]
    best = max(outputs, key=lambda node: node.probability or 0.0)
    chance = f" {best.probability:.1%}" if best.probability is not None else ""
    counts = [
        f"{file.count(kind):,} {name}"
        for kind, name in (
            (NodeKind.FEATURE, "features"),
            (NodeKind.ERROR, "errors"),
            (NodeKind.TOKEN, "tokens"),
            (NodeKind.LOGIT, "outputs"),
        )
    ]
    facts = [
        Fact("Output", best.label + chance, "The most likely output, as the file has it."),
        Fact("Nodes", f"{len(nodes):,}", f"The file holds {', '.join(counts)}."),
        Fact(
            "Links",
            f"{len(file.links):,}",
            "Shares, influence and paths are computed from these alone: what was pruned before "
            "the file was written is not in it.",
        ),
        _influence_fact(file),
    ]
    if file.groups:
        n_grouped = sum(len(group.members) for group in file.groups)
        facts.append(
            Fact("Supernodes", f"{len(file.groups)} of {n_grouped} nodes", "Named in the file.")
        )
    if file.generator:
        made_by = _shorten(file.generator, LONGEST_TOKEN)
        facts.append(Fact("Made by", made_by, "The program that wrote the file, by its own words."))
    return tuple(facts)


def _influence_fact(file: GraphFile) -> Fact:
    """Say what the file's own cumulative numbers tell of what was left out."""
    if not any(item.probability for item in file.nodes):
        return Fact(
            "Influence",
            "unknown",
            "The file gives its outputs no probabilities (token_prob), so nothing can be weighted "
            "by them.",
        )
    inner = (NodeKind.FEATURE, NodeKind.ERROR)
    reached = [item.reached for item in file.nodes if item.node.kind in inner]
    known = [value for value in reached if value is not None]
    if not known:
        return Fact("Influence", "of the file’s links", "The file has no numbers of its own.")
    return Fact(
        "Influence",
        f"{max(known):.0%} of the whole graph’s",
        "By the file’s own numbers its features and errors, with all nodes stronger than the "
        "weakest of them, hold this share of the influence before pruning. A node’s own influence "
        "is computed from the file’s links.",
    )
