"""A graph as plain data for drawing: positions, names, cards, paths. No plotting library."""

from circuitscope_core.view.ablation import AblationRow, ablate, node_indices
from circuitscope_core.view.compared_names import Naming
from circuitscope_core.view.comparison import (
    EdgeDifference,
    NodeDifference,
    edge_differences,
    layout_comparison,
    node_differences,
)
from circuitscope_core.view.edges import (
    HeadExplanation,
    LinkExplanation,
    LinkPath,
    PairRow,
    explain_head,
    explain_link,
)
from circuitscope_core.view.experiment import (
    Experiment,
    Handle,
    NodeChange,
    OutputRow,
    Sweep,
    changes_of,
    node_changes,
    run_experiment,
    sweep,
)
from circuitscope_core.view.layout import layout_graph
from circuitscope_core.view.model import (
    Band,
    CardView,
    EdgeView,
    ExampleView,
    Fact,
    GraphView,
    NodeView,
    PathView,
    Picture,
)
from circuitscope_core.view.paths import GraphPath, strongest_paths, to_networkx
from circuitscope_core.view.similar import (
    SimilarFeature,
    Trial,
    similar_features,
    try_feature,
)
from circuitscope_core.view.tables import FeatureRow, NextToken, feature_rows, next_tokens
from circuitscope_core.view.text import group_name, node_id, node_label, token_label

__all__ = [
    "AblationRow",
    "Band",
    "CardView",
    "EdgeDifference",
    "EdgeView",
    "ExampleView",
    "Experiment",
    "Fact",
    "FeatureRow",
    "GraphPath",
    "GraphView",
    "Handle",
    "HeadExplanation",
    "LinkExplanation",
    "LinkPath",
    "Naming",
    "NextToken",
    "NodeChange",
    "NodeDifference",
    "NodeView",
    "OutputRow",
    "PairRow",
    "PathView",
    "Picture",
    "SimilarFeature",
    "Sweep",
    "Trial",
    "ablate",
    "changes_of",
    "edge_differences",
    "explain_head",
    "explain_link",
    "feature_rows",
    "group_name",
    "layout_comparison",
    "layout_graph",
    "next_tokens",
    "node_changes",
    "node_differences",
    "node_id",
    "node_indices",
    "node_label",
    "run_experiment",
    "similar_features",
    "strongest_paths",
    "sweep",
    "to_networkx",
    "token_label",
    "try_feature",
]
