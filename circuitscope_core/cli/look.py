"""``info``, ``check`` and ``copy``: what a bundle or a graph file holds, and bundles carried."""

import argparse
import json

import circuitscope_core as cs
from circuitscope_core.cli.output import Commands, add_bundle, named_place, write
from circuitscope_core.cli.pictures import add_pictures, write_pictures
from circuitscope_core.graph_file import layout_graph_file


def add_check(commands: Commands) -> None:
    """Describe ``check``."""
    parser = commands.add_parser("check", help="say what a graph's JSON file holds, or is wrong")
    parser.add_argument("file", type=named_place, help="ours, circuit-tracer's or Neuronpedia's")
    add_pictures(parser)
    parser.set_defaults(run=run_check)


def add_info(commands: Commands) -> None:
    """Describe ``info``."""
    parser = commands.add_parser("info", help="show what a bundle holds")
    add_bundle(parser)
    parser.set_defaults(run=run_info)


def add_copy(commands: Commands) -> None:
    """Describe ``copy``."""
    parser = commands.add_parser("copy", help="copy a bundle to or from a Snowflake stage")
    for name in ("source", "target"):
        parser.add_argument(name, help="a folder, or @database.schema.stage/name")
    parser.set_defaults(run=run_copy)


def run_copy(options: argparse.Namespace) -> int:
    """Copy a bundle."""
    cs.copy_bundle(options.source, options.target)
    said = {"source": options.source, "target": options.target}
    write(json.dumps(said) if options.json else f"Copied {options.source} to {options.target}")
    return 0


def run_check(options: argparse.Namespace) -> int:
    """Say what a graph file holds; a file that cannot be opened is an error."""
    file = cs.read_graph_file(options.file)
    if options.html or options.svg:
        write_pictures(options, layout_graph_file(file))
    write(json.dumps(file.summary()) if options.json else file.describe())
    return 0


def run_info(options: argparse.Namespace) -> int:
    """Show a bundle's sizes and metrics."""
    bundle = cs.load_bundle(options.bundle, device="cpu")
    facts = {
        "name": bundle.metadata.name,
        "model": bundle.model.describe(),
        "model_parameters": bundle.model.n_parameters,
        "transcoder": bundle.transcoder.describe(),
        "transcoder_parameters": bundle.transcoder.n_parameters,
        "corpus": dict(bundle.metadata.corpus),
        "metrics": dict(bundle.metadata.metrics),
        "seconds": dict(bundle.metadata.seconds),
        "command": bundle.metadata.command,
    }
    if options.json:
        write(json.dumps(facts))
        return 0
    for name, value in facts.items():
        if isinstance(value, dict):
            write(f"{name}:")
            for key, item in value.items():
                shown = f"{item:.4g}" if isinstance(item, float) else item
                write(f"  {key}: {shown}")
        else:
            write(f"{name}: {value}")
    return 0
