"""A graph as the page and the picture that were asked for."""

import argparse
from typing import Any

import circuitscope_core as cs
from circuitscope_core.attribution import pass_of
from circuitscope_core.cli.output import file_to_write, write
from circuitscope_core.export import export_svg, export_view
from circuitscope_core.view import Extras, GraphView, layout_graph, tell_story


def add_pictures(parser: argparse.ArgumentParser) -> None:
    """Let a command write pictures."""
    parser.add_argument("--html", type=file_to_write, help="write the graph as one standalone page")
    parser.add_argument("--svg", type=file_to_write, help="write the picture of all nodes as SVG")


def lay_out_with_story(bundle: cs.Bundle, found: cs.Trace, prompt: Any) -> GraphView:
    """Lay a trace out together with its story.

    Args:
        bundle: The model that was traced.
        found: The trace.
        prompt: The prompt as the core takes it, with its answer where one is explained.
    """
    clean = cs.run_prompt(bundle, prompt)
    if found.graph.choice is not None:
        clean, _ = pass_of(clean, found.graph)
    extras = Extras(tell_story(clean, found))
    parts = (bundle.tokenizer, found.cards, found.supernodes, bundle.global_weights)
    return layout_graph(found, *parts, extras)


def write_pictures(options: argparse.Namespace, view: GraphView) -> None:
    """Write a graph as the page and the picture that were asked for, and name them."""
    for path, export in ((options.html, export_view), (options.svg, export_svg)):
        if path:
            export(view, path)
            if not options.json:
                write(f"Wrote {path}")
