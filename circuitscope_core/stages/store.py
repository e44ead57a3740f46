"""Files under a place, be it a folder or a stage: listed, fetched, put and removed whole."""

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from circuitscope_core.errors import StageError


@dataclass(frozen=True, order=True)
class StoredFile:
    """One file as a listing tells it."""

    name: str
    """Path below the place, with slashes."""
    size: int
    """Bytes."""
    md5: str
    """The hash as the place reports it, which tells whether a file was changed; may be empty."""


@runtime_checkable
class FileStore(Protocol):
    """Files under a place. A file appears under its name only when it is whole."""

    @property
    def place(self) -> str:
        """The user's name of the place: a folder's path or ``@database.schema.stage/path``."""

    def list(self, under: str = "") -> tuple[StoredFile, ...]:
        """Return the files whose names begin with ``under``, sorted by name.

        Raises:
            StageError: If the place cannot be reached or read.
        """

    def get(self, name: str, folder: Path) -> Path:
        """Copy one file into a folder and return where it is.

        Raises:
            StageError: If it is not there or did not arrive whole.
        """

    def put(self, path: Path, name: str) -> None:
        """Copy a file to a name, over what was there; never compressed on the way.

        Raises:
            StageError: If it cannot be written.
        """

    def remove(self, names: Iterable[str]) -> None:
        """Delete files; a name that is not there is passed over.

        Raises:
            StageError: If they may not be deleted.
        """


@dataclass(frozen=True)
class FolderStore:
    """A folder on this machine."""

    folder: Path

    @property
    def place(self) -> str:
        """The folder's path."""
        return str(self.folder)

    def list(self, under: str = "") -> tuple[StoredFile, ...]:
        """Return the files whose names begin with ``under``, sorted by name."""
        paths = (path for path in self.folder.rglob("*") if path.is_file())
        files = (
            StoredFile(path.relative_to(self.folder).as_posix(), path.stat().st_size, "")
            for path in paths
            if not path.name.endswith(".partial")
        )
        return tuple(sorted(file for file in files if file.name.startswith(under)))

    def get(self, name: str, folder: Path) -> Path:
        """Copy one file into a folder and return where it is."""
        target = folder / Path(name).name
        try:
            shutil.copyfile(self._inside(name), target)
        except OSError as error:
            raise StageError(f"{name} cannot be read from {self.folder}: {error}") from error
        return target

    def put(self, path: Path, name: str) -> None:
        """Copy a file to a name, over what was there."""
        target = self._inside(name)
        partial = target.with_name(f"{target.name}.partial")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, partial)
            os.replace(partial, target)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise StageError(f"{name} cannot be written to {self.folder}: {error}") from error

    def remove(self, names: Iterable[str]) -> None:
        """Delete files; a name that is not there is passed over."""
        for name in names:
            try:
                self._inside(name).unlink(missing_ok=True)
            except OSError as error:
                raise StageError(f"{name} cannot be deleted: {error}") from error

    def _inside(self, name: str) -> Path:
        try:
            path = (self.folder / name).resolve()
        except (OSError, ValueError) as error:  # NUL, half a character, a ring of links
            raise StageError(f"{name!r:.200} is no name that a file can have.") from error
        if not path.is_relative_to(self.folder.resolve()):
            raise StageError(f"{name!r} lies outside {self.folder}; name a file below it.")
        return path
