"""One training, wherever it runs, as one stream of events from this process."""

import shutil
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from circuitscope_core.errors import ConfigError, StageError, TrainingError
from circuitscope_core.launch.backend import Backend, require
from circuitscope_core.launch.following import BUSY_SHARE, LEAST_SECONDS, Follower, StopSign
from circuitscope_core.launch.ml_job import job_site
from circuitscope_core.launch.processes import ProcessSite
from circuitscope_core.launch.ray_cluster import ray_site
from circuitscope_core.launch.work import Assignment
from circuitscope_core.pipeline import (
    RunLog,
    TrainingPlan,
    carry_out,
    check_free,
    check_share,
    file_errors,
    logged,
)
from circuitscope_core.stages import FileStore
from circuitscope_core.training import (
    Event,
    PhaseStarted,
    Progress,
    RunFolder,
    TrainingCancelled,
    TrainingFailed,
    TrainingFinished,
    WorkersNews,
    Working,
)

LAST_MOMENT = 1.0
"""Seconds for number 0 to say why it fails, where another worker failed of the same."""


@runtime_checkable
class Crew(Protocol):
    """Workers at work."""

    def lost(self) -> str | None:
        """Return which worker ended too early; empty if all ended well; None while at work."""

    def state(self) -> WorkersNews:
        """Return where they are and how they do, for people."""

    def end(self, asked: bool) -> None:
        """End whatever is left; what lives on without this process only if that was asked for."""


@runtime_checkable
class Site(Protocol):
    """A place where workers can be started, again and again."""

    @property
    def store(self) -> FileStore:
        """The store to which the workers report."""

    @property
    def most_restarts(self) -> int:
        """How often workers are started again without a new checkpoint between."""

    def start(self, assignment: Assignment) -> Crew:
        """Start them all.

        Raises:
            TrainingError: If there is no room for them.
        """

    def rejoin(self) -> Crew | None:
        """Return workers that an earlier process started and that are still at work."""

    def forget(self) -> None:
        """Do not rejoin those that were started."""


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
        store: Mirrors the run folder; a training begun on another machine continues from it.
        stop: Asked now and then; when it says so, the training is cancelled as by closing.

    Raises:
        ConfigError: If the place cannot be used.
        TrainingError: As ``train`` does, and if workers are lost again and again.
        StageError: If a store cannot be reached.
    """
    check_free(plan.out, restart=plan.restart, overwrite=plan.overwrite)
    if plan.model is not None and backend.kind == "snowflake":
        raise ConfigError(
            f"Transcoders of Hugging Face models cannot be trained in {backend}: a compute pool "
            "has neither the model's folder nor the package transformers. Use local, procs:N or "
            "ray:N on a machine that has the model."
        )
    require(backend)
    check_device(plan, backend)
    check_share(plan.config, backend.n_workers)
    if store is not None and backend.kind != "snowflake":
        stop = _either(stop, StopSign(store))
    if backend.kind == "local":
        yield from _stoppable(carry_out(plan, store=store), stop)
        return
    folder = RunFolder.for_bundle(plan.out)
    with file_errors(), folder.locked():
        folder.path.mkdir(parents=True, exist_ok=True)
        with _site(backend, folder, store) as site:
            driver = Driver(plan, site, folder, stop)
            driver.begin()
            log = RunLog(folder, store)
            if driver.crew is None:
                log.begin(plan.restart)
            # a job mirrors its own folder in the store
            own = RunLog(folder) if backend.kind == "snowflake" else log
            yield from logged(driver.events(), own)


def check_device(plan: TrainingPlan, backend: Backend) -> None:
    """Refuse a card for several workers.

    Raises:
        ConfigError: If one is named.
    """
    if backend.kind != "local" and plan.device not in (None, "auto", "cpu"):
        raise ConfigError(
            f"device is {plan.device!r}, and the workers of {backend} train on processors, which "
            "add up their gradients. Use backend local, or leave device out."
        )


def _either(one: Callable[[], bool], other: Callable[[], bool]) -> Callable[[], bool]:
    return lambda: one() or other()


def _stoppable(
    events: Generator[Event, None, None], stop: Callable[[], bool]
) -> Generator[Event, None, None]:
    for event in events:
        if not isinstance(event, Working):
            yield event
        if not isinstance(event, TrainingFinished) and stop():
            events.close()
            yield TrainingCancelled()
            return


@contextmanager
def _site(backend: Backend, folder: RunFolder, store: FileStore | None) -> Iterator[Site]:
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
        yield job_site(backend, folder, store)


@dataclass
class Driver:
    """Starts workers, tells what they do, and starts them again where one is lost."""

    plan: TrainingPlan
    site: Site
    folder: RunFolder
    stop: Callable[[], bool]
    heard: bool = False
    """Whether the workers are past the reading of text: until then they have nothing to save."""
    asked: bool = False
    over: bool = False
    """Whether the training has come to its end, or to a stop that was asked for."""
    crew: Crew | None = None
    """Workers that are at work already."""

    def begin(self) -> None:
        """Look for workers that an earlier process started; end them where all begins anew."""
        if not self.plan.restart:
            self.crew = self.site.rejoin()
            return
        with suppress(StageError):  # whatever is not there need not be ended
            old = self.site.rejoin()
            if old is not None:
                old.end(asked=True)
        self.folder.discard()
        self.folder.path.mkdir(parents=True)

    def events(self) -> Generator[Event, None, None]:
        """Train to the end."""
        started = time.monotonic()
        assignment = Assignment(
            self.plan.config.to_json(),
            absolute_sources(self.plan.source),
            self.plan.out.name,
            self.plan.command,
            None if self.plan.model is None else self.plan.model.place(),
        )
        restarts, reached = 0, self.folder.progress()
        while True:
            try:
                for event in self._attempt(assignment):
                    if isinstance(event, TrainingFinished):
                        seconds = time.monotonic() - started
                        event = replace(event, bundle=str(self.plan.out), seconds=seconds)
                    yield event
                return
            except _CrewLost as lost:
                restarts = 0 if self.folder.progress() > reached else restarts
                reached = self.folder.progress()
                if restarts == self.site.most_restarts:
                    raise TrainingError(f"{lost}{_given_up(restarts)}") from lost
                restarts += 1
                yield WorkersNews("restarted", f"{lost} All go on from the last checkpoint.")

    def _attempt(self, assignment: Assignment) -> Generator[Event, None, None]:
        follower = Follower(self.site.store, self.folder)
        crew, self.crew = self.crew, None
        if crew is None:
            follower.begin()
            RunLog(self.folder, self.site.store).seed()
            crew = self.site.start(assignment)
        self.heard = False
        try:
            yield from self._follow(follower, crew)
        except GeneratorExit:
            if not self.over:
                self._stop(follower, crew)
            raise
        except (TrainingError, _CrewLost):
            self.site.forget()
            raise
        finally:
            crew.end(self.asked)

    def _follow(self, follower: Follower, crew: Crew) -> Iterator[Event]:
        told = None
        while True:
            if (state := crew.state()) != told:
                yield (told := state)
            lost = crew.lost()
            if lost:
                time.sleep(LAST_MOMENT)
            began = time.monotonic()
            for event in self._news(follower):
                if isinstance(event, TrainingFinished | TrainingCancelled):
                    self.over = True
                    crew.end(self.asked)
                yield event
                if self.over:  # what follows would look into a folder that is gone
                    return
            if lost is not None:
                for words in follower.errors():
                    raise TrainingError(words)
                raise _CrewLost(lost or "The workers ended without a word.")
            if self.stop():
                yield from self._stop(follower, crew)
                self.over = True
                yield TrainingCancelled()
                return
            time.sleep(max(LEAST_SECONDS, BUSY_SHARE * (time.monotonic() - began)))

    def _news(self, follower: Follower) -> Iterator[Event]:
        for event in follower.news():
            self.heard |= not isinstance(event, PhaseStarted | Progress) or event.phase != "corpus"
            if isinstance(event, TrainingFailed):
                raise TrainingError(event.message)
            if isinstance(event, TrainingFinished):
                follower.fetch_bundle(self.plan.out)
            yield event

    def _stop(self, follower: Follower, crew: Crew) -> list[Event]:
        """Ask the workers to save and stop; returns what they still said."""
        self.asked = True
        self.site.forget()
        if not self.heard:
            return []
        follower.ask_to_stop()
        return list(follower.last_events(lambda: crew.lost() is not None))


class _CrewLost(Exception):
    """A worker ended before its time."""


def _given_up(restarts: int) -> str:
    times = f"{restarts + 1} times in a row without a new checkpoint"
    often = f" Workers were lost {times}." if restarts else ""
    return f"{often} The last checkpoint is kept; start the same training again to go on from it."


def absolute_sources(source: object) -> tuple[str, ...]:
    """Return the sources as texts that mean the same in any folder of this machine.

    Raises:
        TrainingError: If one is an object of a program, which no other process has.
    """
    several = isinstance(source, Sequence) and not isinstance(source, str)
    items = list(source) if several else [source]  # type: ignore[call-overload]
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
