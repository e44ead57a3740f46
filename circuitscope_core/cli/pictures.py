"""A graph as the page and the picture that were asked for."""

import argparse

from circuitscope_core.cli.output import file_to_write, write
from circuitscope_core.export import export_svg, export_view
from circuitscope_core.view import GraphView


def add_pictures(parser: argparse.ArgumentParser) -> None:
    """Let a command write pictures."""
    parser.add_argument("--html", type=file_to_write, help="write the graph as one standalone page")
    parser.add_argument("--svg", type=file_to_write, help="write the picture of all nodes as SVG")


def write_pictures(options: argparse.Namespace, view: GraphView) -> None:
    """Write a graph as the page and the picture that were asked for, and name them."""
    for path, export in ((options.html, export_view), (options.svg, export_svg)):
        if path:
            export(view, path)
            if not options.json:
                write(f"Wrote {path}")
