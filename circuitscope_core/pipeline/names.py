"""Names for models to be: which are taken, and which one is free."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

from circuitscope_core.bundle import check_not_shipped, finish_replacing
from circuitscope_core.bundle.names import RECORD
from circuitscope_core.errors import BundleError, TrainingError
from circuitscope_core.files import refusing
from circuitscope_core.stages import is_stage
from circuitscope_core.training import RunFolder


def check_free(out: Path, *, restart: bool = False, overwrite: bool = False) -> None:
    """Refuse a folder whose contents a training would replace without being told to.

    A training that was begun there continues all the same.

    Args:
        out: Folder of the bundle to be.
        restart: A training that was begun there is about to be discarded.
        overwrite: A model in the folder may be replaced.

    Raises:
        TrainingError: If the folder holds a model, or something else, is a file, or in a stage; the
            model that comes with CircuitScope is never replaced.
    """
    try:
        check_not_shipped(out)
    except BundleError as error:
        raise TrainingError(str(error)) from error
    if is_stage(out):
        raise TrainingError(
            f"{out} is a place in a stage, and a training works in a folder. Name one, and copy "
            "the finished model: python -m circuitscope_core copy models/NAME "
            f"{out}. With --store @… the training itself is kept in a stage."
        )
    if out.exists() and not out.is_dir():
        raise TrainingError(f"{out} is a file; name a folder for the model.")
    finish_replacing(out)
    begun = RunFolder.for_bundle(out).is_begun and not restart
    with refusing(TrainingError, f"The folder {out} cannot be read"):
        if not out.is_dir() or not any(out.iterdir()):
            return
    if not (out / RECORD).is_file():
        advice = "the training that was begun under this name then continues" if begun else ""
        raise TrainingError(
            f"{out} exists and is no model. Choose another name, or empty it{': ' * begun}{advice}."
        )
    if begun:
        return
    if not overwrite:
        raise TrainingError(
            f"There is a model {out.name!r} in {out.parent} already, and it would be lost. Choose "
            f"another name, for example {free_name(out.parent, out.name)!r}, or replace the model "
            "on purpose: --overwrite on the command line, overwrite=True in Python."
        )


def free_name(models: Path, wanted: str) -> str:
    """Return a name if no model or training in a folder has it, else the next one with a number."""
    return next(name for name in numbered(wanted) if not _is_taken(models / name))


def numbered(name: str) -> Iterator[str]:
    """Yield a name, and then it with the numbers from 2 on."""
    yield name
    for number in count(2):
        yield f"{name}-{number}"


def _is_taken(out: Path) -> bool:
    return out.exists() or RunFolder.for_bundle(out).path.exists()
