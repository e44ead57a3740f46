"""Graphs that come as files: checked, read, and laid out like our own."""

from circuitscope_core.graph_file.edited import edit_graph_json
from circuitscope_core.graph_file.file_cards import (
    check_features_fit,
    open_cards_of_file,
    try_cards,
)
from circuitscope_core.graph_file.file_circuit import circuit_of_file, with_labels
from circuitscope_core.graph_file.file_layout import groups_of_file, layout_graph_file
from circuitscope_core.graph_file.file_thresholds import circuit_scores, prune_circuit
from circuitscope_core.graph_file.file_values import FileGroup, FileLink, FileNode, GraphFile
from circuitscope_core.graph_file.parse import MAX_BYTES, parse_graph_json, read_graph_file

__all__ = [
    "MAX_BYTES",
    "FileGroup",
    "FileLink",
    "FileNode",
    "GraphFile",
    "check_features_fit",
    "circuit_of_file",
    "circuit_scores",
    "edit_graph_json",
    "groups_of_file",
    "layout_graph_file",
    "open_cards_of_file",
    "parse_graph_json",
    "prune_circuit",
    "read_graph_file",
    "try_cards",
    "with_labels",
]
