"""The edges of two graphs side by side."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.comparison.compared_graphs import ComparedEdges, ComparedNode, EdgeColumns
from circuitscope_core.pruning import PrunedGraph, kept_shares


def compare_edges(a: PrunedGraph, b: PrunedGraph, nodes: Sequence[ComparedNode]) -> ComparedEdges:
    """Return the edges kept in either graph.

    There can be millions, so each is handled as one number: target times count of nodes, plus
    source.
    """
    index_a = torch.tensor([node.a.index if node.a else -1 for node in nodes])
    index_b = torch.tensor([node.b.index if node.b else -1 for node in nodes])
    kept_a, kept_b = _kept_pairs(a, index_a), _kept_pairs(b, index_b)
    pairs = torch.cat([kept_a, kept_b]).unique(sorted=True)
    targets, sources = pairs // len(nodes), pairs % len(nodes)
    halves = []
    for pruned, index, kept_pairs in ((a, index_a, kept_a), (b, index_b, kept_b)):
        places = torch.searchsorted(pairs, kept_pairs)
        kept, shares = torch.zeros(len(pairs), dtype=torch.bool), torch.zeros(len(pairs))
        kept[places] = True
        shares[places] = kept_shares(pruned)[pruned.kept_edges]
        weights = _weights(pruned, index[targets], index[sources])
        halves.append(EdgeColumns(kept, weights, shares))
    return ComparedEdges(sources, targets, *halves)


def _kept_pairs(
    pruned: PrunedGraph, index: Int[Tensor, " n_compared"]
) -> Int[Tensor, " n_kept_edges"]:
    """Return the pairs of compared nodes between which a graph keeps an edge, in its own order."""
    there = (index >= 0).nonzero()[:, 0]
    places = torch.zeros(pruned.graph.n_nodes, dtype=torch.int64)
    places[index[there]] = there
    targets, sources = (
        pruned.kept_nodes[ends] for ends in pruned.kept_edges.nonzero(as_tuple=True)
    )
    return places[targets] * len(index) + places[sources]


def _weights(
    pruned: PrunedGraph, targets: Int[Tensor, " n_edges"], sources: Int[Tensor, " n_edges"]
) -> Float[Tensor, " n_edges"]:
    """Return direct effects between nodes of a graph, kept or not; 0 where one is -1, not there."""
    effects = pruned.graph.adjacency[targets.clamp(min=0), sources.clamp(min=0)]
    return effects * ((targets >= 0) & (sources >= 0))
