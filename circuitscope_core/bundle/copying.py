"""A bundle from one place to another, folders and stages alike, byte for byte."""

import shutil
from pathlib import Path
from typing import Any

from circuitscope_core.arguments import checked
from circuitscope_core.bundle.bundle import load_bundle
from circuitscope_core.bundle.entry import is_entry, read_entry
from circuitscope_core.bundle.replacing import new_bundle
from circuitscope_core.bundle.stages import download_bundle, upload_bundle
from circuitscope_core.errors import BundleError
from circuitscope_core.files import place_of, temporary_folder
from circuitscope_core.stages import is_stage, open_store


@checked
def copy_bundle(source: str | Path, target: str | Path, session: Any = None) -> None:
    """Copy a bundle, whole or not at all; an older one goes to the bin when the new one is whole.

    Args:
        source: A folder, or a place in a stage.
        target: A folder, or a place in a stage.
        session: Of Snowpark; without one, this process's own is used, and opened at need.

    Raises:
        BundleError: If the source is no whole bundle, or the target exists and is none, or cannot
            be written.
        StageError: If a stage cannot be read or written.
    """
    with temporary_folder() as local:
        folder = place_of(source)
        if is_stage(source):
            folder = local
            download_bundle(open_store(source, session), folder)
        if is_entry(folder):
            raise BundleError(
                f"{folder} holds no weights: it refers to the model in "
                f"{read_entry(folder).folder}. Copy that folder, and add the model where it is."
            )
        load_bundle(folder, device="cpu")  # checks every hash, and that the parts fit together
        if is_stage(target):
            upload_bundle(folder, open_store(target, session))
        else:
            with new_bundle(place_of(target)) as partial:
                shutil.copytree(folder, partial, dirs_exist_ok=True)
