"""GraphML, for graph programs such as Gephi and yEd."""

from pathlib import Path

from circuitscope_core.arguments import checked
from circuitscope_core.circuit import Kept, circuit_of
from circuitscope_core.errors import GraphFileError
from circuitscope_core.export.files import xml_text
from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.files import place_of, write_text
from circuitscope_core.view.paths import to_networkx


def graphml_text(kept: Kept, cards: FeatureCards | None = None) -> str:
    """Return the kept graph as GraphML with labels, layers, influence, weights and shares."""
    import networkx as nx  # slow to import, and rarely needed

    circuit = circuit_of(kept, cards)
    effects = to_networkx(circuit)
    for row, (number, node) in enumerate(zip(circuit.index.tolist(), circuit.nodes, strict=True)):
        effects.nodes[number].update(
            kind=str(node.kind),
            layer=node.layer,
            position=node.position,
            feature=node.feature,
            label=xml_text(circuit.names[row]),
            influence=float(circuit.influence[row]),
        )
    named = nx.relabel_nodes(effects, dict(zip(circuit.index.tolist(), circuit.ids, strict=True)))
    return "\n".join(nx.generate_graphml(named)) + "\n"


@checked
def export_graphml(kept: Kept, path: str | Path, *, cards: FeatureCards | None = None) -> Path:
    """Write the kept graph as a GraphML file, whole or not at all.

    Raises:
        GraphFileError: If it cannot be written.
    """
    return write_text(place_of(path), graphml_text(kept, cards), GraphFileError, "The graph")
