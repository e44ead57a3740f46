"""What the commands share: how they write, and which bundle they are about."""

import argparse
import sys
from typing import Any, TypeAlias

DEFAULT_BUNDLE = "models/demo"
EXAMPLE_PROMPT = "The National Digital Analytics Group (N"
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def write(line: str, stream: Any = None) -> None:
    """Write a line and flush, so that a reader at the other end of a pipe sees it at once."""
    out = stream or sys.stdout
    out.write(line + "\n")
    out.flush()


def add_bundle(parser: argparse._ActionsContainer) -> None:
    """Let a command name a bundle."""
    parser.add_argument("--bundle", default=DEFAULT_BUNDLE, help="folder of the bundle")
