"""Damaged inputs at every boundary: ``python bench/fuzz.py --inputs 1000000``.

Inputs are read in processes of their own, so that one that ends its process, or fills the memory,
is a fault too. A fault is printed once for each kind, with the number of its first input;
``--only graph_file --input 1234`` reads that one again, with its traceback.
"""

import argparse
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeAlias

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.fuzz.boundaries import BOUNDARIES
from tests.fuzz.running import Fault, peak_memory, run_inputs

SHARES = {
    **{"address": 0.36, "stage_name": 0.36, "graph_file": 0.12, "records": 0.08},
    **{"published_cards": 0.03, "parquet": 0.02, "tokenizer": 0.012, "transcoder": 0.01},
    **{"saved_graph": 0.006, "bundle": 0.002},
}
"""Parts of all inputs: cheap boundaries get more."""


Part: TypeAlias = tuple[str, int, int]
"""A boundary, the number of its first input, and how many inputs."""


def read_part(line: Connection, name: str, first: int, count: int) -> None:
    """Read some inputs; send each number that is done, each fault, and last the peak memory."""
    with tempfile.TemporaryDirectory(prefix="circuitscope-") as folder:
        for number, fault in enumerate(
            run_inputs(name, range(first, first + count), Path(folder)), first + 1
        ):
            line.send(fault or number)
    line.send(("peak", peak_memory()))


@dataclass
class Reading:
    """A process that reads some inputs."""

    name: str
    next: int
    """The number of the input that is being read."""
    process: BaseProcess
    line: Connection


@dataclass
class Found:
    """All that the processes have told."""

    done: dict[str, int]
    kinds: dict[str, Fault]
    counts: dict[str, int]
    peak: int = 0

    def take(self, reading: Reading, news: Any) -> None:
        """Note one message of a process."""
        if isinstance(news, tuple):
            self.peak = max(self.peak, news[1])
            return
        self.done[reading.name] += 1
        reading.next = news.number + 1 if isinstance(news, Fault) else news
        if isinstance(news, Fault):
            self.note(news)

    def note(self, fault: Fault) -> None:
        """Count a fault under its kind."""
        kind = kind_of(fault)
        self.kinds.setdefault(kind, fault)
        self.counts[kind] = self.counts.get(kind, 0) + 1


def read_all(parts: Iterator[Part], only: Sequence[str], workers: int, minutes: float) -> Found:
    """Read all inputs, a few processes at a time, or as many as the time is enough for."""
    until = time.monotonic() + 60 * minutes
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.fuzz.running"])
    found = Found(dict.fromkeys(only, 0), {}, {})
    running: list[Reading] = []
    while True:
        in_time = time.monotonic() < until
        while in_time and len(running) < workers and (part := next(parts, None)):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=read_part, args=(theirs, *part))
            process.start()
            theirs.close()
            running.append(Reading(part[0], part[1], process, ours))
        if not running:
            return found
        for line in wait([reading.line for reading in running], timeout=60):
            reading = next(item for item in running if item.line is line)
            try:
                found.take(reading, reading.line.recv())
            except EOFError:
                reading.process.join()
                running.remove(reading)
                if code := reading.process.exitcode:
                    said = f"the process ended with exit code {code}"
                    found.note(Fault(reading.name, reading.next, said))


def parts_of(inputs: int, only: Sequence[str]) -> Iterator[Part]:
    """Return which inputs are read together, those of all boundaries in turn."""
    total, parts = sum(SHARES[name] for name in only), []
    for name in only:
        count = round(inputs * SHARES[name] / total)
        step = max(50, min(5000, count // 20))
        for first in range(0, count, step):
            parts.append((first / count, (name, first, min(step, count - first))))
    return (part for _, part in sorted(parts))


def kind_of(fault: Fault) -> str:
    """Return a fault's text without what differs from one input to the next."""
    return (
        f"{fault.boundary}: {''.join('#' if sign.isdigit() else sign for sign in fault.said[:90])}"
    )


def main() -> int:
    """Read the inputs and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--only", choices=sorted(BOUNDARIES), action="append")
    parser.add_argument("--input", type=int, help="read this one alone, in this process")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=1e6, help="begin nothing after this time")
    given = parser.parse_args()
    only = given.only or list(BOUNDARIES)
    if given.input is not None:
        with tempfile.TemporaryDirectory(prefix="circuitscope-") as folder:
            BOUNDARIES[only[0]](Path(folder))(random.Random(f"{only[0]} {given.input}"))
        return 0
    begin = time.monotonic()
    found = read_all(parts_of(given.inputs, only), only, given.workers, given.minutes)
    seconds = time.monotonic() - begin
    for name, count in found.done.items():
        print(f"{name:16} {count:9,} inputs")
    print(f"{sum(found.done.values()):,} inputs in {seconds / 60:.1f} minutes", end="; ")
    print(f"peak memory of a process {found.peak / 2**20:,.0f} MB")
    for kind, fault in found.kinds.items():
        print(
            f"{found.counts[kind]} times, first input {fault.number} of {fault.boundary}:", end=" "
        )
        print(fault.said)
    return 1 if found.kinds else 0


if __name__ == "__main__":
    raise SystemExit(main())
