"""The bin of a folder of models: what is deleted or replaced stays there for a while, and can be
taken out again."""

import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from circuitscope_core.arguments import checked
from circuitscope_core.bundle.names import MODEL_NAME, name_fault
from circuitscope_core.bundle.waiting import finish_replacing
from circuitscope_core.errors import BundleError
from circuitscope_core.files import place_of
from circuitscope_core.values import one_line

BIN = ".bin"
"""Folder beside the models; no model may be called so."""
RETENTION_DAYS = 30
_DAY = 24 * 3600
_TOKEN = re.compile(rf"({MODEL_NAME.pattern})~([0-9]{{1,20}})")
SHIPPED = Path(__file__).resolve().parents[2] / "models" / "demo"
"""The model that comes with CircuitScope."""
MAY_REPLACE_SHIPPED = "CIRCUITSCOPE_REPLACE_SHIPPED"
"""The environment variable with which the makers of CircuitScope train that model again."""


@one_line
@dataclass(frozen=True)
class BinnedModel:
    """A model in the bin."""

    token: str
    """The model's name in the bin: its own and the time."""
    name: str
    """The name that the model had."""
    seconds: float
    """The time at which it was put there, in seconds since 1970."""
    n_bytes: int
    """Size of its files."""

    @property
    def days_left(self) -> float:
        """Days until it is deleted for good."""
        return RETENTION_DAYS - (time.time() - self.seconds) / _DAY


def check_not_shipped(folder: Path) -> None:
    """Refuse to change the model that comes with CircuitScope.

    Raises:
        BundleError: If it is in that folder.
    """
    if os.environ.get(MAY_REPLACE_SHIPPED) == "1" or folder.resolve() != SHIPPED:
        return
    if folder.exists():
        raise BundleError(
            f"The model {folder.name!r} comes with CircuitScope: it is never replaced, renamed or "
            "deleted. Choose another name."
        )


def put_in_bin(folder: Path) -> BinnedModel:
    """Move a model into the bin beside it, and delete what has been there for too long.

    Raises:
        BundleError: If it cannot be moved, or comes with CircuitScope.
    """
    check_not_shipped(folder)
    if folder.is_symlink():
        raise BundleError(f"{folder} is a link to another folder; remove the link yourself.")
    place = folder.parent / BIN
    try:
        place.mkdir(exist_ok=True)
        token = next(
            name
            for later in range(10**6)
            if not (place / (name := f"{folder.name}~{time.time_ns() + later}")).exists()
        )
        folder.rename(place / token)
    except OSError as error:
        raise BundleError(f"{folder} cannot be moved into {place}: {error}.") from error
    empty_bin(folder.parent, days=RETENTION_DAYS)
    return _binned(place / token)


@checked
def list_bin(models: str | Path = "models") -> tuple[BinnedModel, ...]:
    """Return what is in the bin of a folder of models, the latest first."""
    place = place_of(models) / BIN
    if not place.is_dir() or place.is_symlink():
        return ()
    found = [
        _binned(path)
        for path in place.iterdir()
        if _TOKEN.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
    ]
    return tuple(sorted(found, key=lambda model: (-model.seconds, model.token)))


def _binned(path: Path) -> BinnedModel:
    match = _TOKEN.fullmatch(path.name)
    assert match is not None
    n_bytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return BinnedModel(path.name, match[1], int(match[2]) / 1e9, n_bytes)


@checked
def restore_model(token: str, models: str | Path = "models", name: str | None = None) -> str:
    """Take a model out of the bin; returns its name.

    Args:
        token: One of those that ``list_bin`` returns.
        models: The folder of models.
        name: Another name for it; None gives it the one that it had.

    Raises:
        BundleError: If there is no such model, or another model has the name by now.
    """
    folder = place_of(models)
    binned = next((model for model in list_bin(folder) if model.token == token), None)
    if binned is None:
        raise BundleError(f"There is no {token!r} in the bin of {folder}; see the list of it.")
    name = binned.name if name is None else name
    if fault := name_fault(name):
        raise BundleError(fault)
    finish_replacing(folder / name)
    if (folder / name).exists():
        raise BundleError(f"There is a model {name!r} in {folder} already; give another name.")
    try:
        (folder / BIN / binned.token).rename(folder / name)
    except OSError as error:
        raise BundleError(f"{token!r} cannot be taken out of the bin: {error}.") from error
    return name


@checked
def empty_bin(models: str | Path = "models", *, days: int = 0) -> int:
    """Delete for good what has been in the bin for some days or more; returns how many models."""
    gone = [model for model in list_bin(models) if time.time() - model.seconds >= days * _DAY]
    for model in gone:
        shutil.rmtree(place_of(models) / BIN / model.token, ignore_errors=True)
    return len(gone)
