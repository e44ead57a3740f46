"""The loop that both trainings share: begin where the checkpoint is, report, and lose nothing."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from circuitscope_core.cores import freed_memory_kept
from circuitscope_core.training.checkpoints import CheckpointFile, SavedState, share_state
from circuitscope_core.training.events import (
    Checkpoint,
    Event,
    Phase,
    PhaseFinished,
    PhaseStarted,
    Progress,
    Working,
)
from circuitscope_core.training.pace import Pace
from circuitscope_core.training.workers import Workers

ASKED_SECONDS = 0.5
"""A training that has nothing to report lets itself be stopped as often."""


class ResumableLoop(ABC):
    """A training in steps, which begins at its checkpoint where there is one; ``events`` runs it.

    A training says how a step changes the weights, and which tensors its state is made of.
    """

    phase: ClassVar[Phase]
    n_steps: int
    step: int
    """The step that comes next; all before it are done."""
    pace: Pace
    checkpoint: CheckpointFile
    workers: Workers

    def events(self) -> Iterator[Event]:
        """Train to the end, from the checkpoint where there is one."""
        self._begin()
        yield PhaseStarted(self.phase, self.n_steps, self.step)
        started = time.perf_counter()
        try:
            with freed_memory_kept():
                yield from self._steps()
        except GeneratorExit:  # the caller stops asking: nothing done is lost
            self._save()
            raise
        self._save()
        metrics = self.final_metrics()
        yield PhaseFinished(self.phase, time.perf_counter() - started, metrics)

    def _steps(self) -> Iterator[Event]:
        self.pace.start(self.step)
        asked = time.monotonic()
        batches = self.batches() if self.step < self.n_steps else iter(())
        for batch in batches:
            if isinstance(batch, float):
                yield Progress(self.phase, self.step, self.n_steps, 0.0, {"harvested": batch})
                continue
            loss = self.train_step(*batch)
            self.step += 1
            progress = self.progress(loss)
            if progress is not None:
                yield progress
            elif time.monotonic() - asked > ASKED_SECONDS:
                asked = time.monotonic()
                yield Working()
            if self.pace.checkpoint_due():
                self._save()
                yield Checkpoint(self.phase, self.step)
            if self.step == self.n_steps:  # another batch would be made in vain
                return

    @property
    def report_due(self) -> bool:
        """True where the last finished step has to be reported."""
        return self.pace.event_due(self.step) or self.step == self.n_steps

    def _begin(self) -> None:
        """Take the state of the checkpoint, and have all workers begin with worker 0's."""
        is_first = self.workers.rank == 0
        if is_first:
            saved = self.checkpoint.load()
            self.prepare() if saved is None else self.resume(saved)
        if self.workers.world > 1:
            own = self.state() if is_first else SavedState(0, {}, {})
            self.resume(share_state(self.workers, own))

    def _save(self) -> None:
        if self.workers.rank == 0:
            self.checkpoint.save(self.step, self.state().tensors)

    @abstractmethod
    def prepare(self) -> None:
        """Make ready for the first step of a training that has no checkpoint."""

    @abstractmethod
    def batches(self) -> Iterator[tuple[Any, ...] | float]:
        """Yield the arguments of one step after the other, from the present one on.

        A number between them is the share of what is done for the steps to come.
        """

    @abstractmethod
    def train_step(self, *batch: Any) -> Any:
        """Change the weights once; returns the loss."""

    @abstractmethod
    def progress(self, loss: Any) -> Progress | None:
        """Return what there is to report of the step that was just done."""

    def final_metrics(self) -> dict[str, float]:
        """Return the figures of the finished training."""
        return {}

    @abstractmethod
    def state(self) -> SavedState:
        """Return all that another process needs to go on."""

    @abstractmethod
    def resume(self, saved: SavedState) -> None:
        """Take a state that was saved."""


def named_tensors(saved: SavedState, name: str) -> dict[str, Any]:
    """Return the tensors of a state that were saved under ``name.``, without it."""
    start = f"{name}."
    return {
        key.removeprefix(start): value
        for key, value in saved.tensors.items()
        if key.startswith(start)
    }
