"""What the visitors of this app wrote down about a model, in a file beside the models."""

from collections.abc import Callable
from pathlib import Path

import circuitscope_core as cs
from circuitscope_core.notes import Notes, load_notes, update_notes
from pages.ui.shared.models import MODELS, ModelKey, load_model

FOLDER = ".notes"


def notes_file(model: str) -> Path:
    """Return the file of a model's notes; the model's name was checked when it was chosen."""
    return MODELS / FOLDER / f"{model}.json"


def read_notes(model: str) -> Notes:
    """Return a model's notes.

    Raises:
        NotesError: If the file is damaged.
    """
    return load_notes(notes_file(model))


def write_notes(model: str, change: Callable[[Notes], Notes]) -> None:
    """Change a model's notes.

    Raises:
        NotesError: If the file is damaged or cannot be written.
    """
    update_notes(notes_file(model), change)


def cards_of(key: ModelKey) -> cs.FeatureCards:
    """Return a model's feature cards with the labels that visitors gave."""
    return load_model(key).feature_cards.with_labels(read_notes(key.name).labels)
