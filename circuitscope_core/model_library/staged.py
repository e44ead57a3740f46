"""Models and transcoders in a stage: their files are copied beside the folder of models.

A stage is no folder that weights can be read from, so this is the one kind of source that is
copied. The copies are hidden in ``.weights``, one folder for each, and go with their entry.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from circuitscope_core.errors import BundleError
from circuitscope_core.stages import FileStore, StoredFile, open_store
from circuitscope_core.values import in_bytes

COPIES = ".weights"
ENDINGS = (".json", ".safetensors", ".jinja", ".yaml")
"""Endings of the files that are read; nothing else is copied."""


def copy_of(models: Path, name: str, part: str = "model") -> Path:
    """Return the folder for the copy of a model, or of its transcoder."""
    return models / COPIES / name / part


def has_copies(models: Path, name: str) -> bool:
    """Tell whether copies of a model's weights are kept beside the models."""
    return (models / COPIES / name).exists()


def forget_copies(models: Path, name: str) -> None:
    """Remove what was copied for a model; nothing for one whose weights are elsewhere."""
    shutil.rmtree(models / COPIES / name, ignore_errors=True)


def fetch_files(place: str, folder: Path, session: Any = None) -> Iterator[str]:
    """Copy a model's or a transcoder's files out of a stage, whole or not at all.

    Yields a sentence as each file begins.

    Raises:
        StageError: If the stage cannot be read.
        BundleError: If there is no such file at the place, or too little space for them.
    """
    store = open_store(place, session)
    files = _files_of(store)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BundleError(
            f"{folder.parent} cannot be written: {error}. Name a folder of models that can be."
        ) from error
    needed, free = sum(file.size for file in files), shutil.disk_usage(folder.parent).free
    if needed > free:
        raise BundleError(
            f"The files in {store.place} take {in_bytes(needed)} and {in_bytes(free)} are free in "
            f"{folder.parent}. Make room, or keep the models in another folder."
        )
    partial = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
    try:
        for file in files:
            yield f"Fetch {file.name} from the stage: {in_bytes(file.size)}"
            store.get(file.name, partial)
        os.rename(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _files_of(store: FileStore) -> list[StoredFile]:
    """Return the files directly at a place that are read.

    Raises:
        BundleError: If there are none.
    """
    files = [
        file
        for file in store.list()
        if Path(file.name).name == file.name and file.name.endswith(ENDINGS)
    ]
    if not files:
        raise BundleError(
            f"{store.place} has no file of a model: none ends in {', '.join(ENDINGS)}. Name the "
            "folder that holds config.json."
        )
    return files
