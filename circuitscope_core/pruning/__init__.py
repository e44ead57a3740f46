"""Influence, scores of nodes and of graphs, and the part of a graph that is kept."""

from circuitscope_core.graph import normalize_rows
from circuitscope_core.pruning.answer import answer_score, outcomes_of, total_effects
from circuitscope_core.pruning.edge_list import prune_edges
from circuitscope_core.pruning.influence import (
    compute_node_influence,
    find_threshold,
    propagate,
    propagate_edges,
)
from circuitscope_core.pruning.prune import PrunedGraph, kept_shares, prune_graph
from circuitscope_core.pruning.scores import GraphScores, edge_scores, graph_scores, matrix_scores

__all__ = [
    "GraphScores",
    "PrunedGraph",
    "answer_score",
    "compute_node_influence",
    "edge_scores",
    "find_threshold",
    "graph_scores",
    "kept_shares",
    "matrix_scores",
    "normalize_rows",
    "outcomes_of",
    "propagate",
    "propagate_edges",
    "prune_edges",
    "prune_graph",
    "total_effects",
]
