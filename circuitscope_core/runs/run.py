"""One training, wherever it runs, as one stream of events from this process."""

import shutil
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from circuitscope_core.errors import TrainingError
from circuitscope_core.pipeline import (
    RunLog,
    TrainingPlan,
    carry_out,
    check_share,
    logged,
)
from circuitscope_core.runs.backend import Backend, require
from circuitscope_core.runs.following import BUSY_SHARE, LEAST_SECONDS, Follower
from circuitscope_core.runs.ml_job import job_site
from circuitscope_core.runs.processes import ProcessSite
from circuitscope_core.runs.ray_cluster import ray_site
from circuitscope_core.runs.work import Assignment
from circuitscope_core.stages import FileStore
from circuitscope_core.training import (
    Event,
    RunFolder,
    TrainingCancelled,
    TrainingFailed,
    TrainingFinished,
    WorkersNews,
)

MOST_RESTARTS = 3
"""Without a new checkpoint between them."""
LAST_MOMENT = 1.0
"""Seconds for number 0 to say why it fails, where another worker failed of the same."""


class Crew(Protocol):
    """Workers at work."""

    def lost(self) -> str | None:
        """Return which worker ended before its time; empty if all ended well; None while at work."""

    def end(self) -> None:
        """End whatever is left."""


class Site(Protocol):
    """A place where workers can be started, again and again."""

    @property
    def store(self) -> FileStore:
        """Where the workers put what they have to tell."""

    def start(self, assignment: Assignment) -> Crew:
        """Start them all.

        Raises:
            TrainingError: If there is no room for them.
        """


def run_training(
    plan: TrainingPlan,
    backend: Backend,
    store: FileStore | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Train as ``train`` does, at a place of choice; the events and the bundle are the same.

    Args:
        plan: What to train. Sources must be texts unless it runs in this process.
        backend: Where.
        store: Mirrors the run folder; a training begun on another machine goes on from it.
        stop: Asked now and then; when it says so, the training is cancelled as by closing.

    Raises:
        ConfigError: If the place cannot be used.
        TrainingError: As ``train`` does, and if workers are lost again and again.
        StageError: If a store cannot be reached.
    """
    require(backend)
    check_share(plan.config, backend.n_workers)
    if backend.kind == "local":
        yield from _stoppable(carry_out(plan, store=store), stop)
        return
    folder = RunFolder.for_bundle(plan.out)
    with folder.locked():
        log = RunLog(folder, store)
        if plan.restart:
            folder.discard()
        folder.path.mkdir(parents=True, exist_ok=True)
        log.seed() if plan.restart and store else log.fill()
        with _site(backend, folder) as site:
            yield from logged(_Driver(plan, site, folder, stop).events(), log)


def _stoppable(
    events: Generator[Event, None, None], stop: Callable[[], bool]
) -> Generator[Event, None, None]:
    for event in events:
        yield event
        if not isinstance(event, TrainingFinished) and stop():
            events.close()
            yield TrainingCancelled()
            return


@contextmanager
def _site(backend: Backend, folder: RunFolder) -> Iterator[Site]:
    if backend.kind == "procs":
        place = folder.path / "workers"
        try:
            yield ProcessSite(place, backend.n_workers)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    elif backend.kind == "ray":
        with ray_site(backend) as site:
            yield site
    else:
        yield job_site(backend, folder)


@dataclass
class _Driver:
    """Starts workers, tells what they do, and starts them again where one is lost."""

    plan: TrainingPlan
    site: Site
    folder: RunFolder
    stop: Callable[[], bool]

    def events(self) -> Generator[Event, None, None]:
        """Train to the end."""
        started = time.monotonic()
        assignment = Assignment(
            self.plan.config.to_json(),
            absolute_sources(self.plan.source),
            self.plan.out.name,
            self.plan.command,
        )
        restarts, reached = 0, self.folder.progress()
        while True:
            try:
                for event in self._attempt(assignment):
                    if isinstance(event, TrainingFinished):
                        seconds = time.monotonic() - started
                        yield replace(event, bundle=str(self.plan.out), seconds=seconds)
                        return
                    yield event
                    if isinstance(event, TrainingCancelled):
                        return
            except _CrewLost as lost:
                restarts = 0 if self.folder.progress() > reached else restarts
                reached = self.folder.progress()
                if restarts == MOST_RESTARTS:
                    raise TrainingError(
                        f"{lost} That was the {MOST_RESTARTS + 1}th time without a new checkpoint "
                        "between. The last checkpoint is kept: the same training goes on from "
                        "there when it is started again, here or elsewhere."
                    ) from lost
                restarts += 1
                yield WorkersNews("restarted", f"{lost} All go on from the last checkpoint.")

    def _attempt(self, assignment: Assignment) -> Generator[Event, None, None]:
        RunLog(self.folder, self.site.store).seed()
        follower = Follower(self.site.store, self.folder)
        crew = self.site.start(assignment)
        try:
            yield from self._follow(follower, crew)
        except GeneratorExit:
            self._stop(follower, crew)
            raise
        finally:
            crew.end()

    def _follow(self, follower: Follower, crew: Crew) -> Iterator[Event]:
        while True:
            lost = crew.lost()
            if lost:
                time.sleep(LAST_MOMENT)
            began = time.monotonic()
            for event in follower.news():
                if isinstance(event, TrainingFailed):
                    raise TrainingError(event.message)
                if isinstance(event, TrainingFinished):
                    follower.fetch_bundle(self.plan.out)
                yield event
                if isinstance(event, TrainingFinished | TrainingCancelled):
                    return
            if lost is not None:
                said = follower.errors()
                if said:
                    raise TrainingError(said[0])
                raise _CrewLost(lost or "The workers ended without a word.")
            if self.stop():
                yield from self._stop(follower, crew)
                yield TrainingCancelled()
                return
            time.sleep(max(LEAST_SECONDS, BUSY_SHARE * (time.monotonic() - began)))

    def _stop(self, follower: Follower, crew: Crew) -> list[Event]:
        """Ask the workers to save and stop; returns what they still said."""
        follower.ask_to_stop()
        return list(follower.last_events(lambda: crew.lost() is not None))


class _CrewLost(Exception):
    """A worker ended before its time."""


def absolute_sources(source: object) -> tuple[str, ...]:
    """Return the sources as texts that mean the same in any folder of this machine.

    Raises:
        TrainingError: If one is an object of a program, which no other process has.
    """
    items = [source] if isinstance(source, str | Path) else list(source)  # type: ignore[call-overload]
    wrong = [item for item in items if not isinstance(item, str | Path)]
    if wrong:
        raise TrainingError(
            f"{wrong[0]!r} exists in this process only; give Parquet files, an hf:// or stage "
            'address, or "builtin", or train with backend local.'
        )
    return tuple(_absolute(str(item)) for item in items)


def _absolute(source: str) -> str:
    elsewhere = source == "builtin" or source.startswith("@") or "://" in source
    return source if elsewhere else str(Path(source).expanduser().absolute())
