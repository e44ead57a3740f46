"""Bundles that are complete and wait for their name, until the older one of it is in the bin.

An older bundle goes to the bin and the new one gets its name, in two steps: no system exchanges two
folders in one. Meanwhile the new one is ``.<name>.ready``. Where a program was ended by force
between the two steps, whoever looks for the model next does the second.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path

READY = ".ready"


def finish_replacing(folder: Path) -> None:
    """Give a complete bundle its name where that was begun and the older one is in the bin."""
    ready = ready_folder(folder)
    if ready.is_dir() and not folder.exists():
        with suppress(OSError):  # a folder that may only be read, or another reader was faster
            os.replace(ready, folder)


def finish_all_replacing(models: Path) -> None:
    """Finish the replacements that were begun in a folder of models."""
    for ready in models.glob(f".*{READY}"):
        finish_replacing(models / ready.name[1:].removesuffix(READY))


def forget_ready(folder: Path) -> None:
    """Delete a complete bundle that waits for its name: the older one stays, or is removed."""
    shutil.rmtree(ready_folder(folder), ignore_errors=True)


def ready_folder(folder: Path) -> Path:
    """Return where a bundle waits for the name of a folder."""
    return folder.parent / f".{folder.name}{READY}"
