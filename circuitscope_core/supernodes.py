"""Grouping of a pruned graph's similar features, and the graph of the groups."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from torch import Tensor

from circuitscope_core.errors import ConfigError, GraphError
from circuitscope_core.graph import AttributionGraph, Node, NodeKind
from circuitscope_core.pruning import PrunedGraph

LIKENESSES = ("decoders", "role")
"""What makes features alike: the vectors that they write, or what they do in this graph."""


@runtime_checkable
class HasDecoders(Protocol):
    """What grouping asks of a transcoder."""

    def decoder_vectors(self, layer: int, features: Tensor) -> Tensor:
        """Return ``[n, n_layers, d_model]``: what each feature writes per activation, by layer."""


@dataclass(frozen=True)
class Supernode:
    """Features that are read as one: indices of graph nodes, and a name."""

    label: str
    members: tuple[int, ...]


@dataclass(frozen=True)
class Supernodes:
    """A partition of a pruned graph's features. Groups of one are features left alone.

    Groups made by hand may hold tokens, errors and outputs as well.
    """

    groups: tuple[Supernode, ...]

    @property
    def merged(self) -> tuple[Supernode, ...]:
        """The groups of two or more features."""
        return tuple(group for group in self.groups if len(group.members) > 1)

    def group(self, members: Iterable[int], label: str) -> "Supernodes":
        """Return the partition with ``members`` taken from their groups into one of their own.

        Raises:
            GraphError: If a member is in no group, so is no feature of the pruned graph.
        """
        wanted = set(members)
        known = {member for group in self.groups for member in group.members}
        if not wanted or wanted - known:
            strangers = sorted(wanted - known)
            raise GraphError(f"Nodes {strangers} are no kept features; choose features to group.")
        rest = [
            replace(group, members=tuple(m for m in group.members if m not in wanted))
            for group in self.groups
        ]
        grouped = Supernode(label, tuple(sorted(wanted)))
        return Supernodes(tuple(sorted_groups([*(g for g in rest if g.members), grouped])))

    def ungroup(self, index: int) -> "Supernodes":
        """Return the partition with one group split into single features."""
        single = [Supernode(self.groups[index].label, (m,)) for m in self.groups[index].members]
        rest = [group for number, group in enumerate(self.groups) if number != index]
        return Supernodes(tuple(sorted_groups([*rest, *single])))

    def rename(self, index: int, label: str) -> "Supernodes":
        """Return the partition with another name for one group."""
        groups = list(self.groups)
        groups[index] = replace(groups[index], label=label)
        return Supernodes(tuple(groups))


def group_by_hand(pruned: PrunedGraph, groups: Iterable[tuple[str, Iterable[int]]]) -> Supernodes:
    """Return the partition that a person chose: named groups, all other kept features alone.

    What pruning dropped is left out; a node that is named twice belongs to the first group.

    Args:
        pruned: The pruned graph.
        groups: Name and nodes of each group; an empty name stands for the members' own.
    """
    free = set(pruned.kept_nodes.tolist())
    chosen = []
    for label, nodes in groups:
        members = tuple(sorted(free & set(nodes)))
        free -= set(members)
        if members:
            chosen.append(Supernode(label or describe_members(pruned.graph, members), members))
    graph = pruned.graph
    alone = (
        Supernode(describe_members(graph, (node,)), (node,))
        for node in free
        if node < graph.n_features
    )
    return Supernodes(tuple(sorted_groups([*chosen, *alone])))


@dataclass(frozen=True)
class CollapsedGraph:
    """The pruned graph with each group merged into one node."""

    members: tuple[tuple[int, ...], ...]
    """Graph nodes behind each node; singles are nodes kept as they are."""
    labels: tuple[str, ...]
    """Names of the groups; empty for single nodes."""
    weights: Float[Tensor, "n_groups n_groups"]
    """Sum of the kept direct effects, row = target, column = source; the diagonal is 0."""
    shares: Float[Tensor, "n_groups n_groups"]
    """The same as a signed share of the target's input from outside its group, -1 to 1."""


def sorted_groups(groups: Sequence[Supernode]) -> list[Supernode]:
    """Order groups by their first member, so that equal partitions compare equal."""
    return sorted(groups, key=lambda group: group.members[0])


def decoder_similarity(
    vectors: Float[Tensor, "n n_layers d_model"], layers: Tensor
) -> Float[Tensor, "n n"]:
    """Return the cosine similarity of decoder vectors over the layers that both features write to.

    Args:
        vectors: What each feature writes, by output layer; 0 below its own layer.
        layers: Each feature's own layer, ``[n]``.
    """
    by_layer = torch.einsum("ild,jld->lij", vectors, vectors)
    squares = vectors.square().sum(dim=2).T  # [n_layers, n]
    shared = torch.maximum(layers[:, None], layers[None, :])
    n_layers = vectors.shape[1]
    counts = torch.arange(n_layers)[:, None, None] >= shared  # [n_layers, n, n]
    dots = (by_layer * counts).sum(dim=0)
    norms = (squares[:, :, None] * counts).sum(dim=0).sqrt()
    return dots / (norms * norms.T).clamp(min=1e-12)


def role_similarity(pruned: PrunedGraph, nodes: Tensor) -> Float[Tensor, "n n"]:
    """Return how alike kept nodes are in what feeds them and in what they feed.

    The mean of two cosines: of their inputs as signed shares of each node's kept input, and of
    their outputs as signed shares of each target's. 1 for nodes that do the same job.

    Args:
        pruned: The pruned graph.
        nodes: Indices of kept graph nodes, ``[n]``.
    """
    effects = pruned.kept_effects
    shares = effects / effects.abs().sum(dim=1, keepdim=True).clamp(min=1e-10)
    places = torch.searchsorted(pruned.kept_nodes, nodes)
    inputs = torch.nn.functional.normalize(shares[places], dim=1)
    outputs = torch.nn.functional.normalize(shares[:, places].T, dim=1)
    return (inputs @ inputs.T + outputs @ outputs.T) / 2


def complete_link(similarity: Float[Tensor, "n n"], similarity_threshold: float) -> list[list[int]]:
    """Split items so that every two of a group are more alike than the threshold."""
    n = len(similarity)
    if n < 2:
        return [[item] for item in range(n)]
    distance = (1 - similarity).clamp(min=0).double().numpy()
    distance = (distance + distance.T) / 2
    distance[range(n), range(n)] = 0
    tree = linkage(squareform(distance, checks=False), method="complete")
    names = fcluster(tree, t=1 - similarity_threshold, criterion="distance")
    groups: dict[int, list[int]] = {}
    for item, name in enumerate(names):
        groups.setdefault(int(name), []).append(item)
    return list(groups.values())


def cluster_features(
    pruned: PrunedGraph,
    transcoder: HasDecoders,
    similarity_threshold: float = 0.7,
    *,
    likeness: str = "decoders",
    across_positions: bool = False,
) -> Supernodes:
    """Group kept features that are alike: whose decoder vectors point the same way, as a rule.

    Complete-link: every two features of a group are that similar, so no chain joins unlike ones.

    Args:
        pruned: The pruned graph.
        transcoder: The transcoder that the graph was made with.
        similarity_threshold: Cosine similarity from which features join, -1 to 1.
        likeness: One of ``LIKENESSES``: of decoder vectors, or of what features do in this graph;
            see ``decoder_similarity`` and ``role_similarity``.
        across_positions: True also groups features at different tokens.

    Returns:
        A partition of the kept features.

    Raises:
        ConfigError: If the threshold is outside -1 to 1, or the likeness is none of the two.
    """
    if likeness not in LIKENESSES:
        raise ConfigError(f"likeness is {likeness!r}; it must be 'decoders' or 'role'.")
    if not -1 <= similarity_threshold <= 1:
        raise ConfigError(
            f"similarity_threshold is {similarity_threshold}; it must be from -1 to 1."
        )
    graph = pruned.graph
    kept = pruned.node_mask[graph.feature_nodes].nonzero()[:, 0]
    pools = [kept] if across_positions else _split_by_position(graph, kept)
    groups = []
    for pool in pools:
        if likeness == "role":
            similarity = role_similarity(pruned, pool)
        else:
            layers = graph.features[pool, 0]
            similarity = decoder_similarity(_gather_decoders(graph, transcoder, pool), layers)
        for items in complete_link(similarity, similarity_threshold):
            members = tuple(int(pool[item]) for item in items)
            groups.append(Supernode(describe_members(graph, members), members))
    return Supernodes(tuple(sorted_groups(groups)))


def describe_members(graph: AttributionGraph, members: Sequence[int]) -> str:
    """Name a group by its layers and tokens, for want of a better name."""
    nodes = [graph.node(member) for member in members]
    return describe_nodes(nodes, graph.token_texts, graph.n_layers)


def describe_nodes(nodes: Sequence[Node], token_texts: Sequence[str], n_layers: int) -> str:
    """Name nodes by their layers and tokens."""
    layers = sorted({node.layer for node in nodes})
    positions = sorted({node.position for node in nodes})
    names = [_row_name(layer, n_layers) for layer in (layers[0], layers[-1])]
    where = "-".join(dict.fromkeys(names))
    tokens = ", ".join(token_texts[position] for position in positions[:3])
    more = " …" if len(positions) > 3 else ""
    kind = "feature" if all(node.kind is NodeKind.FEATURE for node in nodes) else "node"
    count = f"{len(nodes)} {kind}s" if len(nodes) > 1 else kind
    return f"{count} at “{tokens}{more}” ({where})"


def _row_name(layer: int, n_layers: int) -> str:
    if layer < 0:
        return "tokens"
    return f"L{layer}" if layer < n_layers else "output"


def collapse_graph(pruned: PrunedGraph, supernodes: Supernodes) -> CollapsedGraph:
    """Merge every group of two or more into one node; all other kept nodes stay.

    Raises:
        GraphError: If a group has a node that the pruned graph lacks.
    """
    kept = pruned.kept_nodes.tolist()
    merged = supernodes.merged
    grouped = {member for group in merged for member in group.members}
    if strangers := sorted(grouped - set(kept)):
        raise GraphError(f"Nodes {strangers} are grouped but not kept; group again after pruning.")
    members = [group.members for group in merged]
    members += [(node,) for node in kept if node not in grouped]
    labels = tuple([group.label for group in merged] + [""] * (len(members) - len(merged)))
    place = {node: column for column, node in enumerate(kept)}
    groups = [[place[node] for node in nodes] for nodes in members]
    return CollapsedGraph(tuple(members), labels, *merge_effects(pruned.kept_effects, groups))


def merge_effects(
    effects: Float[Tensor, "n n"], groups: Sequence[Sequence[int]]
) -> tuple[Float[Tensor, "n_groups n_groups"], Float[Tensor, "n_groups n_groups"]]:
    """Return weights and shares between groups, of the direct effects between their members.

    Weights into a group are normalised by what reaches it from outside, so that edges inside the
    group take nothing away.

    Args:
        effects: Row = target, column = source.
        groups: Rows of each group; every row is in one.
    """
    group_of = torch.empty(len(effects), dtype=torch.long)
    for number, rows in enumerate(groups):
        group_of[list(rows)] = number

    def merge(values: Tensor) -> Tensor:
        by_target = values.new_zeros(len(groups), len(values)).index_add_(0, group_of, values)
        return values.new_zeros(len(groups), len(groups)).index_add_(1, group_of, by_target)

    weights = merge(effects).fill_diagonal_(0)
    incoming = merge(effects.abs()).fill_diagonal_(0).sum(dim=1, keepdim=True)
    return weights, weights / incoming.clamp(min=1e-10)


def _split_by_position(graph: AttributionGraph, nodes: Tensor) -> list[Tensor]:
    positions = graph.features[nodes, 1]
    return [nodes[positions == position] for position in positions.unique()]


def _gather_decoders(graph: AttributionGraph, transcoder: HasDecoders, nodes: Tensor) -> Tensor:
    """Return ``[n, n_layers, d_model]`` in the order of ``nodes``."""
    layers, _, numbers = graph.features[nodes].T
    rows: list[Tensor] = [
        transcoder.decoder_vectors(int(layer), number[None])[0]
        for layer, number in zip(layers, numbers, strict=True)
    ]
    return torch.stack(rows)
