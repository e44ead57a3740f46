"""Parts that the commands share: how they write, and which bundle they are about."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from circuitscope_core.devices import VARIABLE, find_device, prefer_repeatable
from circuitscope_core.errors import ConfigError
from circuitscope_core.files import place_of

DEFAULT_BUNDLE = "models/demo"
MODELS_VARIABLE = "CIRCUITSCOPE_MODELS"
"""The environment variable that names the folder of models, for the app as well."""
EXAMPLE_PROMPT = "The National Digital Analytics Group (N"
if TYPE_CHECKING:  # the class takes no parameters where the program runs
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Commands: TypeAlias = argparse._SubParsersAction


def models_folder() -> str:
    """Return the folder of models where no option names one."""
    return os.environ.get(MODELS_VARIABLE) or "models"


def write(line: str, stream: Any = None) -> None:
    """Write a line and flush, so that a reader at the other end of a pipe sees it at once.

    Signs that the console's encoding lacks are written as question marks.
    """
    out = stream or sys.stdout
    encoding = getattr(out, "encoding", None) or "utf-8"
    errors = getattr(out, "errors", None) or "strict"
    known = line.encode(encoding, errors="replace" if errors == "strict" else errors)
    out.write(known.decode(encoding, errors="replace") + "\n")
    out.flush()


def file_to_write(text: str) -> Path:
    """Return the file that a command is to write, as argparse reads it.

    Raises:
        ArgumentTypeError: If it is empty, or ``-``, which other programs take for their output.
    """
    if text == "-":
        raise argparse.ArgumentTypeError(
            "- is no file: the command's own text goes to the output. Name a file; ./- is one of "
            "that name, and /dev/stdout is the output"
        )
    return named_place(text)


def count(text: str) -> int:
    """Return a number above 0, as argparse reads it.

    Raises:
        ArgumentTypeError: If it is none.
    """
    number = int(text) if text.strip().lstrip("+-").isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return number


def named_place(text: str) -> Path:
    """Return a file or folder that was named, as argparse reads it.

    Raises:
        ArgumentTypeError: If it is empty.
    """
    try:
        return place_of(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


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
