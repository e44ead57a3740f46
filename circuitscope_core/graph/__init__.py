"""The attribution graph's value: node order, accessors, and its file."""

from circuitscope_core.graph.alternatives import Alternatives
from circuitscope_core.graph.attribution_graph import (
    AttributionGraph,
    node_id,
    normalize_rows,
    signed_shares,
)
from circuitscope_core.graph.graph_parts import (
    GraphEdges,
    GraphTargets,
    NeuronChoice,
    Node,
    NodeKind,
)
from circuitscope_core.graph.outcomes import Outcomes, outcomes_between
from circuitscope_core.graph.outputs import ExplainedAnswer, answer_among, output_weights
from circuitscope_core.graph.storage import load_graph, save_graph

__all__ = [
    "Alternatives",
    "AttributionGraph",
    "ExplainedAnswer",
    "GraphEdges",
    "GraphTargets",
    "NeuronChoice",
    "Node",
    "NodeKind",
    "Outcomes",
    "answer_among",
    "load_graph",
    "node_id",
    "normalize_rows",
    "outcomes_between",
    "output_weights",
    "save_graph",
    "signed_shares",
]
