"""The part of a graph that carries the prediction."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.config import NodeScore, PruneConfig
from circuitscope_core.cores import one_core
from circuitscope_core.graph import AttributionGraph, normalize_rows, signed_shares
from circuitscope_core.pruning.answer import answer_score
from circuitscope_core.pruning.influence import (
    compute_node_influence,
    find_threshold,
    propagate,
)
from circuitscope_core.values import one_line


@one_line
@dataclass(frozen=True)
class PrunedGraph:
    """A graph and the part of it that is kept."""

    graph: AttributionGraph
    node_mask: Bool[Tensor, " n_nodes"]
    kept_edges: Bool[Tensor, "n_kept n_kept"]
    """Which edges are kept, among the nodes that are; see ``kept_nodes``."""
    node_influence: Float[Tensor, " n_nodes"]
    """Each node's share in the output over every path; see ``compute_node_influence``."""
    node_score: Float[Tensor, " n_nodes"]
    """The number by which nodes were kept: ``answer_score`` or influence; see ``prune_graph``."""
    cumulative_influence: Float[Tensor, " n_nodes"]
    """Share of the total reached when the node enters, strongest first: small is important."""
    config: PruneConfig

    @property
    def n_nodes(self) -> int:
        """Number of nodes kept."""
        return int(self.node_mask.sum())

    @property
    def n_edges(self) -> int:
        """Number of edges kept."""
        return int(self.kept_edges.sum())

    @cached_property
    def kept_nodes(self) -> Int[Tensor, " n_kept"]:
        """Indices of the nodes kept: few, where the graph has many."""
        return self.node_mask.nonzero()[:, 0]

    @cached_property
    def kept_effects(self) -> Float[Tensor, "n_kept n_kept"]:
        """Direct effects among the nodes kept, 0 where an edge is not kept."""
        return self.graph.adjacency[self.kept_nodes[:, None], self.kept_nodes] * self.kept_edges

    @property
    def edge_mask(self) -> Bool[Tensor, "n_nodes n_nodes"]:
        """Which edges of the whole graph are kept. As large as the graph itself."""
        mask = torch.zeros_like(self.graph.adjacency, dtype=torch.bool)
        mask[self.kept_nodes[:, None], self.kept_nodes] = self.kept_edges
        return mask


@checked
@one_core()
def prune_graph(
    graph: AttributionGraph,
    node_threshold: float = 0.8,
    edge_threshold: float = 0.98,
    *,
    score: NodeScore = "answer",
) -> PrunedGraph:
    """Keep the nodes, then the edges, that carry a given share of the answer.

    Tokens and logits always stay. A feature or error that leads nowhere, and a feature that
    nothing leads to, goes too.

    Args:
        graph: The graph; not changed.
        node_threshold: Share of the nodes' score to keep, 0 to 1; of a model's own neurons, share
            of the effect that all nodes have together. Ties are kept.
        edge_threshold: Share of the edge influence to keep, 0 to 1. Ties are kept.
        score: What ranks nodes. ``answer``: what they do to the probabilities of the tokens that
            may come (see ``answer_score``); where outputs are no tokens, or there is no other
            token, their influence. ``influence``: always the influence, as circuit-tracer does.

    Raises:
        ConfigError: If a threshold is outside 0 to 1, or there is no such score.

    Example:
        >>> import circuitscope_core as cs
        >>> graph = cs.attribute(cs.load_bundle("models/demo"), "The National Digital Group (N")
        >>> pruned = cs.prune_graph(graph, 0.8, 0.98)
        >>> theirs = cs.prune_graph(graph, 0.8, 0.98, score="influence")
        >>> bool(pruned.node_influence.equal(theirs.node_influence))
        True
    """
    config = PruneConfig(node_threshold, edge_threshold, score)
    influence = compute_node_influence(graph)
    found = answer_score(graph) if score == "answer" else None
    ranking = influence.clone() if found is None else found
    node_mask = ranking >= find_threshold(ranking, node_threshold)
    if graph.choice is not None:  # neurons are ranked by what they were chosen for
        effects, nodes = graph.choice.effects, graph.feature_nodes
        influence[nodes] = ranking[nodes] = effects / effects.sum().clamp(min=1e-10)
        node_mask[nodes] = effects >= find_threshold(effects, node_threshold)
    node_mask[graph.token_nodes] = True
    node_mask[graph.logit_nodes] = True
    edges = drop_dead_ends(graph, node_mask, select_edges(graph, node_mask, edge_threshold))
    return PrunedGraph(graph, node_mask, edges, influence, ranking, accumulate(influence), config)


def select_edges(
    graph: AttributionGraph, node_mask: Bool[Tensor, " n_nodes"], edge_threshold: float
) -> Bool[Tensor, "n_chosen n_chosen"]:
    """Mark the edges that hold a share of the edge influence ``N[t,s] (influence_t + w_t)``.

    All of it over the nodes in ``node_mask`` alone.
    """
    nodes = node_mask.nonzero()[:, 0]
    weights = graph.logit_weights[nodes]
    kept = graph.adjacency[nodes[:, None], nodes]
    reach = propagate(graph.node_layers[nodes], weights, kept) + weights
    scores = normalize_rows(kept) * reach[:, None]
    return (scores >= find_threshold(scores.flatten(), edge_threshold)) & (scores > 0)


def drop_dead_ends(
    graph: AttributionGraph,
    node_mask: Bool[Tensor, " n_nodes"],
    edges: Bool[Tensor, "n_chosen n_chosen"],
) -> Bool[Tensor, "n_kept n_kept"]:
    """Unmark, in place and until nothing changes, nodes without a way out or in.

    Returns:
        What is left of ``edges``, which are among the nodes marked at first.
    """
    nodes = node_mask.nonzero()[:, 0]
    is_feature = nodes < graph.n_features
    is_inner = nodes < graph.n_features + graph.n_errors
    kept = torch.ones_like(nodes, dtype=torch.bool)
    while True:
        live = edges & kept[:, None] & kept
        stays = kept & (~is_inner | live.any(dim=0)) & (~is_feature | live.any(dim=1))
        if bool((stays == kept).all()):
            break
        kept = stays
    node_mask[nodes[~kept]] = False
    return live[kept][:, kept]


def kept_shares(pruned: PrunedGraph) -> Float[Tensor, "n_kept n_kept"]:
    """Return each kept edge as a signed share of its target's kept input; rows add up to 1."""
    return signed_shares(pruned.kept_effects)


def accumulate(influence: Float[Tensor, " n_nodes"]) -> Float[Tensor, " n_nodes"]:
    """Return, for each node, the share of the total held by it and all stronger nodes."""
    order = influence.argsort(descending=True, stable=True)
    reached = influence[order].double().cumsum(0)
    shares = torch.empty_like(reached)
    shares[order] = reached / reached[-1].clamp(min=1e-10)
    return shares.clamp(max=1).float()
