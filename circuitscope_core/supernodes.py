"""Grouping of a pruned graph's similar features, and the graph of the groups."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol, get_args, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.circuit import Circuit, CircuitEdges, Kept, circuit_of, describe_nodes
from circuitscope_core.config import Likeness
from circuitscope_core.cores import one_core
from circuitscope_core.errors import ConfigError, GraphError
from circuitscope_core.graph import NodeKind
from circuitscope_core.values import one_line

LIKENESSES: tuple[Likeness, ...] = get_args(Likeness)


@runtime_checkable
class HasDecoders(Protocol):
    """The part of a transcoder that grouping needs."""

    def decoder_vectors(self, layer: int, features: Tensor) -> Tensor:
        """Return ``[n, n_layers, d_model]``: what each feature writes per activation, by layer."""


@dataclass(frozen=True)
class Supernode:
    """Features that are read as one: indices of graph nodes, and a name."""

    label: str
    members: tuple[int, ...]


@one_line
@dataclass(frozen=True)
class Supernodes:
    """A partition of a pruned graph's features. Groups of one are features left alone.

    Groups made by hand may hold tokens, errors and outputs as well.
    """

    groups: tuple[Supernode, ...]
    likeness: str | None = field(default=None, compare=False)
    """The property that the groups were suggested by; None where a person made them."""

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


@checked
def group_by_hand(kept: Kept, groups: Iterable[tuple[str, Iterable[int]]]) -> Supernodes:
    """Return the partition that a person chose: named groups, all other kept features alone.

    Nodes that pruning dropped are left out; a node that is named twice belongs to the first group.

    Args:
        kept: The pruned graph or its circuit.
        groups: Name and nodes of each group; an empty name stands for the members' own.
    """
    circuit = circuit_of(kept)
    free = set(circuit.row_of)
    chosen = []
    for label, nodes in groups:
        members = tuple(sorted(free & set(nodes)))
        free -= set(members)
        if members:
            chosen.append(Supernode(label or describe_members(circuit, members), members))
    features = set(circuit.index[circuit.are(NodeKind.FEATURE)].tolist())
    alone = (Supernode(describe_members(circuit, (node,)), (node,)) for node in free & features)
    return Supernodes(tuple(sorted_groups([*chosen, *alone])))


@one_line
@dataclass(frozen=True, eq=False)
class CollapsedGraph:
    """A circuit with each group merged into one node."""

    members: tuple[tuple[int, ...], ...]
    """Graph nodes behind each node; singles are nodes kept as they are."""
    rows: tuple[tuple[int, ...], ...]
    """The same as rows of the circuit."""
    labels: tuple[str, ...]
    """Names of the groups; empty for single nodes."""
    edges: CircuitEdges
    """Sums of the kept direct effects between groups. Shares are of the target's input from outside
    its group: edges inside a group take nothing away."""

    @cached_property
    def weights(self) -> Float[Tensor, "n_groups n_groups"]:
        """The edges' weights as a matrix, row = target, column = source."""
        return self._matrix(self.edges.weights)

    @cached_property
    def shares(self) -> Float[Tensor, "n_groups n_groups"]:
        """The edges' shares likewise."""
        return self._matrix(self.edges.shares)

    def _matrix(self, values: Tensor) -> Tensor:
        n = len(self.members)
        matrix = values.new_zeros(n, n)
        matrix[self.edges.targets, self.edges.sources] = values
        return matrix


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
    every = torch.arange(n_layers, device=layers.device)
    counts = every[:, None, None] >= shared  # [n_layers, n, n]
    dots = (by_layer * counts).sum(dim=0)
    norms = (squares[:, :, None] * counts).sum(dim=0).sqrt()
    return dots / (norms * norms.T).clamp(min=1e-12)


def role_similarity(circuit: Circuit, rows: Tensor) -> Float[Tensor, "n n"]:
    """Return how alike nodes are in their inputs and in their outputs.

    The mean of two cosines: of their inputs as signed shares of each node's kept input, and of
    their outputs as signed shares of each target's. 1 for nodes that do the same job.

    Args:
        circuit: The circuit.
        rows: Rows of its table, ``[n]``.
    """
    edges, n = circuit.edges, len(rows)
    place = torch.full_like(circuit.index, -1)
    place[rows] = torch.arange(n, device=rows.device)
    sides = []
    for near, far in ((edges.targets, edges.sources), (edges.sources, edges.targets)):
        at = place[near] >= 0
        vectors = edges.shares.new_zeros(n, len(circuit))
        vectors[place[near[at]], far[at]] = edges.shares[at]
        sides.append(torch.nn.functional.normalize(vectors, dim=1))
    inputs, outputs = sides
    return (inputs @ inputs.T + outputs @ outputs.T) / 2


def complete_link(similarity: Float[Tensor, "n n"], similarity_threshold: float) -> list[list[int]]:
    """Split items so that every two of a group are more alike than the threshold."""
    n = len(similarity)
    if n < 2:
        return [[item] for item in range(n)]
    distance = (1 - similarity).clamp(min=0).double().numpy()
    distance = (distance + distance.T) / 2
    distance[range(n), range(n)] = 0
    from scipy.cluster.hierarchy import fcluster, linkage  # slow to import
    from scipy.spatial.distance import squareform

    tree = linkage(squareform(distance, checks=False), method="complete")
    names = fcluster(tree, t=1 - similarity_threshold, criterion="distance")
    groups: dict[int, list[int]] = {}
    for item, name in enumerate(names):
        groups.setdefault(int(name), []).append(item)
    return list(groups.values())


@checked
@one_core()
def cluster_features(
    kept: Kept,
    transcoder: HasDecoders | None = None,
    similarity_threshold: float = 0.7,
    *,
    likeness: str = "decoders",
    across_positions: bool = False,
) -> Supernodes:
    """Group kept features that are alike.

    Complete-link: every two features of a group are that similar, so no chain joins unlike ones.

    Args:
        kept: The pruned graph or its circuit.
        transcoder: The transcoder that the graph was made with; for ``role`` none is needed.
        similarity_threshold: Cosine similarity from which features join, -1 to 1.
        likeness: ``role``: features alike in their inputs and outputs in this graph, see
            ``role_similarity``; ``decoders``: features whose decoder vectors point the same way,
            see ``decoder_similarity``.
        across_positions: True also groups features at different tokens.

    Returns:
        A partition of the kept features.

    Raises:
        ConfigError: If the threshold is outside -1 to 1, the likeness is none of the two, or
            decoders are to be compared and there is no transcoder.
    """
    if likeness not in LIKENESSES:
        raise ConfigError(f"likeness is {likeness!r}; it must be 'decoders' or 'role'.")
    if not -1 <= similarity_threshold <= 1:
        raise ConfigError(
            f"similarity_threshold is {similarity_threshold}; it must be from -1 to 1."
        )
    if transcoder is None and likeness != "role":
        raise ConfigError("Decoder vectors are the transcoder's; give it, or likeness='role'.")
    circuit = circuit_of(kept)
    features = circuit.rows_of(NodeKind.FEATURE)
    pools = [features] if across_positions else _split_by_position(circuit, features)
    groups = []
    for pool in pools:
        if transcoder is None or likeness == "role":
            similarity = role_similarity(circuit, pool)
        else:
            vectors = _gather_decoders(circuit, transcoder, pool)
            similarity = decoder_similarity(vectors, circuit.layers[pool])
        for items in complete_link(similarity, similarity_threshold):
            members = tuple(circuit.index[pool[items]].tolist())
            groups.append(Supernode(describe_members(circuit, members), members))
    return Supernodes(tuple(sorted_groups(groups)), likeness)


def describe_members(circuit: Circuit, members: Sequence[int]) -> str:
    """Name a group by its layers and tokens, for want of a better name."""
    nodes = [circuit.node(circuit.row_of[member]) for member in members]
    word = "neuron" if circuit.neurons else "feature"
    return describe_nodes(nodes, circuit.token_texts, circuit.n_layers, word)


@checked
def collapse_graph(kept: Kept, supernodes: Supernodes) -> CollapsedGraph:
    """Merge every group of two or more into one node; all other kept nodes stay.

    Raises:
        GraphError: If a group has a node that the pruned graph lacks.
    """
    circuit = circuit_of(kept)
    merged = supernodes.merged
    grouped = {member for group in merged for member in group.members}
    if strangers := sorted(grouped - set(circuit.row_of)):
        raise GraphError(f"Nodes {strangers} are grouped but not kept; group again after pruning.")
    members = [group.members for group in merged]
    members += [(node,) for node in circuit.index.tolist() if node not in grouped]
    labels = tuple([group.label for group in merged] + [""] * (len(members) - len(merged)))
    rows = tuple(tuple(circuit.row_of[node] for node in nodes) for nodes in members)
    return CollapsedGraph(tuple(members), rows, labels, merge_edges(circuit.edges, rows))


def merge_edges(edges: CircuitEdges, groups: Sequence[Sequence[int]]) -> CircuitEdges:
    """Return the edges between groups: sums of the direct effects between their members.

    Args:
        edges: Between rows.
        groups: Rows of each group; every row is in one.
    """
    n = len(groups)
    rows = edges.targets.new_tensor([row for group in groups for row in group])
    numbers = rows.new_tensor([number for number, group in enumerate(groups) for _ in group])
    group_of = torch.empty_like(rows)
    group_of[rows] = numbers
    targets, sources = group_of[edges.targets], group_of[edges.sources]
    outside = targets != sources
    targets, sources, weights = targets[outside], sources[outside], edges.weights[outside]
    incoming = weights.new_zeros(n).index_add_(0, targets, weights.abs())
    pairs, place = (targets * n + sources).unique(sorted=True, return_inverse=True)
    sums = weights.new_zeros(len(pairs)).index_add_(0, place, weights)
    ends = pairs // n
    shares = sums / incoming[ends].clamp(min=1e-10)
    there = sums != 0
    return CircuitEdges((pairs % n)[there], ends[there], sums[there], shares[there])


def _split_by_position(circuit: Circuit, rows: Tensor) -> list[Tensor]:
    positions = circuit.positions[rows]
    return [rows[positions == position] for position in positions.unique()]


def _gather_decoders(circuit: Circuit, transcoder: HasDecoders, rows: Tensor) -> Tensor:
    """Return ``[n, n_layers, d_model]`` in the order of ``rows``."""
    layers, numbers = circuit.layers[rows], circuit.features[rows]
    parts = {
        layer: transcoder.decoder_vectors(layer, numbers[layers == layer])
        for layer in layers.unique().tolist()
    }
    vectors = next(iter(parts.values()))
    vectors = vectors.new_zeros(len(rows), *vectors.shape[1:])
    for layer, part in parts.items():
        vectors[layers == layer] = part
    return vectors
