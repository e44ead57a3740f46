"""The commands, and the way in which one is run."""

import argparse
import json
import os
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
from circuitscope_core.files import reason_of

EXIT_ERROR = 1
EXIT_PIPE = 141
"""The exit status of a program that the system ends because nobody reads its output."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    options = build_parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except BrokenPipeError:
        # the reader has enough; nothing more may be written, at the interpreter's end neither
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE
    except (CircuitScopeError, OSError, MemoryError, RuntimeError) as error:
        if not (problem := sentence_of(error)):
            raise
        if options.json:
            write(json.dumps({"error": problem}))
        else:
            write(f"Error: {problem}", sys.stderr)
        return EXIT_ERROR
    return status


def sentence_of(error: Exception) -> str:
    """Return an error in a sentence; empty for one that only a fault of the program explains."""
    if isinstance(error, CircuitScopeError):
        return str(error)
    if isinstance(error, OSError):
        name = error.filename
        named = "A file" if name is None else str(name)
        return f"{named} cannot be used: {reason_of(error)}. Check its place and its rights."
    if isinstance(error, MemoryError) or "allocate" in str(error):
        return (
            "There is too little memory for this. Close other programs, raise the limit of this "
            "one (ulimit -v), or ask for less: a shorter prompt, or --max-feature-nodes."
        )
    return ""


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
