"""GraphML, for graph programs such as Gephi and yEd."""

from pathlib import Path

import networkx as nx

from circuitscope_core.export.files import write_text, xml_text
from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.pruning import PrunedGraph
from circuitscope_core.view.paths import to_networkx
from circuitscope_core.view.text import node_id, node_label


def graphml_text(pruned: PrunedGraph, cards: FeatureCards | None = None) -> str:
    """Return the kept graph as GraphML with labels, layers, influence, weights and shares."""
    graph = pruned.graph
    effects = to_networkx(pruned)
    for index in effects.nodes:
        node = graph.node(index)
        effects.nodes[index].update(
            kind=str(node.kind),
            layer=node.layer,
            position=node.position,
            feature=node.feature,
            label=xml_text(node_label(graph, index, cards)),
            influence=float(pruned.node_influence[index]),
        )
    named = nx.relabel_nodes(effects, {index: node_id(graph, index) for index in effects.nodes})
    return "\n".join(nx.generate_graphml(named)) + "\n"


def export_graphml(
    pruned: PrunedGraph, path: str | Path, *, cards: FeatureCards | None = None
) -> Path:
    """Write the kept graph as a GraphML file, whole or not at all."""
    return write_text(Path(path), graphml_text(pruned, cards))
