"""Workers in a Ray cluster, through Ray Train. They need no files in common with this machine.

The workers report through a small actor, a mailbox with the methods of a store. If the
machine it is on is lost, this process still has every checkpoint that it fetched.
"""

import logging
import os
import shutil
import socket
import tempfile
import time
import uuid
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from circuitscope_core.devices import usable_cores
from circuitscope_core.errors import StageError, TrainingError
from circuitscope_core.launch.backend import Backend
from circuitscope_core.launch.processes import PATIENCE
from circuitscope_core.launch.work import Assignment, work
from circuitscope_core.stages import StoredFile
from circuitscope_core.training import GroupWorkers, WorkersNews

ROOM_SECONDS = 120.0
"""How long a cluster may take to have a processor for every worker; one may be growing."""
REACH_SECONDS = 5.0
PACKAGE = Path(__file__).resolve().parents[1]


class Mailbox:
    """Files in the memory of one process, which others reach by its name."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def list(self, under: str) -> Sequence[tuple[str, int]]:
        """Return names and sizes."""
        return [(name, len(data)) for name, data in self.files.items() if name.startswith(under)]

    def get(self, name: str) -> bytes | None:
        """Return a file's content."""
        return self.files.get(name)

    def put(self, name: str, data: bytes) -> None:
        """Keep a file's content under a name."""
        self.files[name] = data

    def remove(self, names: Iterable[str]) -> None:
        """Forget files."""
        for name in names:
            self.files.pop(name, None)


@dataclass(frozen=True)
class MailboxStore:
    """A mailbox as a store."""

    actor: Any = field(repr=False)
    place: str = "the cluster's mailbox"

    def list(self, under: str = "") -> tuple[StoredFile, ...]:
        """Return the files whose names begin with ``under``, sorted by name."""
        found = self._ask(self.actor.list, under)
        return tuple(sorted(StoredFile(name, size, "") for name, size in found))

    def get(self, name: str, folder: Path) -> Path:
        """Copy one file into a folder and return where it is."""
        data = self._ask(self.actor.get, name)
        if data is None:
            raise StageError(f"{name} is not in {self.place}.")
        target = folder / Path(name).name
        target.write_bytes(data)
        return target

    def put(self, path: Path, name: str) -> None:
        """Copy a file to a name, over what was there."""
        self._ask(self.actor.put, name, path.read_bytes())

    def remove(self, names: Iterable[str]) -> None:
        """Delete files; a name that is not there is passed over."""
        self._ask(self.actor.remove, list(names))

    def _ask(self, method: Any, *arguments: Any) -> Any:
        import ray

        try:
            return ray.get(method.remote(*arguments))
        except ray.exceptions.RayError as error:
            raise StageError(f"{self.place} cannot be reached: {_first_line(error)}") from error


@dataclass
class RayCrew:
    """One run of Ray Train."""

    conductor: Any
    running: Any
    n_workers: int

    def lost(self) -> str | None:
        """Return why the run ended before its time; empty if it ended well; None while it runs."""
        import ray

        done, _ = ray.wait([self.running], timeout=0)
        if not done:
            return None
        try:
            return str(ray.get(self.running))
        except ray.exceptions.RayError as error:
            return f"The cluster lost the training: {_first_line(error)}."

    def state(self) -> WorkersNews:
        """Return how many workers were asked for."""
        return WorkersNews(
            "started", f"{self.n_workers} workers of a Ray cluster share each batch."
        )

    def end(self, asked: bool) -> None:
        """End the run and all of its workers: they do not outlive who started them."""
        del asked
        import ray

        ray.kill(self.conductor)


@dataclass
class RaySite:
    """A cluster that this process is connected to."""

    n_workers: int
    mailbox: Any = None
    most_restarts: int = 3

    @property
    def store(self) -> MailboxStore:
        """The store to which the workers report."""
        return MailboxStore(self._living_mailbox())

    def _living_mailbox(self) -> Any:
        import ray

        if self.mailbox is not None:
            try:
                ray.get(self.mailbox.list.remote("-"))
                return self.mailbox
            except ray.exceptions.RayError:
                pass  # its machine is gone
        mailbox: Any = ray.remote(num_cpus=0)(Mailbox)
        self.mailbox = mailbox.remote()
        return self.mailbox

    def start(self, assignment: Assignment) -> RayCrew:
        """Start the workers when there is room for them.

        Raises:
            TrainingError: If there is none for too long.
        """
        import ray

        self._wait_for_room()
        conductor: Any = ray.remote(num_cpus=0)(Conductor)
        conductor = conductor.remote()
        running = conductor.run.remote(assignment.to_json(), self.n_workers, self.mailbox)
        return RayCrew(conductor, running, self.n_workers)

    def rejoin(self) -> None:
        """Return nothing: workers do not outlive the process that started them."""

    def forget(self) -> None:
        """Do nothing: there are no workers to rejoin."""

    def _wait_for_room(self) -> None:
        import ray

        end = time.monotonic() + ROOM_SECONDS
        while (found := int(ray.cluster_resources().get("CPU", 0))) < self.n_workers:
            if time.monotonic() > end:
                raise TrainingError(
                    f"The Ray cluster has {found} processors in all and {self.n_workers} workers "
                    "need one each. Ask for fewer workers, or add machines to the cluster."
                )
            time.sleep(1.0)


class Conductor:
    """Runs Ray Train from inside the cluster, wherever the one who asked for it is."""

    def run(self, assignment: dict[str, Any], n_workers: int, mailbox: Any) -> str:
        """Train; returns which worker ended before its time, or nothing."""
        import ray.train
        from ray.train.torch import TorchConfig, TorchTrainer

        # nothing of ours goes there: machines without files in common would need more than a folder
        storage = tempfile.mkdtemp(prefix="circuitscope-")
        trainer = TorchTrainer(
            worker_loop,
            train_loop_config={"assignment": assignment, "mailbox": mailbox},
            torch_config=TorchConfig("gloo", timeout_s=int(PATIENCE.total_seconds())),
            scaling_config=ray.train.ScalingConfig(
                num_workers=n_workers,
                use_gpu=False,
                resources_per_worker={"CPU": 1},
                placement_strategy="SPREAD",
            ),
            # whether a loss is worth another try is decided where the checkpoints are
            run_config=ray.train.RunConfig(
                name=f"circuitscope-{uuid.uuid4().hex[:12]}",
                storage_path=storage,
                failure_config=ray.train.FailureConfig(max_failures=0),
            ),
        )
        try:
            trainer.fit()
        except ray.train.TrainingFailedError as error:
            return f"Workers ended before their time: {_first_line(error)}"
        finally:
            shutil.rmtree(storage, ignore_errors=True)
        return ""


def worker_loop(told: dict[str, Any]) -> None:
    """Be one worker."""
    import ray.train
    import torch

    here = ray.train.get_context()
    torch.set_num_threads(max(1, usable_cores() // here.get_local_world_size()))
    workers = GroupWorkers(here.get_world_rank(), here.get_world_size())
    assignment = Assignment.from_json(told["assignment"])
    work(assignment, workers, MailboxStore(told["mailbox"]), usable_cores())


@contextmanager
def ray_site(backend: Backend) -> Iterator[RaySite]:
    """Lend a cluster to train in.

    Raises:
        TrainingError: If there is no cluster at the address.
    """
    with connected(backend):
        yield RaySite(backend.n_workers)


@contextmanager
def connected(backend: Backend) -> Iterator[Any]:
    """Connect to a cluster, or start one, and lend the module; what was started is ended again.

    Raises:
        TrainingError: If there is no cluster at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    _check_reachable(backend.place)
    import ray

    options: dict[str, Any]
    if backend.place:
        # its machines may have another version of this package, or none
        options = {"address": backend.place, "runtime_env": {"py_modules": [str(PACKAGE)]}}
    else:
        n_cpus = backend.n_workers + 1  # with none to spare, Ray Train waits for ever
        options = {"address": "local", "include_dashboard": False, "num_cpus": n_cpus}
    with warnings.catch_warnings():
        # Ray leaves files open that it writes its own logs to
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        except (ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
            where = backend.place or "on this machine"
            raise TrainingError(
                f"There is no Ray cluster at {where}: {_first_line(error)}. Start one with "
                "ray start --head, or name its address."
            ) from error
        try:
            yield ray
        finally:
            ray.shutdown()


def _check_reachable(place: str) -> None:
    """Say within seconds what Ray would find out after minutes of trying."""
    named = os.environ.get("RAY_ADDRESS", "") if place == "auto" else place
    host, _, port = named.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # Ray knows where its cluster is
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS).close()
    except OSError as error:
        raise TrainingError(
            f"There is no Ray cluster at {named}: {error.strerror or error}. Start one with "
            "ray start --head, or name its address."
        ) from error


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
