"""Graphs that come as files: checked, read, and laid out like our own."""

from circuitscope_core.graph_file.circuit import circuit_of_file
from circuitscope_core.graph_file.layout import layout_graph_file
from circuitscope_core.graph_file.model import FileGroup, FileLink, FileNode, GraphFile
from circuitscope_core.graph_file.parse import MAX_BYTES, parse_graph_json, read_graph_file

__all__ = [
    "MAX_BYTES",
    "FileGroup",
    "FileLink",
    "FileNode",
    "GraphFile",
    "circuit_of_file",
    "layout_graph_file",
    "parse_graph_json",
    "read_graph_file",
]
