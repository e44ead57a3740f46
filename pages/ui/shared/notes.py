"""Labels and views that the visitors of this app gave a model, in a file beside the models."""

from collections.abc import Callable
from pathlib import Path

import circuitscope_core as cs
from circuitscope_core.notes import NOTES, Notes, bundle_hash, load_notes, update_notes
from pages.ui.shared import models
from pages.ui.shared.models import ModelKey, load_model


def notes_file(model: str) -> Path:
    """Return the file of a model's notes; the model's name was checked when it was chosen."""
    return models.MODELS / NOTES / f"{model}.json"


def read_notes(model: str) -> Notes:
    """Return a model's notes, without those on an older model of the same name.

    Raises:
        NotesError: If the file is damaged.
    """
    return load_notes(notes_file(model), bundle_hash(models.MODELS / model))


def has_older_notes(model: str) -> bool:
    """Tell whether the notes of that name are about an older model, and therefore not shown.

    Raises:
        NotesError: If the file is damaged.
    """
    return not load_notes(notes_file(model)).are_about(bundle_hash(models.MODELS / model))


def write_notes(model: str, change: Callable[[Notes], Notes]) -> None:
    """Change a model's notes.

    Raises:
        NotesError: If the file is damaged or cannot be written.
    """
    update_notes(notes_file(model), change, bundle_hash(models.MODELS / model))


def cards_of(key: ModelKey) -> cs.FeatureCards:
    """Return a model's feature cards with the labels that visitors gave.

    A model that was added may have none; a feature then has the label that a visitor gave, or none.
    """
    return own_cards_of(key).with_labels(read_notes(key.name).labels)


def own_cards_of(key: ModelKey) -> cs.FeatureCards:
    """Return a model's feature cards with the labels that rules gave."""
    bundle = load_model(key)
    if bundle.feature_cards is not None:
        return bundle.feature_cards
    return cs.FeatureCards.of([], bundle.transcoder.shape.n_features)
