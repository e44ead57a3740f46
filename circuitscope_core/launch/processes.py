"""Workers as processes of this machine, which find each other through a file."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil
import torch

from circuitscope_core.devices import usable_cores
from circuitscope_core.launch.work import Assignment, work
from circuitscope_core.stages import FileStore, FolderStore
from circuitscope_core.training import GroupWorkers, WorkersNews

PATIENCE = timedelta(days=1)
"""How long a worker waits for another. Reading a large corpus takes long, and a worker that dies
closes its connections: nobody waits for the dead."""
LAST_SUM_SECONDS = 2.0
"""How long a helper stays after its last sum, until the others have that sum, too."""


@dataclass
class ProcessCrew:
    """The worker processes of one attempt."""

    folder: Path
    processes: list[subprocess.Popen[bytes]]

    def lost(self) -> str | None:
        """Return which worker ended too early; empty if all ended well; None while at work."""
        codes = [process.poll() for process in self.processes]
        failed = [(rank, code) for rank, code in enumerate(codes) if code]
        if failed:
            rank, code = failed[0]
            how = f"killed by signal {-code}" if code < 0 else f"with exit status {code}"
            return f"Worker {rank} of {len(codes)} ended ({how}). {self._last_words(rank)}".strip()
        return "" if codes[0] == 0 else None

    def _last_words(self, rank: int) -> str:
        log = self.folder / f"{rank}.log"
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
        said = [line for line in lines if line.strip()]
        return said[-1] if said else ""

    def state(self) -> WorkersNews:
        """Return how many they are."""
        return WorkersNews("started", f"{len(self.processes)} processes share each batch.")

    def end(self, asked: bool) -> None:
        """End whatever is left; nothing lives on without this process, whether asked or not."""
        del asked
        for process in self.processes:
            process.kill()
            if process.stdin:
                process.stdin.close()
            process.wait()


@dataclass(frozen=True)
class ProcessSite:
    """A folder in which processes of this machine can work."""

    folder: Path
    n_workers: int
    most_restarts: int = 3

    @property
    def store(self) -> FileStore:
        """The store to which the workers report."""
        return FolderStore(self.folder / "store")

    def start(self, assignment: Assignment) -> ProcessCrew:
        """Start one process for each worker."""
        self.folder.mkdir(parents=True, exist_ok=True)
        meeting = self.folder / "meeting"
        meeting.unlink(missing_ok=True)
        (self.folder / "assignment.json").write_text(
            json.dumps(assignment.to_json()), encoding="utf-8"
        )
        threads = max(1, usable_cores() // self.n_workers)
        # PyTorch reads the number of its threads before any of our code can set it
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), **loopback()}
        processes = []
        for rank in range(self.n_workers):
            command = [sys.executable, "-m", "circuitscope_core.launch.processes"]
            command += [str(self.folder.resolve()), str(rank), str(self.n_workers)]
            with (self.folder / f"{rank}.log").open("wb") as log:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    # a terminal's interrupt is for the one that watches them
                    start_new_session=True,
                )
            processes.append(process)
        return ProcessCrew(self.folder, processes)

    def rejoin(self) -> None:
        """Return nothing: processes do not outlive the one that started them."""

    def forget(self) -> None:
        """Do nothing: there are no workers to rejoin."""


def loopback() -> dict[str, str]:
    """Return the setting that keeps workers' talk on this machine."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(address.address == "127.0.0.1" for address in addresses):
            return {"GLOO_SOCKET_IFNAME": name}
    return {}


def _end_with_parent() -> None:
    """End this process when the one that started it is gone: its end of the pipe closes."""
    sys.stdin.buffer.read()
    os._exit(1)


def main(folder: Path, rank: int, n_workers: int) -> None:
    """Be one worker process."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    told = json.loads((folder / "assignment.json").read_text(encoding="utf-8"))
    torch.set_num_threads(max(1, usable_cores() // n_workers))
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'meeting'}",
        rank=rank,
        world_size=n_workers,
        timeout=PATIENCE,
    )
    store = FolderStore(folder / "store")
    work(Assignment.from_json(told), GroupWorkers(rank, n_workers), store, usable_cores())
    if rank:  # who leaves at once may fail the last sum of one who is still at it
        time.sleep(LAST_SUM_SECONDS)
    # the others may be gone already: no farewell, which would wait for them
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
