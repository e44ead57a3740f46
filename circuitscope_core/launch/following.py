"""A training that runs elsewhere, seen through the store that it writes to."""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from circuitscope_core.bundle import put_in_place
from circuitscope_core.errors import CircuitScopeError
from circuitscope_core.files import temporary_folder, write_whole
from circuitscope_core.pipeline import BUNDLE, CANCEL, EVENTS
from circuitscope_core.stages import FileStore
from circuitscope_core.training import (
    Checkpoint,
    Event,
    PhaseFinished,
    RunFolder,
    TrainingCancelled,
    TrainingFailed,
    TrainingFinished,
    event_from_json,
)
from circuitscope_core.training.run_folder import is_state

ERRORS = "errors/"
"""Folder of a store with what workers other than number 0 died of, a file for each."""
BUSY_SHARE = 20
"""A store is asked again after this multiple of the time of its last answer, so that asking
never takes more than a twentieth of the time."""
LEAST_SECONDS = 0.1
LAST_WORDS_SECONDS = 60.0
"""How long a training that is asked to stop may take to save and say so."""
Terminal = TrainingFinished | TrainingFailed | TrainingCancelled


@dataclass
class StopSign:
    """Whether someone put the cancel marker into a store; asked as often as costs little."""

    store: FileStore
    next_look: float = 0.0
    seen: bool = False

    def __call__(self) -> bool:
        """Return whether to stop."""
        now = time.monotonic()
        if not self.seen and now >= self.next_look:
            self.seen = any(file.name == CANCEL for file in self.store.list(CANCEL))
            took = time.monotonic() - now
            self.next_look = now + took + max(LEAST_SECONDS, BUSY_SHARE * took)
        return self.seen


@dataclass
class Follower:
    """Reads a store's events in order, and brings checkpoints and the bundle here."""

    store: FileStore
    folder: RunFolder
    next_file: int = 1

    def __post_init__(self) -> None:
        if self._mark.is_file():
            self.next_file = int(self._mark.read_text(encoding="utf-8"))

    @property
    def _mark(self) -> Path:
        """How far another process has read, which may go on from there."""
        return self.folder.path / "followed.txt"

    def begin(self) -> None:
        """Read a store from its beginning, where the log of this folder is."""
        self._mark.unlink(missing_ok=True)
        self.next_file = 1

    def news(self) -> Iterator[Event]:
        """Return what was told since the last call.

        Raises:
            StageError: If the store cannot be read.
        """
        for file in self.store.list(EVENTS):
            if int(Path(file.name).stem) < self.next_file:
                continue
            with temporary_folder() as place:
                text = self.store.get(file.name, place).read_text(encoding="utf-8")
            self.next_file = int(Path(file.name).stem) + 1
            events = [event for line in text.splitlines() if (event := event_from_json(line))]
            if any(isinstance(event, Checkpoint | PhaseFinished | Terminal) for event in events):
                self.fetch_state()
            yield from events
            write_whole(self._mark, str(self.next_file))

    def fetch_state(self) -> None:
        """Bring the checkpoints here, so that the training can go on from this folder."""
        with tempfile.TemporaryDirectory(dir=self.folder.path, prefix=".arriving-") as place:
            for file in self.store.list():
                if is_state(file.name):
                    arrived = self.store.get(file.name, Path(place))
                    arrived.replace(self.folder.path / file.name)

    def fetch_bundle(self, out: Path) -> None:
        """Bring the finished bundle here; an older one goes to the bin when it is whole."""
        with tempfile.TemporaryDirectory(dir=self.folder.path, prefix=".arriving-") as place:
            whole = Path(place) / "bundle"
            for file in self.store.list(BUNDLE):
                target = whole / file.name.removeprefix(BUNDLE)
                target.parent.mkdir(parents=True, exist_ok=True)
                self.store.get(file.name, target.parent)
            out.parent.mkdir(parents=True, exist_ok=True)
            put_in_place(whole, out)

    def errors(self) -> list[str]:
        """Return what workers said before they ended, the lowest number first."""
        said = []
        with temporary_folder() as place:
            for file in self.store.list(ERRORS):
                said.append(self.store.get(file.name, place).read_text(encoding="utf-8"))
        return said

    def ask_to_stop(self) -> None:
        """Put the cancel marker into the store."""
        with temporary_folder() as place:
            empty = place / CANCEL
            empty.touch()
            self.store.put(empty, CANCEL)

    def last_events(self, ended: Callable[[], bool]) -> Iterator[Event]:
        """Return what a training that was asked to stop still says."""
        end = time.monotonic() + LAST_WORDS_SECONDS
        while time.monotonic() < end:
            over = ended()
            for event in self.news():
                if isinstance(event, TrainingCancelled):
                    return
                yield event
            if over:
                return
            time.sleep(LEAST_SECONDS)


def say_error(store: FileStore, rank: int, error: BaseException) -> None:
    """Leave a worker's last words in the store."""
    with temporary_folder() as place:
        path = place / "words"
        words = str(error) if isinstance(error, CircuitScopeError) else repr(error)
        path.write_text(f"Worker {rank}: {words}", encoding="utf-8")
        store.put(path, f"{ERRORS}{rank:04d}.txt")
