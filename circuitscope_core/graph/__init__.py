"""The attribution graph's value: node order, accessors, and its file."""

from circuitscope_core.graph.alternatives import Alternatives
from circuitscope_core.graph.model import (
    AttributionGraph,
    GraphEdges,
    GraphTargets,
    NeuronChoice,
    Node,
    NodeKind,
    node_id,
    normalize_rows,
    signed_shares,
)
from circuitscope_core.graph.storage import load_graph, save_graph

__all__ = [
    "Alternatives",
    "AttributionGraph",
    "GraphEdges",
    "GraphTargets",
    "NeuronChoice",
    "Node",
    "NodeKind",
    "load_graph",
    "node_id",
    "normalize_rows",
    "save_graph",
    "signed_shares",
]
