"""The list of the models in a folder, read from their records alone: no weight is opened."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from circuitscope_core.arguments import checked
from circuitscope_core.bundle import (
    CARDS,
    ModelEntry,
    finish_all_replacing,
    is_entry,
    name_fault,
    read_entry,
    read_record,
    record_file,
)
from circuitscope_core.config import ModelConfig, TranscoderConfig
from circuitscope_core.errors import CircuitScopeError
from circuitscope_core.feature_cards import published_folder
from circuitscope_core.files import place_of
from circuitscope_core.pretrained import KIND, read_model_files
from circuitscope_core.transcoder import name_layers
from circuitscope_core.transformer import Transformer
from circuitscope_core.values import one_line

Kind = Literal["trained", "added"]
OWN_FAMILY = "CircuitScope"
"""The family of the models that are trained here."""


@one_line
@dataclass(frozen=True)
class ListedModel:
    """A model of the folder, as far as its record tells."""

    name: str
    kind: Kind
    """``trained``: a bundle with weights of its own; ``added``: an entry that refers to them."""
    family: str = ""
    n_layers: int = 0
    n_parameters: int = 0
    n_bytes: int = 0
    """Memory of the weights, those of the transcoder included."""
    disk_bytes: int = 0
    """Size of the bundle, or of the folder with the model's weights, on disk."""
    features: str = ""
    """The features in its graphs: a transcoder's, or the model's own neurons."""
    has_cards: bool = False
    source: str = ""
    """Where an added model is; empty for a bundle."""
    problem: str = ""
    """Why the record cannot be read; nothing else is known then."""


def model_names(models: str | Path = "models") -> tuple[str, ...]:
    """Return the names of all models in a folder, sorted."""
    folder = place_of(models)
    if not folder.is_dir():
        return ()
    finish_all_replacing(folder)
    return tuple(
        sorted(
            place.name
            for place in folder.iterdir()
            if not name_fault(place.name) and record_file(place)
        )
    )


@checked
def list_models(models: str | Path = "models") -> tuple[ListedModel, ...]:
    """Return what is known of every model in a folder, sorted by name.

    A record that cannot be read is listed with the reason.

    Example:
        >>> import circuitscope_core as cs
        >>> [model.kind for model in cs.list_models("models") if model.name == "demo"]
        ['trained']
    """
    return tuple(describe_model(place_of(models) / name) for name in model_names(models))


def describe_model(folder: Path) -> ListedModel:
    """Return what is known of one model."""
    added = is_entry(folder)
    try:
        return _describe_entry(folder) if added else _describe_bundle(folder)
    except (CircuitScopeError, KeyError, TypeError, ValueError, RecursionError) as error:
        return ListedModel(folder.name, "added" if added else "trained", problem=str(error))


def _describe_entry(folder: Path) -> ListedModel:
    entry = read_entry(folder)
    there = Path(entry.folder).is_dir()
    gone = f"The weights are no longer in {entry.folder}. Put them back, or remove the model."
    return ListedModel(
        name=folder.name,
        kind="added",
        family=entry.family,
        n_layers=entry.n_layers,
        n_parameters=entry.n_parameters,
        n_bytes=entry.n_bytes + entry.transcoder_bytes,
        disk_bytes=size_on_disk(Path(entry.folder)),
        features="transcoder" if entry.transcoder else "own neurons",
        has_cards=has_cards(folder, entry),
        source=entry.source,
        problem="" if there else gone,
    )


def has_cards(folder: Path, entry: ModelEntry) -> bool:
    """Tell whether cards were collected for an entry, or published with its transcoder."""
    beside = entry.transcoder and published_folder(Path(entry.transcoder))
    return (folder / CARDS).is_file() or bool(beside)


def _describe_bundle(folder: Path) -> ListedModel:
    record = read_record(folder)
    model = record["model"]
    transcoder = TranscoderConfig.from_json(record["transcoder"])
    family, n_parameters, n_bytes = _sizes_of(model)
    return ListedModel(
        name=folder.name,
        kind="trained",
        family=family,
        n_layers=int(model["n_layers"]),
        n_parameters=n_parameters,
        n_bytes=n_bytes + 4 * transcoder.count_parameters(),
        disk_bytes=size_on_disk(folder),
        features=_features(transcoder),
        has_cards=True,
    )


def _features(transcoder: TranscoderConfig) -> str:
    """Return which layers have a transcoder's features."""
    chosen = transcoder.trained_layers
    return "transcoder" if chosen is None else f"transcoder of layers {name_layers(chosen)}"


def _sizes_of(model: dict[str, Any]) -> tuple[str, int, int]:
    """Return family, parameters and bytes of the model that a bundle records."""
    if model.get("kind") == KIND:
        files = read_model_files(str(model["folder"]))
        return (
            str(model["family"]),
            files.n_parameters,
            files.n_bytes(files.dtype(model.get("dtype"))),
        )
    with torch.device("meta"):
        n_parameters = Transformer(ModelConfig.from_json(model)).n_parameters
    return OWN_FAMILY, n_parameters, 4 * n_parameters


def size_on_disk(folder: Path) -> int:
    """Return the bytes of all files in a folder; 0 where it is gone."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
