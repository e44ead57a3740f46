"""Influence, pruning and scores: which part of a graph carries the prediction."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.config import PruneConfig
from circuitscope_core.graph import AttributionGraph, normalize_rows, signed_shares
from circuitscope_core.values import one_line

ROWS_AT_ONCE = 128
"""Rows of the adjacency looked at together: a copy of so few stays small."""


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


@dataclass(frozen=True)
class GraphScores:
    """How much of the prediction goes through features rather than errors, 0 to 1."""

    replacement: float
    """Influence of tokens against that of tokens and errors."""
    completeness: float
    """Share of each node's input that is no error, averaged by the node's influence, over the
    nodes that have inputs: features and logits."""
    completeness_circuit_tracer: float
    """The same averaged over all nodes, those without inputs counting as complete, as
    circuit-tracer does. For comparison only: it is never the lower of the two."""


def compute_node_influence(graph: AttributionGraph) -> Float[Tensor, " n_nodes"]:
    """Sum each node's effect on the outputs over every path.

    Equals ``w ((I - N)^-1 - I)`` with ``N`` the adjacency's absolute values, each row as shares of
    its sum, and ``w`` the probabilities of the logits. Features act only on higher layers, so one
    pass from the top is exact.

    Source: Ameisen et al. (2025), graph pruning,
    https://transformer-circuits.pub/2025/attribution-graphs/methods.html
    """
    return propagate(graph.node_layers, graph.logit_weights, graph.adjacency)


def propagate(
    layers: Int[Tensor, " n"],
    weights: Float[Tensor, " n"],
    adjacency: Float[Tensor, "n n"],
    ends: Bool[Tensor, " n"] | None = None,
) -> Float[Tensor, " n"]:
    """Return influence where ``adjacency`` leads from each node to nodes of lower layers only.

    What reaches one of the ``ends`` stays there.
    """
    weights = weights.double()
    influence = torch.zeros_like(weights)
    for layer in range(int(layers.max()), -1, -1):
        # all that these nodes lead to has been added up
        reach = influence + weights
        on_the_way = (layers == layer) & (reach > 0)
        if ends is not None:
            on_the_way &= ~ends
        targets = on_the_way.nonzero()[:, 0]
        for rows in targets.split(ROWS_AT_ONCE):
            effects = adjacency[rows].abs_()
            shares = reach[rows] / effects.sum(dim=1).clamp(min=1e-10)
            influence += shares.float() @ effects
    return influence.float()


def propagate_edges(
    layers: Int[Tensor, " n"],
    weights: Float[Tensor, " n"],
    sources: Int[Tensor, " n_edges"],
    targets: Int[Tensor, " n_edges"],
    effects: Float[Tensor, " n_edges"],
) -> Float[Tensor, " n"]:
    """Return the influence that ``propagate`` gives, from a list of edges.

    Args:
        layers: Of each node, -1 for tokens; edges lead to higher layers.
        weights: Weight of each output, 0 elsewhere.
        sources: Node that each edge leaves.
        targets: Node that it enters.
        effects: Its direct effect.
    """
    totals = torch.zeros_like(weights).index_add_(0, targets, effects.abs())
    shares = (effects.abs() / totals[targets].clamp(min=1e-10)).double()
    order = layers[targets].argsort(descending=True, stable=True)
    counts = layers[targets[order]].unique_consecutive(return_counts=True)[1]
    reach, influence = weights.double(), torch.zeros_like(weights, dtype=torch.float64)
    for some in order.split(counts.tolist()):
        # all edges into these nodes' layer come at once, after those into all higher layers
        flow = (influence + reach)[targets[some]] * shares[some]
        influence.index_add_(0, sources[some], flow)
    return influence.float()


def find_threshold(scores: Float[Tensor, " n"], keep: float) -> float:
    """Return the score of the last item needed to hold a share ``keep`` of the total.

    Args:
        scores: At least 0, in any order.
        keep: From 0 to 1. At 1 every item above 0 is needed.
    """
    ordered = scores.double().sort(descending=True).values
    reached = ordered.cumsum(0)
    if not len(ordered) or reached[-1] == 0:
        return 0.0
    last = int(torch.searchsorted(reached / reached[-1], keep))
    n_above_zero = int(torch.count_nonzero(ordered))
    return float(ordered[min(last, n_above_zero - 1)])


@checked
def prune_graph(
    graph: AttributionGraph, node_threshold: float = 0.8, edge_threshold: float = 0.98
) -> PrunedGraph:
    """Keep the nodes, then the edges, that carry a given share of the influence.

    Tokens and logits always stay. A feature or error that leads nowhere, and a feature that
    nothing leads to, goes too.

    Args:
        graph: The graph; not changed.
        node_threshold: Share of the node influence to keep, 0 to 1; of a model's own neurons, share
            of the effect that all nodes have together. Ties are kept.
        edge_threshold: Share of the edge influence to keep, 0 to 1. Ties are kept.

    Raises:
        ConfigError: If a threshold is outside 0 to 1.
    """
    config = PruneConfig(node_threshold, edge_threshold)
    influence = compute_node_influence(graph)
    node_mask = influence >= find_threshold(influence, node_threshold)
    if graph.choice is not None:  # neurons are ranked by what they were chosen for
        effects, nodes = graph.choice.effects, graph.feature_nodes
        influence[nodes] = effects / effects.sum().clamp(min=1e-10)
        node_mask[nodes] = effects >= find_threshold(effects, node_threshold)
    node_mask[graph.token_nodes] = True
    node_mask[graph.logit_nodes] = True
    edges = drop_dead_ends(graph, node_mask, select_edges(graph, node_mask, edge_threshold))
    return PrunedGraph(graph, node_mask, edges, influence, accumulate(influence), config)


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


@checked
def graph_scores(graph: AttributionGraph, features: Iterable[int] | None = None) -> GraphScores:
    """Score how well features, rather than errors, explain the prediction.

    Args:
        graph: The graph.
        features: Nodes that explain; the graph's other features then count as errors, and what
            caused them is not asked. None: all of them.

    Raises:
        GraphError: If there is no such node.

    Source: Ameisen et al. (2025), graph scores. The two means of completeness differ only in the
    nodes they run over.
    """
    is_error = torch.zeros_like(graph.bias, dtype=torch.bool)
    is_error[graph.error_nodes] = True
    if features is not None:
        nodes = list(features)
        for node in nodes:
            graph.node(node)  # refuses numbers that no node has
        is_error[graph.feature_nodes] = True
        is_error[[node for node in nodes if node < graph.n_features]] = False
    is_token = torch.zeros_like(is_error)
    is_token[graph.token_nodes] = True
    return matrix_scores(
        graph.node_layers, graph.logit_weights, graph.adjacency, is_error, is_token
    )


def matrix_scores(
    layers: Int[Tensor, " n"],
    weights: Float[Tensor, " n"],
    adjacency: Float[Tensor, "n n"],
    is_error: Bool[Tensor, " n"],
    is_token: Bool[Tensor, " n"],
) -> GraphScores:
    """Score any matrix of direct effects, for example a file's: see ``graph_scores``.

    Args:
        layers: Of each node, -1 for tokens; effects lead to higher layers.
        weights: Probability at outputs, 0 elsewhere.
        adjacency: Row: target, column: source.
        is_error: Nodes that explain nothing.
        is_token: Nodes that need no explanation.
    """
    influence = propagate(layers, weights, adjacency, is_error)
    reach = influence + weights
    explained = torch.ones_like(reach)
    for rows in ((reach > 0) & ~is_error).nonzero()[:, 0].split(ROWS_AT_ONCE):
        effects = adjacency[rows].abs_()
        totals = effects.sum(dim=1).clamp(min=1e-10)
        explained[rows] -= effects[:, is_error].sum(dim=1) / totals
    return _scores(influence, reach, explained, is_error, is_token)


def edge_scores(
    layers: Int[Tensor, " n"],
    weights: Float[Tensor, " n"],
    edges: tuple[Int[Tensor, " n_edges"], Int[Tensor, " n_edges"], Float[Tensor, " n_edges"]],
    is_error: Bool[Tensor, " n"],
    is_token: Bool[Tensor, " n"],
) -> GraphScores:
    """Return the scores that ``matrix_scores`` gives, from a list of edges.

    Args:
        layers: Of each node, -1 for tokens; edges lead to higher layers.
        weights: Weight of each output, 0 elsewhere.
        edges: Source, target and direct effect of each edge.
        is_error: Nodes that explain nothing.
        is_token: Nodes that need no explanation.
    """
    sources, targets, effects = edges
    open_ends = ~is_error[targets]  # influence that reaches an error stays there
    sources, targets, effects = sources[open_ends], targets[open_ends], effects[open_ends].abs()
    influence = propagate_edges(layers, weights, sources, targets, effects)
    totals = torch.zeros_like(weights).index_add_(0, targets, effects)
    wrong = torch.zeros_like(weights).index_add_(0, targets, effects * is_error[sources])
    reach = influence + weights
    explained = 1 - torch.where(reach > 0, wrong / totals.clamp(min=1e-10), 0.0)
    return _scores(influence, reach, explained, is_error, is_token)


def _scores(
    influence: Float[Tensor, " n"],
    reach: Float[Tensor, " n"],
    explained: Float[Tensor, " n"],
    is_error: Bool[Tensor, " n"],
    is_token: Bool[Tensor, " n"],
) -> GraphScores:
    tokens, errors = influence[is_token].sum(), influence[is_error].sum()
    has_inputs = reach * ~(is_error | is_token)
    return GraphScores(
        replacement=_share(tokens, tokens + errors),
        completeness=_share((explained * has_inputs).sum(), has_inputs.sum()),
        completeness_circuit_tracer=_share((explained * reach).sum(), reach.sum()),
    )


def _share(part: Tensor, whole: Tensor) -> float:
    """Return part of whole; 1 where there is nothing to explain."""
    return float(part / whole) if whole > 0 else 1.0
