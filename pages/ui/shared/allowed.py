"""Limits of a shared server: folders that a visitor may name, and the room for uploads."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

import circuitscope_core as cs
from circuitscope_core.corpus.locations import HUB_NAME, HUB_PREFIX
from circuitscope_core.stages import is_stage

FOLDERS = "CIRCUITSCOPE_FOLDERS"
"""Name of the environment variable that lists the folders, divided as those of ``PATH`` are."""
UPLOADS = "CIRCUITSCOPE_UPLOADS_MB"
"""Name of the environment variable that sets the room for uploads of all visitors together."""
UPLOADS_MB = 5000
"""Room for uploads, unless the variable says more."""


def allowed_folders() -> tuple[Path, ...] | None:
    """Return the folders that visitors may name; None where the server does not limit them."""
    text = os.environ.get(FOLDERS, "").strip()
    if not text:
        return None
    parts = (part.strip() for part in text.split(os.pathsep))
    return tuple(Path(part).expanduser().resolve() for part in parts if part)


def check_place(place: str) -> None:
    """Refuse a file, folder or pattern that a visitor named, if it lies outside the folders.

    A pattern is checked up to its first wildcard; ``check_paths`` looks at what it finds. Links are
    followed first, and so is ``..``. Places in a stage and names on the Hugging Face hub
    are no folders of this machine, so they are not refused.

    Raises:
        ConfigError: If it lies outside; the message does not say whether anything is there.
    """
    if allowed_folders() is None or is_stage(place) or place.startswith(HUB_PREFIX):
        return
    try:
        path = Path(place).expanduser()
    except RuntimeError as error:  # the home of a user whom this machine does not know
        raise cs.ConfigError(f"{place} names no folder of this machine: {error}") from error
    if _is_hub_name(place) and not path.exists():
        return
    fixed = re.split(r"[*?\[]", str(path))[0]
    check_paths([path if fixed == str(path) else Path(fixed + "_").parent], place)


def check_paths(paths: Iterable[Path], place: str) -> None:
    """Refuse what a visitor named if any path that it stands for lies outside the folders.

    Raises:
        ConfigError: If one does.
    """
    folders = allowed_folders()
    if folders is None:
        return
    for path in paths:
        if not _is_below(path, folders):
            listed = ", ".join(map(str, folders))
            raise cs.ConfigError(
                f"{place} lies outside the folders that visitors of this server may name: {listed}."
                " Name a place below one of them."
            )


def _is_hub_name(place: str) -> bool:
    parts = place.split("/")
    return len(parts) <= 2 and all(HUB_NAME.fullmatch(part) for part in parts)


def _is_below(path: Path, folders: Iterable[Path]) -> bool:
    try:
        real = path.resolve()
    except (OSError, RuntimeError, ValueError):  # no name that a file can have, or a ring of links
        return False
    return any(real.is_relative_to(folder) for folder in folders)


def check_room(folder: Path, n_bytes: int) -> None:
    """Refuse an upload that would take more room than uploads may have.

    Args:
        folder: The folder that holds all uploads; it need not be there yet.
        n_bytes: Size of the new upload.

    Raises:
        ConfigError: If there is too little room, or the environment names none.
    """
    text = os.environ.get(UPLOADS, str(UPLOADS_MB)).strip()
    if not (text.isascii() and text.isdigit()):
        raise cs.ConfigError(f"{UPLOADS} is {text!r}; it must be a whole number of MB.")
    held = sum(path.stat().st_size for path in folder.glob("*") if path.is_file())
    if held + n_bytes > int(text) * 10**6:
        raise cs.ConfigError(
            f"The upload has {n_bytes / 1e6:,.0f} MB, and uploads already take {held / 1e6:,.0f} "
            f"of the {int(text):,} MB that they may take. Whoever runs the app can delete old ones "
            f"in the folder {folder.name} beside the models, or raise {UPLOADS}."
        )
