"""The command line: train, trace, and look at models and graph files without a browser."""

from circuitscope_core.cli.main import build_parser, main
from circuitscope_core.cli.train import read_config

__all__ = ["build_parser", "main", "read_config"]
