"""Finds the Parquet files on disk of a file, a folder, a pattern or an address."""

import glob
import re
from pathlib import Path
from typing import NamedTuple

from circuitscope_core.errors import CorpusError

HUB_PREFIX = "hf://"
HUB_FORM = "hf://datasets/owner/name/path/file.parquet"
_HUB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_HUB_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
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
        location: A file; a folder, searched with everything below it for ``*.parquet``; a
            pattern with ``*``, ``?``, ``[...]`` or ``**``; or an address on the Hugging Face hub,
            whose file is downloaded once and then kept in the hub's cache.

    Raises:
        CorpusError: If nothing is there, or nothing that is a file.
    """
    if not location:
        raise CorpusError("The place of the text is empty; name a Parquet file or a folder.")
    if location.startswith(HUB_PREFIX):
        return (_download(location),)
    path = Path(location).expanduser()
    if path.is_file():
        return (path,)
    if path.is_dir():
        found = [item for item in path.rglob("*.parquet") if item.is_file()]
    elif _PATTERN.search(location):
        matches = glob.glob(str(path), recursive=True)
        found = [Path(item) for item in matches if Path(item).is_file()]
    else:
        raise CorpusError(f"{location} is not there; name a Parquet file, a folder or a pattern.")
    if not found:
        raise CorpusError(f"{location} holds no Parquet file; name a place with *.parquet files.")
    return tuple(sorted(found, key=lambda item: item.as_posix()))


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
    for part, form in ((owner, _HUB_NAME), (name, _HUB_NAME), (revision or "main", _HUB_REVISION)):
        if not form.fullmatch(part) or ".." in part:
            raise CorpusError(f"{part!r} in {address} is no name on the hub; write {HUB_FORM}.")
    if at and not revision:
        raise CorpusError(f"{address} has nothing after the @; name a revision or drop the @.")
    wrong = [part for part in path if part in ("", ".", "..") or not part.isprintable()]
    if wrong or not path[-1].endswith(".parquet"):
        raise CorpusError(f"{address} does not end in the path of a .parquet file; see {HUB_FORM}.")
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
