"""Where a training keeps its events and checkpoints until the bundle is saved."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from circuitscope_core.errors import TrainingError
from circuitscope_core.files import TO_WRITE, refusing, whole_file, write_whole
from circuitscope_core.training.checkpoints import CheckpointFile
from circuitscope_core.training.events import Event, Phase, event_to_json

IDENTITY = "run.json"
"""File that says what is trained in the folder."""
GROUP = "transcoder_"
"""Beginning of the names of later groups' checkpoints."""
CHECKPOINTED: tuple[Phase, ...] = ("language model", "transcoder")
"""The phases that take long enough to be resumed."""


_STATE = re.compile(rf"language_model\.safetensors|({GROUP[:-1]}(_[0-9]+)?)\.safetensors|run\.json")


def is_state(name: str) -> bool:
    """Return whether a file of a run folder is a checkpoint, or says what is trained."""
    return _STATE.fullmatch(name) is not None


@dataclass(frozen=True)
class RunFolder:
    """Where a training keeps its events and checkpoints until the bundle is saved."""

    path: Path

    @classmethod
    def for_bundle(cls, out: str | Path) -> "RunFolder":
        """Return the folder of the bundle to be: ``.runs/<name>`` beside it."""
        target = Path(out)
        return cls(target.parent / ".runs" / target.name)

    @property
    def bundle(self) -> Path:
        """The folder of the bundle to be."""
        return self.path.parents[1] / self.path.name

    @property
    def is_begun(self) -> bool:
        """Whether a training read its text here, and the same one may go on."""
        return (self.path / IDENTITY).is_file()

    @property
    def events(self) -> Path:
        """The append-only event log, one JSON object a line."""
        return self.path / "events.jsonl"

    def checkpoint(self, phase: str) -> CheckpointFile:
        """Return a phase's checkpoint file."""
        return CheckpointFile(self.path / f"{phase.replace(' ', '_')}.safetensors")

    def checkpoints(self) -> tuple[CheckpointFile, ...]:
        """Return the checkpoint files that a training may leave, in the order of its phases.

        Where layers are trained in groups, each group but the first has one more.
        """
        first = tuple(self.checkpoint(phase) for phase in CHECKPOINTED)
        numbers = (
            path.stem.removeprefix(GROUP) for path in self.path.glob(f"{GROUP}*.safetensors")
        )
        rest = sorted(int(number) for number in numbers if number.isdecimal())
        return first + tuple(self.group_checkpoint(number) for number in rest)

    def group_checkpoint(self, number: int) -> CheckpointFile:
        """Return the checkpoint of a group of a transcoder's layers, counted from 0."""
        return self.checkpoint(f"transcoder {number}" if number else "transcoder")

    def progress(self) -> tuple[int, ...]:
        """Return the steps that its checkpoints hold, in the order of the phases; -1 for none.

        Raises:
            TrainingError: If one cannot be read.
        """
        # a later phase begins only when the one before it is over
        return tuple(-1 if (n := file.step()) is None else n for file in self.checkpoints())

    def take(self, other: "RunFolder") -> None:
        """Put another folder's log and checkpoints in the place of this one's."""
        paths = [file.path for file in other.checkpoints()]
        # the checkpoints last and in their order: until all are here, the other got further
        for path in [other.path / IDENTITY, other.events, *paths]:
            if path.is_file():
                with whole_file(self.path / path.name) as partial:
                    shutil.copyfile(path, partial)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other training out of the folder; the system ends it with the process.

        Raises:
            TrainingError: If another training is at work there, or the folder cannot be written.
        """
        with refusing(TrainingError, f"The folder {self.path.parent} cannot be written", TO_WRITE):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(f"{self.path}.lock", thread_local=False)
            try:
                lock.acquire(timeout=0)
            except Timeout as error:
                raise TrainingError(
                    f"{self.path.name!r} is being trained already, by another window or process. "
                    "Wait for it, cancel it there, or choose another name."
                ) from error
        try:
            yield
        finally:
            lock.release()

    def discard(self) -> None:
        """Delete the folder; whoever reads it meanwhile sees all of it or nothing."""
        gone = self.path.with_name(f".{self.path.name}.gone")
        shutil.rmtree(gone, ignore_errors=True)
        with suppress(FileNotFoundError):
            self.path.replace(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def append(self, event: Event) -> None:
        """Write an event at the end of the log, on a line of its own whatever was cut off there."""
        with self.events.open("a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(event_to_json(event).encode() + b"\n")

    def settle(self, name: str, value: Any) -> Any:
        """Record a decision for good; returns the one recorded before, if there is one."""
        file = self.path / IDENTITY
        begun = json.loads(file.read_text(encoding="utf-8"))
        if name not in begun:
            begun[name] = value
            write_whole(file, json.dumps(begun, indent=1))
        return begun[name]

    def claim(self, identity: dict[str, object]) -> None:
        """Record what is trained here, or check that it is the same as what was begun.

        Raises:
            TrainingError: If the folder holds the beginning of another training.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        file = self.path / IDENTITY
        wanted = json.loads(json.dumps(identity))
        if file.is_file():
            begun = json.loads(file.read_text(encoding="utf-8"))
            changed = sorted(key for key in wanted if begun.get(key) != wanted[key])
            if changed:
                raise TrainingError(
                    f"{self.path} holds a training begun with another {' and '.join(changed)}. "
                    "Restart it to discard that one, or choose another name."
                )
        else:
            write_whole(file, json.dumps(wanted, indent=1))
