"""A new bundle beside an older one of its name, until it is complete and takes that one's place.

The older one goes to the bin, and the new one gets its name; ``waiting`` says what becomes of it
where the program is ended by force between the two.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
from safetensors import SafetensorError

from circuitscope_core.bundle.model_bin import BIN, check_not_shipped, put_in_bin
from circuitscope_core.bundle.names import ENTRY, RECORD
from circuitscope_core.bundle.waiting import finish_replacing, forget_ready, ready_folder
from circuitscope_core.errors import BundleError
from circuitscope_core.files import reason_of


@contextmanager
def new_bundle(folder: Path) -> Iterator[Path]:
    """Give an empty folder to put a bundle together in, which takes the bundle's place at the end.

    Raises:
        BundleError: If the bundle's folder exists and holds something else, or a file cannot be
            written. An older bundle is then as it was.
    """
    check_replaceable(folder)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a call that was ended by force
    try:
        partial.mkdir(parents=True)
        yield partial
        put_in_place(partial, folder)
    except (OSError, SafetensorError, pa.ArrowException) as error:
        raise BundleError(
            f"The bundle {folder} cannot be written: {reason_of(error)}. Make room, or choose "
            "another folder."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_replaceable(folder: Path) -> None:
    """Refuse a folder that a bundle may not take the place of.

    Raises:
        BundleError: If it comes with CircuitScope, or holds something else than a bundle.
    """
    check_not_shipped(folder)
    finish_replacing(folder)
    if (folder / ENTRY).is_file() and not (folder / RECORD).is_file():
        raise BundleError(f"{folder} is a model that was added: {ENTRY}; choose another name.")
    if folder.exists() and not folder.is_dir():
        raise BundleError(f"{folder} is a file; name a folder for the bundle.")
    if folder.exists() and not (folder / RECORD).is_file() and any(folder.iterdir()):
        raise BundleError(f"{folder} exists and is no bundle; choose another name.")


def put_in_place(partial: Path, folder: Path) -> None:
    """Give a complete bundle its name, and move an older one of that name into the bin.

    Raises:
        BundleError: If one of them cannot be moved, or the older one comes with CircuitScope. The
            older one is then as it was.
    """
    ready, binned = ready_folder(folder), None
    forget_ready(folder)
    try:
        os.replace(partial, ready)
        if folder.exists():
            if any(folder.iterdir()):
                binned = put_in_bin(folder)
            else:
                folder.rmdir()  # Windows renames nothing over it
        try:
            os.replace(ready, folder)
        except FileNotFoundError:  # a reader was faster
            if not (folder / RECORD).is_file():
                raise
    except (OSError, BundleError) as error:
        forget_ready(folder)
        if binned and not folder.exists():
            with suppress(OSError):
                (folder.parent / BIN / binned.token).rename(folder)
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"{partial} cannot be given the name {folder}: {error}.") from error
