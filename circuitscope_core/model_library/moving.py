"""Models of a folder under another name, or in its bin."""

from pathlib import Path

from circuitscope_core.arguments import checked
from circuitscope_core.bundle import check_not_shipped, forget_ready, put_in_bin
from circuitscope_core.errors import BundleError
from circuitscope_core.files import place_of
from circuitscope_core.model_library.adding import check_new_name, find_model
from circuitscope_core.model_library.staged import forget_copies, has_copies


@checked
def remove_model(name: str, models: str | Path = "models") -> None:
    """Move a model into the bin of its folder, from which ``restore_model`` takes it out again.

    A model that was added loses its entry and cards only, never the folder with the weights. Copies
    of weights that were fetched from a stage are deleted: they can be fetched again.

    Raises:
        BundleError: If there is no such model, it comes with CircuitScope, or it cannot be moved.
    """
    place = place_of(models)
    folder = find_model(name, place)
    check_not_shipped(folder)
    forget_ready(folder)
    put_in_bin(folder)
    if has_copies(place, name):
        forget_copies(place, name)


@checked
def rename_model(name: str, new: str, models: str | Path = "models") -> Path:
    """Give a model another name; its files stay as they are.

    Raises:
        BundleError: If there is no such model, it comes with CircuitScope, the new name is none or
            is taken, or weights beside the models are kept under the old one.
    """
    place = place_of(models)
    folder = find_model(name, place)
    check_not_shipped(folder)
    check_new_name(new, place)
    if has_copies(place, name):
        raise BundleError(
            f"The weights of {name!r} were copied from a stage and are kept under that name. "
            "Remove the model, and add it under the other one."
        )
    forget_ready(folder)
    try:
        return folder.rename(place / new)
    except OSError as error:
        raise BundleError(f"{folder} cannot be renamed: {error}.") from error
