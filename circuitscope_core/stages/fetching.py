"""Files of a store one after the other, the next one fetched while the present one is read."""

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from circuitscope_core.stages.snowflake_stage import in_warehouse
from circuitscope_core.stages.store import FileStore


@dataclass
class _Transfer:
    """One file on its way, in a folder of its own."""

    store: FileStore
    name: str
    folder: TemporaryDirectory[str] = field(
        default_factory=lambda: TemporaryDirectory(
            prefix="circuitscope-", ignore_cleanup_errors=True
        )
    )
    path: Path | None = None
    error: BaseException | None = None

    def run(self) -> None:
        try:
            self.path = self.store.get(self.name, Path(self.folder.name))
        except BaseException as error:
            # told where the file is asked for, in the thread that reads
            self.error = error


@dataclass
class _Ahead:
    """A transfer in a thread, which clears up after itself if nobody wants the file any more."""

    transfer: _Transfer
    abandoned: bool = False
    finished: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        # a daemon: leaving the program does not wait for a file that nobody will read
        self.thread = threading.Thread(
            target=self._run, name=f"fetch {self.transfer.name}", daemon=True
        )
        self.thread.start()

    def _run(self) -> None:
        self.transfer.run()
        with self.lock:
            self.finished = True
            if self.abandoned:
                self.transfer.folder.cleanup()

    def wait(self) -> _Transfer:
        self.thread.join()
        return self.transfer

    def abandon(self) -> None:
        """Leave the file to the thread: a transfer cannot be broken off, and is not waited for."""
        with self.lock:
            self.abandoned = True
            if self.finished:
                self.transfer.folder.cleanup()


def download(
    store: FileStore, names: Sequence[str], arrived: Callable[[str], None] | None = None
) -> Generator[Path, None, None]:
    """Yield each file as a path on this machine, which is deleted when the next one is asked for.

    At most two files are on disk: the one that is read and the one that is fetched meanwhile, in
    one thread. Inside a warehouse, where sessions belong to one thread, they are fetched in turn.
    Close the iterator to stop; what is then on its way is deleted when it has arrived.

    Args:
        store: Holds the files.
        names: Which ones, in this order.
        arrived: Told each name when its file is there.

    Raises:
        StageError: If a file cannot be fetched; when it is its turn.
    """
    threads = not in_warehouse()
    ahead: _Ahead | None = None
    try:
        for number, name in enumerate(names):
            if ahead:
                transfer = ahead.wait()
                ahead = None
            else:
                transfer = _Transfer(store, name)
                transfer.run()
            with transfer.folder:
                if transfer.error:
                    raise transfer.error
                assert transfer.path is not None
                if threads and number + 1 < len(names):
                    ahead = _Ahead(_Transfer(store, names[number + 1]))
                if arrived:
                    arrived(name)
                yield transfer.path
    finally:
        if ahead:
            ahead.abandon()
