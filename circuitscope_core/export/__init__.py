"""Graphs as files: JSON for graph viewers, one standalone page, a picture, GraphML."""

from circuitscope_core.export.canvas import (
    CANVAS_FOLDER,
    STYLE_SHEET,
    classic_script,
    find_vis_network,
    join_modules,
    read_canvas_file,
    read_vis_network,
)
from circuitscope_core.export.files import slugify
from circuitscope_core.export.graph_json import (
    export_graph,
    feature_card_json,
    graph_to_json,
)
from circuitscope_core.export.graphml import export_graphml, graphml_text
from circuitscope_core.export.html import (
    export_html,
    export_view,
    render_html,
    render_view,
    render_walk,
)
from circuitscope_core.export.opening import Opening, WalkStep
from circuitscope_core.export.svg import PictureName, export_svg, render_svg
from circuitscope_core.export.viewer_folder import (
    ViewerGraph,
    viewer_graph,
    viewer_zip,
    write_viewer_folder,
)
from circuitscope_core.view import GraphPath, strongest_paths

__all__ = [
    "CANVAS_FOLDER",
    "STYLE_SHEET",
    "GraphPath",
    "Opening",
    "PictureName",
    "ViewerGraph",
    "WalkStep",
    "classic_script",
    "export_graph",
    "export_graphml",
    "export_html",
    "export_svg",
    "export_view",
    "feature_card_json",
    "find_vis_network",
    "graph_to_json",
    "graphml_text",
    "join_modules",
    "read_canvas_file",
    "read_vis_network",
    "render_html",
    "render_svg",
    "render_view",
    "render_walk",
    "slugify",
    "strongest_paths",
    "viewer_graph",
    "viewer_zip",
    "write_viewer_folder",
]
