"""Writes a run's events: a line in its folder and, where it is followed from elsewhere, files in a
store beside the checkpoints."""

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from circuitscope_core.errors import StageError, TrainingError
from circuitscope_core.files import reason_of, temporary_folder
from circuitscope_core.stages import FileStore
from circuitscope_core.training import (
    Event,
    Progress,
    RunFolder,
    TrainingCancelled,
    TrainingFailed,
    TrainingFinished,
    WorkerLost,
    Working,
    event_to_json,
)
from circuitscope_core.training.run_folder import IDENTITY, is_state

EVENTS = "events/"
"""Folder of a store with events, in files that are numbered as they come."""
BUNDLE = "bundle/"
"""Folder of a store with the finished bundle."""
CANCEL = "cancel"
"""File in a store whose being there asks the training to stop."""
FINISHED = "finished"
"""File in a store that says that nothing in it is left to go on with."""
NEWS_SECONDS = 1.0
"""Progress waits so long to be put into a store; other events do not."""


@dataclass
class RunLog:
    """A run folder's log, and its mirror in a store."""

    folder: RunFolder
    store: FileStore | None = None
    waiting: list[Event] = field(default_factory=list)
    next_file: int = 1
    told: float = 0.0
    copied: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Size and time of each file as it was when it was put into the store."""

    def begin(self, restart: bool = False) -> None:
        """Bring folder and store to one state; that is the folder's where all begins anew."""
        if self.store is not None:
            self.seed() if restart else self.fill()

    def fill(self) -> None:
        """Bring the folder to the state of the store, where that one got further.

        Raises:
            StageError: If the store cannot be read.
            TrainingError: If a checkpoint in it cannot.
        """
        assert self.store is not None
        names = {file.name for file in self.store.list()}
        if FINISHED in names:
            self.seed()
            return
        logs = sorted(name for name in names if name.startswith(EVENTS))
        self.next_file = 1 + max((int(Path(name).stem) for name in logs), default=0)
        with temporary_folder() as place:
            there = RunFolder(place)
            for name in filter(is_state, names):
                self.store.get(name, there.path)
            if there.progress() <= self.folder.progress():
                return
            for name in logs:
                with there.events.open("ab") as events:
                    events.write(self.store.get(name, there.path).read_bytes())
            self.folder.take(there)

    def seed(self) -> None:
        """Make the store what the folder is; of what it held only a finished bundle is kept."""
        assert self.store is not None
        names = [file.name for file in self.store.list()]
        self.store.remove(name for name in names if not name.startswith(BUNDLE))
        self.copied.clear()
        self._copy_changed()
        if self.folder.events.is_file():
            self.store.put(self.folder.events, f"{EVENTS}{0:08d}.jsonl")
        self.next_file = 1

    def append(self, event: Event) -> None:
        """Write an event at the end of the log."""
        self.folder.append(event)
        self._tell(event)

    def finish(self, event: TrainingFinished) -> None:
        """Hand over the bundle and delete the folder, which is no longer needed."""
        if self.store is not None:
            bundle = Path(event.bundle)
            paths = sorted(path for path in bundle.rglob("*") if path.is_file())
            names = [BUNDLE + path.relative_to(bundle).as_posix() for path in paths]
            for path, name in zip(paths, names, strict=True):
                self.store.put(path, name)
            old = {file.name for file in self.store.list(BUNDLE)}
            self.store.remove(sorted(old - set(names)))
            self.store.put(self.folder.events, FINISHED)
            self._tell(event)  # last: who reads it may take the store away
        self.folder.discard()

    def _tell(self, event: Event) -> None:
        if self.store is None:
            return
        self.waiting.append(event)
        if isinstance(event, Progress) and time.monotonic() - self.told < NEWS_SECONDS:
            return
        if not isinstance(event, Progress):
            self._copy_changed()  # first, so that who reads of a checkpoint finds it
        with temporary_folder() as place:
            lines = place / "events.jsonl"
            text = "".join(event_to_json(waiting) + "\n" for waiting in self.waiting)
            lines.write_text(text, encoding="utf-8")
            self.store.put(lines, f"{EVENTS}{self.next_file:08d}.jsonl")
        self.next_file += 1
        self.waiting.clear()
        self.told = time.monotonic()

    def _copy_changed(self) -> None:
        assert self.store is not None
        paths = [file.path for file in self.folder.checkpoints()]
        for path in [*paths, self.folder.path / IDENTITY]:
            if not path.is_file():
                continue
            state = (path.stat().st_size, path.stat().st_mtime_ns)
            if self.copied.get(path.name) != state:
                self.store.put(path, path.name)
                self.copied[path.name] = state


def logged(events: Generator[Event, None, None], log: RunLog) -> Iterator[Event]:
    """Pass events on, each written down before; and how they ended.

    Raises:
        TrainingError: If a file of the training cannot be written or read.
    """
    try:
        for event in events:
            if isinstance(event, TrainingFinished):
                log.finish(event)
            elif not isinstance(event, Working):
                log.append(event)
            yield event
    except GeneratorExit:
        events.close()
        if log.folder.path.is_dir():
            log.append(TrainingCancelled())
        raise
    except WorkerLost:  # whoever started the workers decides what comes next
        raise
    except Exception as error:
        told = file_error(error) if isinstance(error, OSError) else error
        with suppress(OSError, StageError):  # a full disk has no room for this either
            log.append(TrainingFailed(str(told) or type(told).__name__))
        if told is error:
            raise
        raise told from error


def file_error(error: OSError) -> TrainingError:
    """Return the error of a training whose files cannot be written or read."""
    return TrainingError(
        f"A file of the training cannot be written or read: {reason_of(error)}. Make room and "
        "start the same training again: it continues from the last checkpoint."
    )


@contextmanager
def file_errors() -> Iterator[None]:
    """Tell what goes wrong with a training's files as its error.

    Raises:
        TrainingError: If a file cannot be written or read.
    """
    try:
        yield
    except OSError as error:
        raise file_error(error) from error
