"""Entries of Hugging Face models among the bundles: a folder with a record, and no weights.

``models/<name>/model.json`` says where the model and its transcoder are, and a few sizes, so that
a list of models reads no weight.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from circuitscope_core.bundle.names import ENTRY, RECORD, name_fault
from circuitscope_core.bundle.recorded_models import fingerprint
from circuitscope_core.bundle.waiting import finish_replacing
from circuitscope_core.errors import BundleError
from circuitscope_core.pretrained import fetch_model
from circuitscope_core.stages import is_stage
from circuitscope_core.values import one_line

CARDS = "feature_cards.parquet"
"""The file of a bundle's feature cards, and of those that were collected for an entry."""
CARDS_STATE = ".cards.safetensors"
"""The state of a collection of an entry's cards that was not finished."""
ENTRY_VERSION = 1
LARGEST_ENTRY = 100_000
"""Bytes; more is no entry."""


@one_line
@dataclass(frozen=True)
class ModelEntry:
    """A Hugging Face model that was added, as ``model.json`` records it."""

    name: str
    source: str
    """The folder that was named, as an absolute path, ``owner/name`` on the hub, or a place in a
    stage."""
    folder: str
    """The folder with the weights; of a model of the hub or of a stage, that of its copy."""
    transcoder: str | None
    """Where the transcoder is; None for graphs of the model's own neurons."""
    family: str
    n_layers: int
    d_model: int
    n_parameters: int
    dtype: str
    n_bytes: int
    """Memory of the model's weights."""
    transcoder_bytes: int
    """Memory of the transcoder's weights; 0 without one."""
    fingerprint: str
    """Hash of the model's configuration, and of the names and sizes of its weights."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return {"format_version": ENTRY_VERSION, **asdict(self)}

    def weights_folder(self) -> Path:
        """Return the folder with the weights, if it still holds the model that was added.

        A model of the hub that is no longer on this machine is fetched again.

        Raises:
            BundleError: If the folder is gone, or holds another model by now.
            ModelError: If the hub cannot be reached.
        """
        folder = Path(self.folder)
        if not folder.is_dir():
            if self.source == self.folder or is_stage(self.source):
                raise BundleError(
                    f"The model {self.name!r} lies in {folder}, which is not there. Put the folder "
                    "back, or remove the model and add it from its new place."
                )
            folder = fetch_model(self.source)
        if fingerprint(folder) != self.fingerprint:
            raise BundleError(
                f"The model in {folder} is not the one that was added as {self.name!r}: its "
                "configuration or its weights were changed. Remove the model and add it again."
            )
        return folder


def record_file(folder: Path) -> Path | None:
    """Return the record of a bundle or of an entry; None for a folder that is neither.

    A replacement of the model that was ended by force in its last step is finished first.
    """
    finish_replacing(folder)
    return next((path for name in (RECORD, ENTRY) if (path := folder / name).is_file()), None)


def is_entry(folder: Path) -> bool:
    """Tell whether a folder is the entry of a model."""
    found = record_file(folder)
    return found is not None and found.name == ENTRY


def read_entry(folder: Path) -> ModelEntry:
    """Return the record in a model's entry.

    Raises:
        BundleError: If it is missing, damaged, or of another format version.
    """
    path = folder / ENTRY
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_ENTRY + 1)
        data = json.loads(text) if len(text) <= LARGEST_ENTRY else None
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path} cannot be read: {error}. Add the model again.") from error
    data = data if isinstance(data, dict) else {}
    version = data.get("format_version")
    if version != ENTRY_VERSION:
        raise BundleError(
            f"{path} has format version {version}; this program reads version {ENTRY_VERSION}. "
            "Remove the model and add it again."
        )
    kinds = {field.name: field.type for field in fields(ModelEntry)}
    values: dict[str, Any] = {name: data.get(name) for name in kinds}
    wrong = [
        name
        for name, kind in kinds.items()
        if not isinstance(values[name], kind)  # type: ignore[arg-type]  # plain types only
        or isinstance(values[name], bool)
    ]
    if wrong or name_fault(str(values["name"])):
        name = (wrong or ["name"])[0]
        raise BundleError(
            f"{path} has {values[name]!r} as {name}, which makes no sense. Remove the model and "
            "add it again."
        )
    return ModelEntry(**values)
