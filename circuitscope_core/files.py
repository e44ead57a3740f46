"""Files that people name: written whole, with respect for what stands there; read as text.

A file that was being written when the program was ended by force stays as it was before; what is
left of the new one has a hidden name that ends in ``.partial``, which nothing reads.
"""

import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from safetensors import SafetensorError

from circuitscope_core.errors import CircuitScopeError, ConfigError, StageError

OPEN_FILES = ("/dev/", "/proc/")
"""Names below these stand for what is open already, such as a program's output."""
OWN_STREAM = re.compile(r"/dev/(stdout|stderr|fd/(\d{1,9}))")
OWN_NUMBERS = {"stdout": 1, "stderr": 2}
MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
"""Bytes at the beginning of a text with which editors on Windows name its encoding."""
COPY_BYTES = 1 << 20
TO_WRITE = "Make room, name another place, or change that one."
TO_READ = "Check its place and its rights."
"""Advice for a file that cannot be written, or not be read."""
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)
_NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


def place_of(path: str | Path) -> Path:
    """Return the place that a person named, ``~`` being the home folder.

    Raises:
        ConfigError: If the name is empty, which would be the folder that the program runs in, or
            no name of a file.
    """
    if not str(path):
        raise ConfigError("The path is empty; name a file or a folder.")
    if "\0" in str(path):
        raise ConfigError(f"The path {str(path)!r} holds the character NUL; leave it out.")
    with suppress(RuntimeError):  # nobody of that name, or no home: the name as it is
        return Path(path).expanduser()
    return Path(path)


def refused_by_windows(name: str) -> bool:
    """Return whether Windows takes a name for no file's: a device's, or one with its signs.

    Such a file, made elsewhere, could not be copied to Windows.

    Example:
        >>> refused_by_windows("nul.json"), refused_by_windows("null.json")
        (True, False)
    """
    wrong = not name or name[-1] in ". " or _NOT_IN_NAMES.search(name)
    return bool(wrong or _DEVICE.fullmatch(name))


def reason_of(error: BaseException) -> str:
    """Return what the system says about a file, in its first line and without the number."""
    said = error.strerror if isinstance(error, OSError) else None
    lines = (said or str(error)).strip().splitlines()
    return (lines or [type(error).__name__])[0].rstrip(".")


def read_text(path: Path) -> str:
    """Return a file's text: UTF-8, or the encoding that its first bytes name; lines end in ``\\n``.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no text in that encoding, with advice.
    """
    return text_of(path.read_bytes())


def text_of(data: bytes) -> str:
    """Return bytes as text: UTF-8, or the encoding that the first ones name.

    Raises:
        ValueError: If they are no text in that encoding, with advice.
    """
    encoding = next((name for mark, name in MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        wrong = data[error.start : error.start + 1].hex()
        raise ValueError(
            f"it is no text in UTF-8: byte {error.start} is 0x{wrong}. Save it as UTF-8 in the "
            "editor that wrote it"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


@contextmanager
def refusing(kind: type[CircuitScopeError], what: str, advice: str = TO_READ) -> Iterator[None]:
    """Turn what the system says about a file into an error of one kind.

    Args:
        kind: The error that is raised.
        what: The beginning of its message: what cannot be done, and where.
        advice: The end of its message.

    Raises:
        CircuitScopeError: Of that kind.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise kind(f"{what}: {reason_of(error)}. {advice}") from error


@contextmanager
def written(target: Path, kind: type[CircuitScopeError], what: str) -> Iterator[Path]:
    """Lend a name to write to; what is there at the end stands at the target, whole or not at all.

    A link is followed, and stays. A file that was there gives its rights and its owner to the new
    one; one that may not be written stays as it is. A device or a named pipe is written into.

    Args:
        target: The file to be.
        kind: The error that is raised.
        what: The thing that is written, as a message names it.

    Raises:
        CircuitScopeError: Of that kind, if the target cannot be written.
    """
    with refusing(kind, f"{what} cannot be written to {target}", TO_WRITE):
        standing = target.stat() if target.exists() else None
        if standing is not None and stat.S_ISDIR(standing.st_mode):
            raise IsADirectoryError(0, "it is a folder")
        if _is_stream(target, standing):
            with temporary_folder() as folder:
                yield (whole := folder / "whole")
                with whole.open("rb") as source, _open_stream(target) as stream:
                    shutil.copyfileobj(source, stream, COPY_BYTES)
            return
        with whole_file(target) as partial:
            yield partial


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Lend a temporary file to write to, which takes the place of another one at the end.

    The folder is made where it is missing. A link is followed, and stays; a file that was there
    gives its rights and its owner to the new one. After an error the file before stays, and nothing
    else.

    Raises:
        OSError: If the folder or the file cannot be written.

    Example:
        >>> with temporary_folder() as folder:
        ...     with whole_file(folder / "log.txt") as partial:
        ...         n_letters = partial.write_text("all of it", encoding="utf-8")
        ...     (folder / "log.txt").read_text(encoding="utf-8")
        'all of it'
    """
    real = Path(os.path.realpath(path))
    standing = real.stat() if real.exists() else None
    real.parent.mkdir(parents=True, exist_ok=True)
    partial = real.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        # with the rights that new files have here
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        rights = stat.S_IMODE(partial.stat().st_mode)
        yield partial
        partial.chmod(rights)  # whatever library wrote it
        if standing is not None:
            _take_rights(partial, real, standing)
        os.replace(partial, real)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


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
            f"No temporary folder can be made: {reason_of(error)}. Make room, or name another "
            "place in the environment variable TMPDIR."
        ) from error
    with folder as name:
        yield Path(name)


def _is_stream(target: Path, standing: os.stat_result | None) -> bool:
    """Return whether a name stands for something that is written into: a device, a named pipe, or
    a file that a program has open, as its output."""
    regular = standing is None or stat.S_ISREG(standing.st_mode)
    return not regular or str(target.absolute()).startswith(OPEN_FILES)


def _open_stream(target: Path) -> BinaryIO:
    """Open what is written into; what this process has open, at the place where it is."""
    match = OWN_STREAM.fullmatch(str(target.absolute()))
    if match is None:
        return target.open("ab")
    number = OWN_NUMBERS.get(match[1])
    return os.fdopen(os.dup(int(match[2]) if number is None else number), "wb")


def _take_rights(path: Path, real: Path, standing: os.stat_result) -> None:
    """Give a file the owner and the rights of the one in whose place it comes."""
    if not os.access(real, os.W_OK):
        raise PermissionError(0, "it may not be written")
    with suppress(OSError, AttributeError):  # only root may, and Windows has no such owners
        os.chown(path, standing.st_uid, standing.st_gid)
    path.chmod(stat.S_IMODE(standing.st_mode))


def write_text(path: Path, text: str, kind: type[CircuitScopeError], what: str) -> Path:
    """Write a text as UTF-8; see ``written``.

    Raises:
        CircuitScopeError: Of that kind, if the file cannot be written.
    """
    with written(path, kind, what) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
    return path


def write_whole(path: Path, text: str) -> Path:
    """Write a text as UTF-8, with the line ends that it has, whole or not at all; return its path.

    Raises:
        OSError: If the folder or the file cannot be written.
    """
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
    return path
