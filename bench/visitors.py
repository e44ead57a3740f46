"""Many visitors at once: sessions that speak to one server as a browser does, without drawing.

Each visitor opens graphs of prompts that hold a word nobody else's do, changes thresholds, switches
tokens off, compares prompts and moves between models, while another person removes a model and
brings it back. An answer with another visitor's word, an exception or an unexpected error is a
fault; so is a visitor who waits longer than a minute.

Usage: python bench/visitors.py [--visitors 20] [--minutes 30] [--trainings 0]
"""

import argparse
import asyncio
import contextlib
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import circuitscope_core as cs
from bench.sessions import SUBJECTS, Watched
from pages.ui.shared.packing import pack
from tests.browser.conftest import server

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 60.0
"""Seconds that a visitor waits for an answer."""
PAUSES = (3.0, 15.0)
"""Seconds between an answer and the next question: a person who reads."""
WORD = re.compile(rb"qx(\d\d)v")
EXPECTED = ("is no bundle", "no longer there", "not there", "was removed", "There is no model")
"""Parts of the messages that a visitor may get while the model in front of them is away."""
MOVED = "moved"
"""The model that is removed and brought back."""
PROMPTS = 6
"""Prompts of each visitor."""


@dataclass
class Seen:
    """Times, faults and expected messages of all visitors."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    faults: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)


@dataclass
class Visitor:
    """One session and what it asks for."""

    number: int
    seen: Seen
    random: random.Random

    @property
    def word(self) -> str:
        """The word that only this visitor's prompts hold."""
        return f"qx{self.number:02}v"

    def prompt(self, choice: int) -> str:
        """Return one of the visitor's prompts."""
        name = SUBJECTS[choice % len(SUBJECTS)]
        return f"The {self.word} {name} ({self.word[0].upper()}"

    def question(self) -> tuple[str, str, dict[str, str]]:
        """Return the kind of the next question, the page and the page's address."""
        asked = {"model": "demo", "prompt": self.prompt(self.random.randrange(PROMPTS))}
        kind = self.random.choice(("graph", "graph", "threshold", "intervene", "compare", "moved"))
        if kind == "threshold":
            asked["nodes"] = f"{self.random.uniform(0.5, 0.95):.2f}"
        if kind == "intervene":
            steps = [["ablate", 1, f"E_{self.random.randrange(3000)}_3"]]
            asked |= {"tab": "intervene", "subgraph": pack({"steps": steps})}
        if kind == "compare":
            asked["with"] = self.prompt(self.random.randrange(PROMPTS))
        if kind == "moved":
            asked["model"] = MOVED
        return kind, "compare" if kind == "compare" else "graph", asked

    def look(self, message: ForwardMsg, raw: bytes, kind: str) -> None:
        """Search a message for what must not be in it."""
        others = {int(number) for number in WORD.findall(raw)} - {self.number}
        if others:
            self.seen.faults[f"{kind}: another visitor's word"] += 1
        element = message.delta.new_element
        what = element.WhichOneof("type") if message.HasField("delta") else ""
        if what == "exception":
            text = f"{element.exception.type}: {element.exception.message}"
            self.seen.faults[f"{kind}: {text[:200]}"] += 1
        if what == "alert" and element.alert.format == element.alert.ERROR:
            text = element.alert.body
            expected = (kind == MOVED or f"'{MOVED}'" in text) and any(
                part in text for part in EXPECTED
            )
            (self.seen.told if expected else self.seen.faults)[f"{kind}: {text[:200]}"] += 1

    async def ask(self, line: websockets.ClientConnection) -> None:
        """Ask for one page and read until all of it has come."""
        kind, page, asked = self.question()
        wanted = BackMsg()
        wanted.rerun_script.page_name = page
        wanted.rerun_script.query_string = urlencode(asked)
        begin = time.monotonic()
        await line.send(wanted.SerializeToString())
        own = False
        while True:
            left = PATIENCE - (time.monotonic() - begin)
            raw = await asyncio.wait_for(line.recv(), timeout=max(left, 0.01))
            message = ForwardMsg.FromString(raw)
            own = own or self.word.encode() in raw
            self.look(message, raw, kind)
            if message.WhichOneof("type") == "script_finished":
                break
        self.seen.seconds[kind].append(time.monotonic() - begin)
        if not own and kind != MOVED:
            self.seen.faults[f"{kind}: the visitor's own prompt is not on the page"] += 1

    async def visit(self, address: str, until: float) -> None:
        """Ask until the time is over, now and then from a new session."""
        socket = f"{address.replace('http', 'ws', 1)}/_stcore/stream"
        while time.monotonic() < until:
            try:
                async with websockets.connect(
                    socket, subprotocols=["streamlit"], max_size=None, origin=address
                ) as line:
                    for _ in range(self.random.randint(5, 40)):
                        if time.monotonic() > until:
                            break
                        await self.ask(line)
                        await asyncio.sleep(self.random.uniform(*PAUSES))
            except TimeoutError:
                self.seen.faults[f"no answer within {PATIENCE:.0f} s"] += 1
            except (OSError, websockets.WebSocketException) as error:
                self.seen.faults[f"connection: {error!r}"[:200]] += 1
                await asyncio.sleep(1)


async def move_model(models: Path, until: float) -> None:
    """Remove a model and bring it back, again and again."""
    while time.monotonic() < until:
        await asyncio.sleep(5)
        await asyncio.to_thread(cs.remove_model, MOVED, models)
        await asyncio.sleep(2)
        (binned,) = cs.list_bin(models)
        await asyncio.to_thread(cs.restore_model, binned.token, models)


async def watch(watched: Watched, until: float, memory: list[float]) -> None:
    """Read the server's memory once a minute."""
    while time.monotonic() < until:
        memory.append(watched.megabytes())
        await asyncio.sleep(min(60, max(1, until - time.monotonic())))


async def all_at_once(
    address: str, models: Path, visitors: int, minutes: float
) -> tuple[Seen, list[float]]:
    """Let all visitors in, and wait until they have left."""
    seen, memory = Seen(), []
    until = time.monotonic() + 60 * minutes
    people = [Visitor(number, seen, random.Random(number)) for number in range(visitors)]
    await asyncio.gather(
        *(person.visit(address, until) for person in people),
        move_model(models, until),
        watch(Watched(address), until, memory),
    )
    return seen, memory


@contextlib.contextmanager
def trainings(count: int, models: Path):
    """Keep some small trainings running beside the server."""
    command = [sys.executable, "-m", "circuitscope_core", "train", "--source", "builtin"]
    small = ["--set", "language_model_training.n_tokens=20000000", "--json"]
    begun = [
        subprocess.Popen(
            [*command, "--out", str(models / f"training{number}"), *small],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        for number in range(count)
    ]
    try:
        yield begun
    finally:
        ended = [process.poll() for process in begun]
        for process in begun:
            process.terminate()
        for process in begun:
            process.wait()
        if any(code is not None for code in ended):
            print(f"trainings ended early: {ended}")


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--trainings", type=int, default=0)
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        models = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in ("demo", MOVED):
            shutil.copytree(ROOT / "models" / "demo", models / name)
        address = stack.enter_context(server(CIRCUITSCOPE_MODELS=str(models)))
        watched = Watched(address)
        stack.enter_context(trainings(given.trainings, models))
        seen, memory = asyncio.run(all_at_once(address, models, given.visitors, given.minutes))
        print("MB, once a minute:", " ".join(f"{value:.0f}" for value in memory))
        time.sleep(60)
        print(f"60 s after the last visitor left: {watched.megabytes():.0f} MB")
    for kind, seconds in seen.seconds.items():
        ordered = sorted(seconds)
        print(
            f"{kind:10} {len(ordered):6} answers, median {statistics.median(ordered):.2f} s, 95 % "
            f"within {ordered[int(0.95 * (len(ordered) - 1))]:.2f} s, longest {ordered[-1]:.2f} s"
        )
    for title, counted in (("told", seen.told), ("FAULT", seen.faults)):
        for text, count in counted.most_common():
            print(f"{title}: {count} times: {text}")
    return 1 if seen.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
