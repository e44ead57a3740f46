"""One damaged input after the other; the number of an input is enough to see it again."""

import random
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from circuitscope_core import CircuitScopeError
from tests.fuzz.boundaries import BOUNDARIES

LONGEST = 20
"""Seconds that one input may take."""
MOST_MEMORY = 2 * 2**30
"""Bytes that the process may hold at its highest."""


class Hang(BaseException):
    """An input took longer than it may; no reader can catch this by mistake."""


@dataclass(frozen=True)
class Fault:
    """An input on which a boundary did something else than work or refuse."""

    boundary: str
    number: int
    said: str


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Raise ``Hang`` in the main thread when the time is over."""

    def ring(*_: object) -> None:
        raise Hang(f"it takes longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def peak_memory() -> int:
    """Return the bytes that this process held at its highest."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def run_inputs(name: str, numbers: range, folder: Path) -> Iterator[Fault | None]:
    """Read damaged inputs of one boundary; yield a fault or None for each.

    Args:
        name: One of ``BOUNDARIES``.
        numbers: Which inputs; each number is another input, the same in every run.
        folder: An empty folder. Samples lie in one folder of it, and nothing may appear beside it.
    """
    place = folder / "inside"
    place.mkdir()
    beside = sorted(folder.iterdir())
    try_one = BOUNDARIES[name](place)
    for number in numbers:
        said = ""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                with time_limit(LONGEST):
                    try_one(random.Random(f"{name} {number}"))
            except CircuitScopeError as error:
                said = "" if str(error).strip() else f"{type(error).__name__} without a message"
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # a panic of a library in Rust is no Exception
                said = f"{type(error).__name__}: {error}"
        if not said and sorted(folder.iterdir()) != beside:
            said = "a file appeared outside the folder"
        if not said and peak_memory() > MOST_MEMORY:
            said = f"the process held {peak_memory() / 2**30:.1f} GB"
        yield Fault(name, number, said[:400]) if said else None
