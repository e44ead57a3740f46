"""A comparison as one circuit: the nodes of both graphs, and what changed on the edges."""

import torch

from circuitscope_core.arguments import checked
from circuitscope_core.circuit import KINDS, Circuit, CircuitEdges, label_of, node_name
from circuitscope_core.comparison.compared_graphs import ComparedNode, Comparison, Side
from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.graph import NodeKind, node_id


@checked
def compared_circuit(
    comparison: Comparison, a: FeatureCards | None = None, b: FeatureCards | None = None
) -> Circuit:
    """Return all that either graph keeps as one table, in the order of the comparison's nodes.

    Positions are shared columns. A node has the larger of its two influences and probabilities;
    activation, score and ablation are left out, since they are others in each graph. Weights and
    shares of edges are changes, B less A.

    Args:
        comparison: The two graphs, compared.
        a: Cards that give the features of A their labels.
        b: Cards for the features that only B has.
    """
    nodes = comparison.nodes
    found = [comparison.graph_of(node).node(node.home.index) for node in nodes]
    labels = [
        label_of(comparison.graph_of(node), node.home.index, a if node.owner is Side.A else b)
        for node in nodes
    ]
    texts = tuple(map(comparison.column_text, range(len(comparison.columns))))
    named = zip(nodes, found, labels, strict=True)
    whole, number = comparison.edges.sources.new_tensor, comparison.a.node_influence.new_tensor
    probabilities = number([_probability(node) for node in nodes])
    unknown = torch.full_like(probabilities, float("nan"))
    edges = comparison.edges
    return Circuit(
        prompt=f"A: {comparison.a.graph.prompt}\nB: {comparison.b.graph.prompt}",
        token_texts=texts,
        n_layers=max(pruned.graph.n_layers for pruned in (comparison.a, comparison.b)),
        ids=tuple(
            f"{node.owner}_{node_id(comparison.graph_of(node), node.home.index)}" for node in nodes
        ),
        index=whole(range(len(nodes))),
        kinds=whole([KINDS.index(node.kind) for node in nodes]),
        layers=whole([node.layer for node in nodes]),
        positions=whole([node.column for node in nodes]),
        features=whole([node.feature for node in found]),
        labels=tuple(labels),
        names=tuple(
            output_name_of(comparison, node) or node_name(own, texts[node.column], label)
            for node, own, label in named
        ),
        influence=number([max(half.influence for half in node.halves) for node in nodes]),
        reached=unknown,
        score=unknown,
        ablation_bits=unknown,
        activations=unknown,
        probabilities=probabilities,
        worth=number([max(half.worth for half in node.halves) for node in nodes]),
        dropped=torch.zeros_like(unknown),
        edges=CircuitEdges(edges.sources, edges.targets, edges.weight_changes, edges.changes),
        one_dictionary=comparison.same_features,
    )


def output_name_of(comparison: Comparison, node: ComparedNode) -> str:
    """Return the names of an output that is another token in each graph; empty where it is not."""
    if node.kind is not NodeKind.LOGIT or node.a is None or node.b is None:
        return ""
    in_a, in_b = (
        node_name(graph.node(half.index), "", label_of(graph, half.index, None))
        for graph, half in ((comparison.a.graph, node.a), (comparison.b.graph, node.b))
    )
    return "" if in_a == in_b else f"{in_a}|{in_b}"


def _probability(node: ComparedNode) -> float:
    known = [half.probability for half in node.halves if half.probability is not None]
    return max(known, default=float("nan"))
