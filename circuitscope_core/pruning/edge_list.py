"""Pruning where a graph is a list of edges, as in a file: the rules of ``prune_graph``."""

from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuitscope_core.config import PruneConfig
from circuitscope_core.pruning.influence import find_threshold, propagate_edges

EdgeList = tuple[Int[Tensor, " n_edges"], Int[Tensor, " n_edges"], Float[Tensor, " n_edges"]]
"""Source, target and direct effect of each edge."""


def prune_edges(
    layers: Int[Tensor, " n"],
    weights: Float[Tensor, " n"],
    edges: EdgeList,
    is_feature: Bool[Tensor, " n"],
    is_error: Bool[Tensor, " n"],
    config: PruneConfig,
) -> tuple[Bool[Tensor, " n"], Bool[Tensor, " n_edges"]]:
    """Return the nodes and the edges that ``prune_graph`` keeps with ``score="influence"``.

    Args:
        layers: Of each node, -1 for tokens; edges lead to higher layers.
        weights: Weight of each output, 0 elsewhere.
        edges: Source, target and direct effect of each edge.
        is_feature: Nodes that go where nothing leads to them.
        is_error: Nodes that go, as features do, where they lead nowhere.
        config: The two thresholds.
    """
    sources, targets, effects = edges
    influence = propagate_edges(layers, weights, sources, targets, effects)
    is_inner = is_feature | is_error
    nodes = ~is_inner | (influence >= find_threshold(influence, config.node_threshold))
    among = (nodes[sources] & nodes[targets]).nonzero()[:, 0]
    scores = flow_along(layers, weights, (sources[among], targets[among], effects[among]))
    strong = (scores >= find_threshold(scores, config.edge_threshold)) & (scores > 0)
    among = among[strong]
    while True:
        out, into = nodes.new_zeros(len(nodes)), nodes.new_zeros(len(nodes))
        out[sources[among]] = True
        into[targets[among]] = True
        stays = nodes & (~is_inner | out) & (~is_feature | into)
        if bool((stays == nodes).all()):
            break
        nodes = stays
        among = among[nodes[sources[among]] & nodes[targets[among]]]
    kept = nodes.new_zeros(len(effects))
    kept[among] = True
    return nodes, kept


def flow_along(
    layers: Int[Tensor, " n"], weights: Float[Tensor, " n"], edges: EdgeList
) -> Float[Tensor, " n_edges"]:
    """Return the influence along each edge: its share of the target's input times its reach."""
    sources, targets, effects = edges
    reach = propagate_edges(layers, weights, sources, targets, effects) + weights
    totals = weights.new_zeros(len(weights)).index_add_(0, targets, effects.abs())
    return effects.abs() / totals[targets].clamp(min=1e-10) * reach[targets]
