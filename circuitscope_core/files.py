"""Writes files under another name first, so that nobody ever reads half of one.

A file that was being written when the program was ended by force stays as it was before; what is
left of the new one has a hidden name that ends in ``.partial``, which nothing reads.
"""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from circuitscope_core.errors import StageError

NAME_PART = 40
"""Letters of a file's name in its temporary one, which must not grow too long for the disk."""
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)
_NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


def refused_by_windows(name: str) -> bool:
    """Return whether Windows takes a name for no file's: a device's, or one with its signs.

    Such a file, made elsewhere, could not be copied to Windows.

    Example:
        >>> refused_by_windows("nul.json"), refused_by_windows("null.json")
        (True, False)
    """
    wrong = not name or name[-1] in ". " or _NOT_IN_NAMES.search(name)
    return bool(wrong or _DEVICE.fullmatch(name))


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary file to write to, which takes the place of another one at the end.

    The folder is made where it is missing. After an error the file before stays, and nothing else.

    Raises:
        OSError: If the folder or the file cannot be written.

    Example:
        >>> with temporary_folder() as folder:
        ...     with whole_file(folder / "log.txt") as partial:
        ...         n_letters = partial.write_text("all of it", encoding="utf-8")
        ...     (folder / "log.txt").read_text(encoding="utf-8")
        'all of it'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{path.name[:NAME_PART]}.", suffix=".partial", dir=path.parent
    )
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(0o644)  # mkstemp lets only the owner read
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Give a folder for files that are on their way, which is gone at the end.

    Raises:
        StageError: If there is no room for one.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="circuitscope-")
    except OSError as error:
        raise StageError(
            f"No temporary folder can be made: {error}. Make room, or name another place in the "
            "environment variable TMPDIR."
        ) from error
    with folder as name:
        yield Path(name)


def write_whole(path: Path, text: str) -> Path:
    """Write a text as UTF-8, with the line ends that it has, whole or not at all; return its path.

    Raises:
        OSError: If the folder or the file cannot be written.
    """
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
    return path
