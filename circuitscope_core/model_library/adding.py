"""Hugging Face models as entries of a folder of models: added and checked.

An entry is written when the model and its transcoder were opened and fit, and not before. Weights
stay where they are; those in a stage are copied.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from circuitscope_core.arguments import checked
from circuitscope_core.bundle import (
    ENTRY,
    Bundle,
    ModelEntry,
    finish_replacing,
    is_entry,
    load_bundle,
    make_bundle,
    name_fault,
    read_entry,
    record_file,
)
from circuitscope_core.bundle.recorded_models import fingerprint
from circuitscope_core.devices import Device, find_device, free_bytes
from circuitscope_core.errors import BundleError
from circuitscope_core.files import place_of
from circuitscope_core.model_library.staged import copy_of, fetch_files, forget_copies
from circuitscope_core.pretrained import (
    PretrainedModel,
    check_model,
    fetch_model,
    load_model,
    read_model_files,
)
from circuitscope_core.stages import is_stage
from circuitscope_core.transcoder import CrossLayerTranscoder
from circuitscope_core.transcoder_formats import load_transcoder
from circuitscope_core.values import in_bytes, one_line


@one_line
@dataclass(frozen=True)
class ModelCheck:
    """A model was opened, and what was found."""

    name: str
    n_layers: int
    d_model: int
    n_features: int
    """Features of each layer."""
    gap: float | None
    """The largest difference between a Hugging Face model's records and its own pass, as a share of
    the largest value; None for a bundle, whose files are compared with their hashes instead."""
    own_neurons: bool = False
    """True where the features are the model's own neurons."""

    def describe(self) -> str:
        """Return the same as a sentence."""
        unit = "neurons" if self.own_neurons else "features"
        opened = f"“{self.name}” opens: {self.n_layers} layers, {self.n_features:,} {unit} in each."
        if self.gap is None:
            return f"{opened} Its files are those that were saved."
        return f"{opened} Its records match its own pass to {self.gap:.1e} of the largest value."


@checked
def add_model(
    source: str | Path,
    name: str | None = None,
    *,
    transcoder: str | Path | None = None,
    models: str | Path = "models",
    device: Device | None = None,
    session: Any = None,
) -> ModelEntry:
    """Add a Hugging Face model to a folder of models; its weights stay where they are.

    Args:
        source: The model's folder, ``owner/name`` on the hub, which is fetched once, or a place in
            a stage, ``@database.schema.stage/folder``, which is copied beside the models.
        name: The name in the folder of models; None takes the last part of the source.
        transcoder: Where a transcoder for it is; None makes graphs of the model's own neurons.
        models: The folder of models.
        device: The device that it is opened on, as for ``load_model``; the entry names none.
        session: Of Snowpark, for a stage; without one, this process's own is used.

    Raises:
        BundleError: If the name is none or is taken, or the transcoder cannot be read.
        ModelError: If the model cannot be opened, or not be explained exactly.
        ConfigError: If the transcoder or the tokenizer does not fit the model.
        StageError: If a stage cannot be read.
    """
    more: dict[str, Any] = {"models": models, "device": device, "session": session}
    *_, entry = add_model_steps(source, name, transcoder=transcoder, **more)
    assert isinstance(entry, ModelEntry)
    return entry


def add_model_steps(
    source: str | Path,
    name: str | None = None,
    *,
    transcoder: str | Path | None = None,
    models: str | Path = "models",
    device: Device | None = None,
    session: Any = None,
) -> Iterator[str | ModelEntry]:
    """Like ``add_model``, but yields a sentence as each step begins, then the entry."""
    place, chosen = place_of(models), find_device(device)
    name = check_new_name(name or Path(source).name, place)
    forget_copies(place, name)  # of a try that was ended by force
    try:
        folder = yield from _find_model(source, copy_of(place, name), session)
        features = yield from _find_transcoder(
            transcoder, copy_of(place, name, "transcoder"), session
        )
        said = str(folder) if place_of(source).is_dir() else str(source)
        entry = yield from _open_and_describe(name, said, (folder, features), chosen)
        write_entry(entry, place)
    except BaseException:  # an error, or a caller who stopped asking
        if not (place / name).exists():  # another caller may have added it meanwhile
            forget_copies(place, name)
        raise
    yield entry


def _find_model(source: str | Path, copy: Path, session: Any) -> Generator[str, None, Path]:
    """Return the folder with a model's weights, fetching them from a stage or the hub."""
    if is_stage(source):
        yield from fetch_files(str(source), copy, session)
        return copy.resolve()
    if place_of(source).is_dir():
        return place_of(source).resolve()
    yield "Look for the model on this machine, then on the Hugging Face hub"
    return fetch_model(str(source))


def _find_transcoder(
    source: str | Path | None, copy: Path, session: Any
) -> Generator[str, None, str | None]:
    """Return where a transcoder is: a folder as an absolute path, another source as it is."""
    if source is None:
        return None
    if is_stage(source):
        yield from fetch_files(str(source), copy, session)
        return str(copy.resolve())
    return str(place_of(source).resolve()) if place_of(source).exists() else str(source)


def _open_and_describe(
    name: str, source: str, parts: tuple[Path, str | None], device: torch.device
) -> Generator[str, None, ModelEntry]:
    """Open model and transcoder, hold them against each other, and return their entry."""
    folder, transcoder = parts
    files = read_model_files(folder)
    dtype = files.dtype()
    needed, free = in_bytes(files.n_bytes(dtype)), in_bytes(free_bytes(device))
    precision = str(dtype).removeprefix("torch.")
    yield (
        f"Read and check the model: {files.n_parameters:,} parameters take {needed} in "
        f"{precision}; {free} of memory are free{'' if device.type == 'cpu' else f' on {device}'}"
    )
    model = load_model(folder, device=device)
    yield (
        "Read the model's own neurons"
        if transcoder is None
        else f"Read the transcoder and hold its sizes against the model's: {transcoder}"
    )
    bundle = _bundle_of(model, transcoder)
    return ModelEntry(
        name=name,
        source=source,
        folder=str(folder),
        transcoder=transcoder,
        family=str(model.config.model_type),
        n_layers=model.shape.n_layers,
        d_model=model.shape.d_model,
        n_parameters=model.n_parameters,
        dtype=precision,
        n_bytes=files.n_bytes(dtype),
        transcoder_bytes=_bytes_of(bundle),
        fingerprint=fingerprint(folder),
    )


def check_new_name(name: str, models: Path) -> str:
    """Return a name if a model of the folder may be given it.

    Raises:
        BundleError: If it is no name, or something has it.
    """
    if fault := name_fault(name):
        raise BundleError(fault)
    finish_replacing(models / name)
    if (models / name).exists():
        raise BundleError(
            f"There is a model {name!r} in {models} already; give another name, or remove it first."
        )
    return name


def _bundle_of(model: PretrainedModel, transcoder: str | None) -> Bundle:
    place = model.home.device
    features = () if transcoder is None else (load_transcoder(transcoder, device=place),)
    return make_bundle(model, *features)


def _bytes_of(bundle: Bundle) -> int:
    """Return the memory that a transcoder takes; none for a model's own neurons."""
    features: object = bundle.transcoder
    if not isinstance(features, CrossLayerTranscoder):
        return 0
    return sum(weight.numel() * weight.element_size() for weight in features.parameters())


def write_entry(entry: ModelEntry, models: Path) -> Path:
    """Write an entry, whole or not at all, and never over another.

    Raises:
        BundleError: If the name was taken meanwhile, or the folder cannot be written.
    """
    folder = models / entry.name
    try:
        models.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{entry.name}.", dir=models))
        try:
            text = json.dumps(entry.to_json(), indent=1)
            (partial / ENTRY).write_text(text, encoding="utf-8")
            partial.chmod(0o755)
            check_new_name(entry.name, models)
            os.rename(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise BundleError(
            f"{folder} cannot be written: {error}. Name a folder of models that can be."
        ) from error
    return folder


@checked
def check_added(
    name: str, models: str | Path = "models", *, device: Device | None = None
) -> ModelCheck:
    """Open a model of the folder, and hold it against itself and against its transcoder.

    Args:
        name: The model's name in the list.
        models: The folder of models.
        device: The device that it is opened on, as for ``load_bundle``.

    Raises:
        BundleError: If there is no such model, or its files are not those of its record.
        ModelError: If a Hugging Face model cannot be opened, or not be explained exactly.
        ConfigError: If the transcoder or the tokenizer does not fit the model.
    """
    folder = find_model(name, place_of(models))
    own_neurons = is_entry(folder) and read_entry(folder).transcoder is None
    bundle = load_bundle(folder, device=device)
    model, shape = bundle.model, bundle.transcoder.shape
    gap = check_model(model).largest if isinstance(model, PretrainedModel) else None
    sizes = (shape.n_layers, shape.d_model, shape.n_features)
    return ModelCheck(name, *sizes, gap, own_neurons)


def find_model(name: str, models: Path) -> Path:
    """Return a model's folder.

    Raises:
        BundleError: If there is no model of that name.
    """
    if fault := name_fault(name):
        raise BundleError(fault)
    if record_file(models / name) is None:
        raise BundleError(f"There is no model {name!r} in {models}; see the list of models.")
    return models / name
