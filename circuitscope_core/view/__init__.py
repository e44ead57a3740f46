"""A graph as plain data for drawing: positions, names, cards, paths. No plotting library."""

from circuitscope_core.view.compared_names import Naming
from circuitscope_core.view.comparison import (
    EdgeDifference,
    NodeDifference,
    edge_differences,
    layout_comparison,
    node_differences,
)
from circuitscope_core.view.graph_view import (
    Band,
    CardView,
    EdgeHeads,
    EdgeView,
    ExampleView,
    Fact,
    GraphView,
    NodeView,
    Outcome,
    PathView,
    Picture,
    Story,
)
from circuitscope_core.view.layout import Extras, layout_graph
from circuitscope_core.view.paths import GraphPath, strongest_paths, to_networkx
from circuitscope_core.view.story import tell_story
from circuitscope_core.view.tables import FeatureRow, feature_rows
from circuitscope_core.view.text import group_name, node_label
from circuitscope_core.view.words import Folding

__all__ = [
    "Band",
    "CardView",
    "EdgeDifference",
    "EdgeHeads",
    "EdgeView",
    "ExampleView",
    "Extras",
    "Fact",
    "FeatureRow",
    "Folding",
    "GraphPath",
    "GraphView",
    "Naming",
    "NodeDifference",
    "NodeView",
    "Outcome",
    "PathView",
    "Picture",
    "Story",
    "edge_differences",
    "feature_rows",
    "group_name",
    "layout_comparison",
    "layout_graph",
    "node_differences",
    "node_label",
    "strongest_paths",
    "tell_story",
    "to_networkx",
]
