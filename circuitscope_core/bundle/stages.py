"""Bundles in a Snowflake stage, or in any store of files: whole or not at all.

Layout: ``<name>/bundle.json`` as in a folder, and the other files in ``<name>/<version>/``, where
the version is the beginning of ``bundle.json``'s own SHA-256. The files go first, ``bundle.json``
last: until it is there, readers see the bundle before it, whose files lie in another folder and
are deleted at the end. A bundle whose files lie beside its ``bundle.json``, as PUT leaves a copied
folder, is read as well. Every file's hash is checked in any case.
"""

import hashlib
import json
from pathlib import Path

from circuitscope_core.bundle.names import RECORD
from circuitscope_core.errors import BundleError, StageError
from circuitscope_core.files import read_text
from circuitscope_core.stages import FileStore

VERSION_DIGITS = 16
TRIES = 2
"""A bundle may be replaced while it is read; then the new one is read."""


def upload_bundle(folder: Path, store: FileStore) -> None:
    """Copy a bundle's folder into a store that is the bundle's own place; it replaces an older one.

    Two that save under one name at the same time may leave a bundle that lacks files; it is refused
    when it is read.

    Raises:
        StageError: If a file cannot be written; an older bundle is then as it was.
        BundleError: If the place holds other files and no bundle.
    """
    before = [file.name for file in store.list()]
    if before and RECORD not in before and not any(_is_version(name) for name in before):
        raise BundleError(f"{store.place} holds files and no bundle; choose another name.")
    version = _version(folder / RECORD)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path: path.relative_to(folder).as_posix() for path in files}
    written = {f"{version}/{name}" for name in names.values() if name != RECORD} | {RECORD}
    for path in files:
        if names[path] != RECORD:
            store.put(path, f"{version}/{names[path]}")
    store.put(folder / RECORD, RECORD)
    store.remove(name for name in before if name not in written)


def download_bundle(store: FileStore, folder: Path) -> None:
    """Copy a bundle out of its place in a store into a folder; whether it is whole is not asked.

    Raises:
        BundleError: If there is none, or it has no version of its own files.
        StageError: If a file cannot be fetched.
    """
    for remaining in reversed(range(TRIES)):
        there = {file.name for file in store.list()}
        if RECORD not in there:
            raise BundleError(
                f"{store.place} is no bundle: it has no {RECORD}. Train a model first, or name "
                "the folder of one."
            )
        try:
            record = store.get(RECORD, folder)
            prefix = f"{_version(record)}/"
            if not any(name.startswith(prefix) for name in there):
                prefix = ""
            names = _names(record)
            if all(prefix + name in there for name in names):
                for name in names:
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    store.get(prefix + name, (folder / name).parent)
                return
        except StageError:
            if not remaining:
                raise
    raise BundleError(
        f"The bundle {store.place} lacks files that its {RECORD} names: it was not saved to the "
        "end, or two saved it at once. Save it again."
    )


def _names(record: Path) -> list[str]:
    """Return the names of the files that a record lists.

    Raises:
        BundleError: If it cannot be read, or a name leads out of the bundle's folder.
    """
    try:
        names = list(json.loads(read_text(record))["files"])
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise BundleError(f"{RECORD} holds no list of files; save the bundle again.") from error
    for name in names:
        if not isinstance(name, str) or any(part in ("", ".", "..") for part in name.split("/")):
            raise BundleError(f"{RECORD} names {name!r}, which lies outside the bundle.")
    return names


def list_bundles(store: FileStore) -> tuple[str, ...]:
    """Return the names of the bundles below a place, sorted: one listing.

    Raises:
        StageError: If the place cannot be listed.
    """
    ending = f"/{RECORD}"
    return tuple(
        file.name.removesuffix(ending) for file in store.list() if file.name.endswith(ending)
    )


def _version(record: Path) -> str:
    return hashlib.sha256(record.read_bytes()).hexdigest()[:VERSION_DIGITS]


def _is_version(name: str) -> bool:
    first, slash, _ = name.partition("/")
    return bool(slash) and len(first) == VERSION_DIGITS and set(first) <= set("0123456789abcdef")
