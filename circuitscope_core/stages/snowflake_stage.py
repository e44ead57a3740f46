"""Files of a Snowflake stage through Snowpark: listed once, carried whole, never compressed."""

import glob
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from circuitscope_core.errors import StageError
from circuitscope_core.files import temporary_folder
from circuitscope_core.stages.identifiers import quote_text
from circuitscope_core.stages.location import StageLocation, check_name
from circuitscope_core.stages.problems import explain, first_line, is_passing
from circuitscope_core.stages.store import StoredFile

SnowparkSession: TypeAlias = Any
TRIES = 3
SECONDS_BETWEEN_TRIES = (0.5, 2.0)
PADDING = 16
"""Bytes that client-side encryption adds at most: a listing tells the size of what is stored."""
PARALLEL = 8
"""Threads of a transfer; each holds a piece of 8 MB where the storage is read in pieces."""
COPY_BYTES = 1 << 20
_SPECIAL = re.compile(r"[.^$*+?{}\[\]\\|()]")
_locks: WeakKeyDictionary[SnowparkSession, Any] = WeakKeyDictionary()
_locks_lock = threading.Lock()


@contextmanager
def use_session(session: SnowparkSession) -> Iterator[SnowparkSession]:
    """Keep other threads from a session for one statement or one transfer.

    A session shares one cursor between threads unless the account switches thread-safe sessions
    on: a file fetched ahead and a listing asked for by a page would take each other's results.
    """
    with _locks_lock:
        lock = _locks.setdefault(session, threading.RLock())
    with lock:
        yield session


def in_warehouse() -> bool:
    """Tell whether this is Python inside a warehouse (a stored procedure), without loading any.

    There Snowpark is loaded before our code runs, since the session is handed over.
    """
    module = sys.modules.get("snowflake.snowpark._internal.utils")
    return bool(module and module.is_in_stored_procedure())


@dataclass(frozen=True)
class StageStore:
    """The files below a place in a stage."""

    session: SnowparkSession
    location: StageLocation
    streams: bool = field(default_factory=in_warehouse)
    """Whether files are read as streams: inside a warehouse SQL may not GET."""
    wait: Callable[[float], None] = time.sleep
    _sizes: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.location.is_pattern:
            raise StageError(f"{self.location} is a pattern; name a folder of a stage.")

    @property
    def place(self) -> str:
        """The stage's address."""
        return str(self.location)

    def list(self, under: str = "") -> tuple[StoredFile, ...]:
        """Return the files whose names begin with ``under``, sorted by name: one statement.

        Raises:
            StageError: If there is no such stage, or it may not be read, or cannot be reached.
        """
        what = f"Listing {self._shown(under)}"
        rows = self._run(what, f"LIST {self.location.sql_below(under)}")
        files = [StoredFile(*entry) for row in rows if (entry := self._entry(row, what))]
        self._sizes.update((file.name, file.size) for file in files)
        return tuple(sorted(file for file in files if file.name.startswith(under)))

    def get(self, name: str, folder: Path) -> Path:
        """Copy one file into a folder; it appears there only when it is whole.

        A transfer that breaks off is begun again, three times in all.

        Raises:
            StageError: If it is not there, may not be read, or did not arrive whole.
        """
        size, shown = self._size(check_name(name)), self._shown(name)
        target, problem = folder / Path(name).name, ""
        for wait in (0.0, *SECONDS_BETWEEN_TRIES):
            if wait:
                self.wait(wait)
            try:
                # a folder of its own: files of one name from two places do not meet in it
                with tempfile.TemporaryDirectory(prefix=".arriving-", dir=folder) as own:
                    arrived = self._fetch(name, Path(own))
                    found = arrived.stat().st_size
                    if size - PADDING <= found <= size:
                        os.replace(arrived, target)
                        return target
                    problem = f"{found:,} of {size:,} bytes arrived"
            except Exception as error:  # errors of Snowpark, the connector, and the network
                if not is_passing(error):
                    raise explain(error, f"Reading {shown}") from error
                problem = first_line(error)
        raise StageError(
            f"The connection was lost in mid-file: {shown} did not arrive whole in {TRIES} tries "
            f"({problem}). Try again; if the file was replaced meanwhile, start anew."
        )

    def put(self, path: Path, name: str) -> None:
        """Copy a file to a name, over what was there, as it is: never compressed on the way.

        Raises:
            StageError: If it cannot be written.
        """
        check_name(name)
        what = f"Writing {self._shown(name)}"
        folder, _, last = name.rpartition("/")
        target = self._written(f"{folder}/" if folder else "")
        for wait in (*SECONDS_BETWEEN_TRIES, None):
            try:
                with _named(path, last) as source, use_session(self.session) as session:
                    (result,) = session.file.put(
                        glob.escape(str(source)),  # the connector takes it for a pattern
                        target,
                        parallel=PARALLEL,
                        auto_compress=False,
                        source_compression="NONE",
                        overwrite=True,
                    )
                break
            except Exception as error:  # as in get
                if wait is None or not is_passing(error):
                    raise explain(error, what) from error
                self.wait(wait)
        if result.target != last or result.status != "UPLOADED":
            raise StageError(f"{what} did not work: Snowflake answers {result.status}; try again.")
        self._sizes.pop(name, None)

    def remove(self, names: Iterable[str]) -> None:
        """Delete files; a name that is not there is passed over.

        REMOVE goes by prefixes: where other files begin with a name, a pattern keeps them.

        Raises:
            StageError: If they may not be deleted.
        """
        wanted = [check_name(name) for name in names]
        if not wanted:
            return
        there = [file.name for file in self.list(_common_beginning(wanted))]
        for name in sorted(set(wanted).intersection(there)):
            statement = f"REMOVE {self.location.sql_below(name)}"
            begun = [other for other in there if other.startswith(name)]
            if begun != [name]:
                statement += f" PATTERN = {quote_text(self._only(name, begun))}"
            self._run(f"Deleting {self._shown(name)}", statement)
            self._sizes.pop(name, None)

    def _only(self, name: str, there: Iterable[str]) -> str:
        """Return a regular expression that fits one file of all those that begin with its name."""
        # it is held against the whole path, in front of which the stage's name may stand
        fitting = f"(.*/)?{_SPECIAL.sub(_escape, self._path(name))}"
        hit = [other for other in there if re.fullmatch(fitting, self._path(other), re.DOTALL)]
        if hit != [name]:
            raise StageError(
                f"{self._shown(name)} cannot be deleted alone, since {len(hit)} files end in its "
                "path; rename the others first."
            )
        return fitting

    def _run(self, what: str, statement: str) -> Sequence[Any]:
        try:
            with use_session(self.session) as session:
                rows: Sequence[Any] = session.sql(statement).collect()
                return rows
        except Exception as error:  # as in get
            raise explain(error, what) from error

    def _entry(self, row: Any, what: str) -> tuple[str, int, str] | None:
        """Return name, size and md5 of a listed file; None for one outside the place."""
        listed, stage = str(row["name"]), self.location.stage_name
        if "://" in listed:
            raise StageError(
                f"{what} did not work: it is an external stage, from which Snowflake lets no file "
                "be fetched. Copy the files to an internal one with COPY FILES."
            )
        # Snowflake writes the stage's name in lower case, and none for @~ and @%table
        path = listed[len(stage) + 1 :] if stage else listed
        folder = f"{self.location.path}/" if self.location.path else ""
        if not path.startswith(folder) or path == folder:
            return None
        return path[len(folder) :], int(row["size"]), str(row["md5"] or "")

    def _size(self, name: str) -> int:
        if name not in self._sizes:
            self.list(name)
        if name not in self._sizes:
            raise StageError(f"{self._shown(name)} is not there; look at the list of files again.")
        return self._sizes[name]

    def _fetch(self, name: str, folder: Path) -> Path:
        target, source = folder / Path(name).name, self._written(name)
        with use_session(self.session) as session:
            if not self.streams:
                session.file.get(source, str(folder), parallel=PARALLEL)
            else:
                with session.file.get_stream(source) as stream, target.open("wb") as file:
                    shutil.copyfileobj(stream, file, COPY_BYTES)
        return target

    def _written(self, name: str) -> str:
        # inside a warehouse files are carried by calls and not by SQL: there is no string to quote
        return self.location.address_below(name) if self.streams else self.location.sql_below(name)

    def _path(self, name: str) -> str:
        return f"{self.location.path}/{name}" if self.location.path else name

    def _shown(self, name: str) -> str:
        return f"{self.place}/{name}" if name else self.place


@contextmanager
def _named(path: Path, name: str) -> Iterator[Path]:
    """Lend the file under another name, since PUT keeps the local one; no byte is copied."""
    with temporary_folder() as folder:
        other = folder / name
        source = path.resolve(strict=True)
        try:
            other.symlink_to(source)
        except OSError:  # where links are not allowed
            shutil.copyfile(source, other)
        yield other


def _common_beginning(names: Iterable[str]) -> str:
    first, last = min(names), max(names)
    same = (a == b for a, b in zip(first, last, strict=False))
    return "".join(character for character, _ in zip(first, takewhile(bool, same), strict=False))


def _escape(found: re.Match[str]) -> str:
    return f"\\{found[0]}"
