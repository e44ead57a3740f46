"""Finds the Parquet files on disk of a file, a folder, a pattern or an address."""

import glob
import os
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from circuitscope_core.errors import CorpusError
from circuitscope_core.files import place_of, reason_of

HUB_PREFIX = "hf://"
HUB_FORM = "hf://datasets/owner/name[@revision]/path/file.parquet"
ENDINGS = (".parquet", ".pq")
HUB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
"""An owner or a repository on the Hugging Face hub."""
_HUB_REVISION = re.compile(r"~?[A-Za-z0-9][A-Za-z0-9._/-]{0,95}")
CONVERTED = "refs/convert/parquet"
"""The branch in which the hub keeps every dataset as Parquet; ``~parquet`` for short."""
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_PATTERN = re.compile(r"[*?\[]")


class HubFile(NamedTuple):
    """One file of a dataset on the Hugging Face hub."""

    repository: str
    path: str
    revision: str | None


def location_name(location: str) -> str:
    """Return what to call a location: the address, or the last part of a path."""
    if location.startswith(HUB_PREFIX):
        return location
    path = Path(location)
    return path.name if path.name not in ("", "..") else path.resolve().name


def find_parquet_files(location: str) -> tuple[Path, ...]:
    """Return the Parquet files that ``location`` stands for, sorted by name.

    Args:
        location: A file; a folder, searched with everything below it for ``*.parquet`` and
            ``*.pq``, names aside that begin with ``.`` or ``_``, which other programs hide; a
            pattern with ``*``, ``?``, ``[...]`` or ``**``; or an address on the Hugging Face hub,
            whose file is downloaded once and then kept in the hub's cache.

    Raises:
        CorpusError: If nothing is there, or nothing that is a file.
    """
    if not location:
        raise CorpusError("The place of the text is empty; name a Parquet file or a folder.")
    if location.startswith(HUB_PREFIX):
        return (_download(location),)
    if address := _ADDRESS.match(location):
        raise CorpusError(
            f"{location} is an address, and {address[1]}:// is not read: text comes from files and "
            f"folders, {HUB_FORM} and Snowflake stages. Fetch the file and name its path."
        )
    path = place_of(location)
    if path.is_file():
        return (path,)
    if path.is_dir():
        found = parquet_files_below(path)
    elif _PATTERN.search(location):
        found = _matching(path)
    else:
        raise CorpusError(
            f"{location} is not there; name a Parquet file, a folder or a pattern."
            + " Python takes texts themselves as a TextSource." * _reads_like_text(location)
        )
    if not found:
        raise CorpusError(f"{location} holds no Parquet file; name a place with *.parquet files.")
    return tuple(sorted(found, key=lambda item: item.as_posix()))


def _reads_like_text(location: str) -> bool:
    """Return whether somebody may have given a text in the place of a file's name."""
    return " " in location and not location.lower().endswith(ENDINGS)


def parquet_files_below(folder: Path) -> list[Path]:
    """Return the Parquet files in a folder and below it, hidden ones aside.

    Raises:
        CorpusError: If a folder may not be looked into.
    """
    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=_refuse_closed, followlinks=False):
        folders[:] = filter(is_shown, folders)
        shown = (name for name in names if is_shown(name) and name.lower().endswith(ENDINGS))
        found += (path for name in shown if (path := Path(place) / name).is_file())
    return found


def is_shown(name: str) -> bool:
    """Return whether a name is not one that Arrow and Spark pass over."""
    return not name.startswith((".", "_"))


def _refuse_closed(error: OSError) -> None:
    raise CorpusError(
        f"{error.filename} cannot be looked into: {reason_of(error)}. Change its rights, or name "
        "the files."
    ) from error


def _matching(pattern: Path) -> list[Path]:
    """Return the files that a pattern fits, and those in folders that it fits.

    Folders in front of the first sign that can only be a pattern's may have brackets in their
    names: as far as they are there, they are taken as they are.
    """
    parts, there = pattern.parts, Path()
    for number, part in enumerate(parts):
        if not (there / part).is_dir():
            rest = Path(*parts[number:])
            break
        there = there / part
    asked = [part for part in rest.parts if not is_shown(part)]
    matches = [
        there / item
        for item in glob.glob(str(rest), root_dir=there, recursive=True)
        if all(map(is_shown, Path(item).parts)) or asked
    ]
    files = [path for path in matches if path.is_file()]
    inside = [
        path
        for folder in matches
        if folder.suffix.lower() in ENDINGS and folder.is_dir()
        for path in parquet_files_below(folder)
    ]
    return sorted({*files, *inside})


def check_location(location: str) -> None:
    """Look whether text may be at a place, without a network.

    Raises:
        CorpusError: If there is nothing, or the form of an address is wrong.
    """
    if location.startswith("@"):
        raise CorpusError(f"{location} is a place in a stage; choose a stage as the source.")
    if location.startswith(HUB_PREFIX):
        parse_hub_address(location)
    else:
        find_parquet_files(location)


def parse_hub_address(address: str) -> HubFile:
    """Return the parts of ``hf://datasets/owner/name[@revision]/path/file.parquet``.

    Raises:
        CorpusError: If the address has another form.
    """
    kind, *parts = address.removeprefix(HUB_PREFIX).split("/")
    if kind != "datasets" or len(parts) < 3:
        raise CorpusError(f"{address} is not the address of a file; write {HUB_FORM}.")
    owner, repository, *path = parts
    name, at, revision = repository.partition("@")
    if revision == "refs" and len(path) > 2:  # a branch may be written with its slashes
        revision, path = "/".join([revision, *path[:2]]), path[2:]
    revision = unquote(revision)
    for part, form in ((owner, HUB_NAME), (name, HUB_NAME), (revision or "main", _HUB_REVISION)):
        if not form.fullmatch(part) or ".." in part:
            raise CorpusError(f"{part!r} in {address} is no name on the hub; write {HUB_FORM}.")
    if not at and path[:2] == ["refs", "convert"]:
        raise CorpusError(f"{address} names a branch as a path; write @~parquet behind the name.")
    if at and not revision:
        raise CorpusError(f"{address} has nothing after the @; name a revision or drop the @.")
    wrong = [part for part in path if part in ("", ".", "..") or not part.isprintable()]
    if wrong or not path[-1].endswith(".parquet"):
        raise CorpusError(f"{address} does not end in the path of a .parquet file; see {HUB_FORM}.")
    if revision == "~parquet":
        revision = CONVERTED
    return HubFile(f"{owner}/{name}", "/".join(path), revision or None)


def _download(address: str) -> Path:
    wanted = parse_hub_address(address)
    try:
        from huggingface_hub import hf_hub_download  # only this kind of source needs it
    except ImportError as error:
        raise CorpusError(
            f"{address} needs the package huggingface_hub; run: pip install huggingface_hub."
        ) from error
    try:
        path = hf_hub_download(
            wanted.repository, wanted.path, repo_type="dataset", revision=wanted.revision
        )
    except Exception as error:  # errors of the network and of the hub share no base class
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise CorpusError(
            f"{address} could not be downloaded: {reason[0]} Check the address and the connection, "
            "log in if the dataset is private, or download the file and name its path."
        ) from error
    return Path(path)
