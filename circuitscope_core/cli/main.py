"""The commands, and the way in which one is run."""

import argparse
import json
import sys
from collections.abc import Sequence

from circuitscope_core.cli.bench import add_bench
from circuitscope_core.cli.look import add_check, add_copy, add_info
from circuitscope_core.cli.models import add_models
from circuitscope_core.cli.output import Commands, write
from circuitscope_core.cli.trace import add_trace
from circuitscope_core.cli.train import add_estimate, add_train
from circuitscope_core.cli.train_transcoder import add_train_transcoder
from circuitscope_core.errors import CircuitScopeError

EXIT_ERROR = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    options = build_parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except BrokenPipeError:  # nobody reads any more, an error neither
        raise
    except (CircuitScopeError, OSError) as error:
        if options.json:
            write(json.dumps({"error": str(error)}))
        else:
            write(f"Error: {error}", sys.stderr)
        return EXIT_ERROR
    return status


def build_parser() -> argparse.ArgumentParser:
    """Describe the commands."""
    parser = argparse.ArgumentParser(
        prog="python -m circuitscope_core",
        description="Train a small language model with its transcoder, and trace its predictions.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for add in (
        add_train,
        add_estimate,
        add_train_transcoder,
        add_trace,
        add_models,
        add_check,
        add_info,
        add_copy,
        add_bench,
    ):
        add(commands)
    offer_json(commands)
    return parser


def offer_json(commands: Commands) -> None:
    """Let every command answer in JSON; of a command with commands of its own, each of these."""
    for command in commands.choices.values():
        inner = [item for item in command._actions if isinstance(item, argparse._SubParsersAction)]
        for own in inner:
            offer_json(own)
        if not inner:
            command.add_argument("--json", action="store_true", help="write JSON instead of text")
