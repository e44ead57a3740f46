"""Parts that the commands share: how they write, and which bundle they are about."""

import argparse
import sys
from typing import Any, TypeAlias

import torch

from circuitscope_core.devices import VARIABLE, find_device, prefer_repeatable

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


def add_device(parser: argparse._ActionsContainer) -> None:
    """Let a command name the device that the model runs on."""
    parser.add_argument(
        "--device",
        help="cpu, cuda, cuda:1, mps or auto, which takes the first that is there of CUDA, MPS and "
        f"the processors (default: what {VARIABLE} says, or auto)",
    )


def device_of(options: argparse.Namespace) -> torch.device:
    """Return the device that was asked for, set to repeat its results where it can.

    Raises:
        DeviceError: If there is no such device.
    """
    device = find_device(options.device)
    prefer_repeatable(device)
    return device
