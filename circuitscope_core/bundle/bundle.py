"""``models/<name>/`` on disk and the objects it holds.

Files are safetensors, JSON, YAML, Parquet and JSON lines: nothing that runs code when it is read.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from circuitscope_core.arguments import checked
from circuitscope_core.bundle.entry import CARDS, ModelEntry, is_entry, read_entry
from circuitscope_core.bundle.names import RECORD
from circuitscope_core.bundle.placing import bundle_on, features_on
from circuitscope_core.bundle.record import FORMAT_VERSION, read_record, sha256_of, verify_files
from circuitscope_core.bundle.recorded_models import (
    WEIGHTS,
    load_recorded_model,
    model_record,
)
from circuitscope_core.bundle.replacing import new_bundle
from circuitscope_core.bundle.stages import download_bundle, upload_bundle
from circuitscope_core.config import TranscoderConfig
from circuitscope_core.devices import Device, find_device
from circuitscope_core.errors import BundleError, CircuitScopeError, DeviceError
from circuitscope_core.feature_cards import (
    FeatureCards,
    open_published_cards,
    published_folder,
)
from circuitscope_core.feature_dictionary import FeatureDictionary
from circuitscope_core.files import place_of, temporary_folder
from circuitscope_core.global_weights import GlobalWeights
from circuitscope_core.language_model import LanguageModel
from circuitscope_core.neuron_dictionary import NeuronDictionary
from circuitscope_core.pretrained import (
    PretrainedModel,
    check_model,
    check_neurons,
    load_model,
)
from circuitscope_core.replacement import ReplacementModel, transcoder_of
from circuitscope_core.stages import is_stage, open_store
from circuitscope_core.tokenizer import ByteTokenizer, HuggingFaceTokenizer, Tokenizer
from circuitscope_core.transcoder_formats import load_transcoder, save_transcoder
from circuitscope_core.transformer import Transformer
from circuitscope_core.values import one_line

GLOBAL_WEIGHTS = "global_weights.parquet"


@one_line
@dataclass(frozen=True)
class BundleMetadata:
    """The contents of ``bundle.json``, without sizes and file hashes."""

    name: str
    training: Mapping[str, Any] = field(default_factory=dict)
    """The whole ``TrainConfig`` as JSON; empty for models trained elsewhere."""
    corpus: Mapping[str, Any] = field(default_factory=dict)
    """Fingerprint, sources and what was skipped."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    command: str = ""
    """The command that trains the same model again."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall time of each training phase."""


@one_line
@dataclass(frozen=True)
class Bundle:
    """A language model with everything that is needed to trace and to read it."""

    model: LanguageModel
    transcoder: FeatureDictionary
    """The features: a transcoder's, or the model's own neurons."""
    tokenizer: Tokenizer
    feature_cards: FeatureCards | None
    """None where they were not collected; such a bundle can be traced and not saved."""
    metadata: BundleMetadata
    training_log: str = ""
    """Events of the training, one JSON object a line."""
    global_weights: GlobalWeights | None = None
    """None where they were not measured."""

    @property
    def replacement(self) -> ReplacementModel:
        """The model with its transcoder, as attribution wants them."""
        return ReplacementModel(self.model, self.transcoder, self.tokenizer)

    @property
    def device(self) -> torch.device:
        """The device that prompts are computed on."""
        return self.model.tokens([0]).device

    def to(self, device: Device) -> "Bundle":
        """Return the same bundle on a device; this one stays where it is.

        Raises:
            DeviceError: If there is no such device, it has too little memory, or the model cannot
                be moved.
        """
        return bundle_on(self, find_device(device))


@checked
def make_bundle(
    model: LanguageModel,
    transcoder: FeatureDictionary | None = None,
    cards: FeatureCards | None = None,
    tokenizer: Tokenizer | None = None,
) -> Bundle:
    """Put a model and its features together, so that prompts can be traced.

    Args:
        model: From ``load_model``, or any other.
        transcoder: From ``load_transcoder``, trained on this model; None takes the model's own
            neurons as features.
        cards: Texts that the features respond to; without them features have numbers only.
        tokenizer: Turns text into the model's tokens; None takes the model's own, and token ids
            where it has none.

    Raises:
        ConfigError: If the two do not fit together.
        ModelError: If a Hugging Face model that is in memory cannot be explained exactly.

    Example:
        >>> import circuitscope_core as cs
        >>> demo = cs.load_bundle("models/demo")
        >>> bundle = cs.make_bundle(demo.model, demo.transcoder)
        >>> bundle.feature_cards is None
        True
    """
    own = tokenizer or getattr(model, "tokenizer", None)
    features = NeuronDictionary(model) if transcoder is None else transcoder
    reads: Tokenizer = own or ReplacementModel(model, features).tokenizer
    ReplacementModel(model, features, reads)
    if isinstance(model, PretrainedModel) and model.folder is None:
        check_model(model)  # one from a folder was checked when it was opened
    if isinstance(model, PretrainedModel) and transcoder is None:
        check_neurons(model)
    features = features_on(features, model)
    folder = model.folder if isinstance(model, PretrainedModel) else None
    name = folder.name if folder else type(model).__name__
    return Bundle(model, features, reads, cards, BundleMetadata(name))


@checked
def save_bundle(bundle: Bundle, path: str | Path) -> Path:
    """Write a bundle; an older one of the same name goes to the bin when the new one is whole.

    Args:
        bundle: What to save.
        path: A folder, or a place in a stage: ``@database.schema.stage/models/name``.

    Returns:
        The bundle's folder, or its place in the stage.

    Raises:
        BundleError: If ``path`` exists and is no bundle, the bundle has no feature cards, or a file
            cannot be written; an older bundle is then as it was.
        ModelError: If the model is a Hugging Face one that is in memory only.
        StageError: If the stage cannot be written; an older bundle is then as it was.
    """
    if is_stage(path):
        with temporary_folder() as local:
            upload_bundle(save_bundle(bundle, local / "bundle"), open_store(path))
        return Path(path)
    cards = bundle.feature_cards
    if cards is None:
        raise BundleError(
            "The bundle has no feature cards, and features could not be read without them. "
            "Collect them before it is saved."
        )
    folder = place_of(path)
    with new_bundle(folder) as partial:
        _write(bundle, cards, partial)
    return folder


def _write(bundle: Bundle, cards: FeatureCards, folder: Path) -> None:
    if isinstance(bundle.model, Transformer):
        # each a tensor of its own: layers may share their weights, and files may not
        weights = {
            name: value.clone(memory_format=torch.contiguous_format)
            for name, value in bundle.model.state_dict().items()
        }
        save_file(weights, folder / WEIGHTS)
    save_transcoder(transcoder_of(bundle.replacement), folder / "transcoder")
    if isinstance(bundle.tokenizer, HuggingFaceTokenizer):
        bundle.tokenizer.save(folder / "tokenizer.json")
    cards.save(folder / CARDS)
    if bundle.global_weights:
        bundle.global_weights.save(folder / GLOBAL_WEIGHTS)
    (folder / "training_log.jsonl").write_text(bundle.training_log, encoding="utf-8")
    (folder / RECORD).write_text(json.dumps(_record(bundle, folder), indent=1), encoding="utf-8")


def _record(bundle: Bundle, folder: Path) -> dict[str, Any]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != RECORD)
    return {
        "format_version": FORMAT_VERSION,
        "name": bundle.metadata.name,
        "model": model_record(bundle.model),
        "transcoder": transcoder_of(bundle.replacement).config.to_json(),
        "training": dict(bundle.metadata.training),
        "corpus": dict(bundle.metadata.corpus),
        "metrics": dict(bundle.metadata.metrics),
        "command": bundle.metadata.command,
        "seconds": dict(bundle.metadata.seconds),
        "files": {path.relative_to(folder).as_posix(): sha256_of(path) for path in files},
    }


@checked
def load_bundle(
    path: str | Path, *, device: Device | None = None, dtype: str | None = None
) -> Bundle:
    """Read a bundle from a folder or a place in a stage, or open a model that was added.

    Args:
        path: A folder, or a place in a stage.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps`` or ``auto``; see ``find_device``, which also
            says what None means. Files are the same whatever the device.
        dtype: The precision of a Hugging Face model's weights: ``float32``, ``bfloat16`` or
            ``float64``; None takes the one that it was added with. A model that was trained here
            has ``float32`` only: graphs are computed with its weights.

    Raises:
        DeviceError: If there is no such device, or it has too little free memory.
        StageError: If the stage cannot be read.
        ModelError: If the Hugging Face model of an entry cannot be opened.
        BundleError: If files are missing, damaged, differ from their recorded hash, or do not fit
            each other.
    """
    if is_stage(path):
        with temporary_folder() as local:
            download_bundle(open_store(path), local)
            return load_bundle(local, device=device, dtype=dtype)
    folder, place = place_of(path), find_device(device)
    if is_entry(folder):
        return with_cards(open_entry(entry := read_entry(folder), place, dtype), folder, entry)
    record = read_record(folder)
    verify_files(folder, record)
    try:
        model = load_recorded_model(folder, record["model"], place, dtype)
        transcoder = load_transcoder(folder / "transcoder", device=place)
        declared = TranscoderConfig.from_json(record["transcoder"])
        if transcoder.config != declared:
            raise BundleError(f"The transcoder's files are not the {declared} of {RECORD}.")
        tokenizer_file = folder / "tokenizer.json"
        tokenizer: Tokenizer = ByteTokenizer()
        if tokenizer_file.is_file():
            tokenizer = HuggingFaceTokenizer(tokenizer_file)
        elif isinstance(model, PretrainedModel):
            tokenizer = model.tokenizer
        sizes = (transcoder.config.n_layers, transcoder.config.d_transcoder)
        cards = FeatureCards.load(folder / CARDS, *sizes, some=True)
        weights = None
        if GLOBAL_WEIGHTS in record["files"]:
            weights = GlobalWeights.load(folder / GLOBAL_WEIGHTS, *sizes)
        ReplacementModel(model, transcoder, tokenizer)
    except (BundleError, DeviceError):
        raise
    except CircuitScopeError as error:
        raise BundleError(f"The bundle {folder} does not fit together: {error}") from error
    log = _read_log(folder / "training_log.jsonl")
    return Bundle(model, transcoder, tokenizer, cards, _metadata(record), log, weights)


def _read_log(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} cannot be read: {error}. Copy the bundle again.") from error


def open_entry(entry: ModelEntry, device: Device | None = None, dtype: str | None = None) -> Bundle:
    """Open a model that was added, with its transcoder or else with its own neurons.

    Raises:
        DeviceError: If there is no such device, or it has too little free memory.
        BundleError: If the model or the transcoder is gone, or another one by now.
        ModelError: If the model cannot be opened.
        ConfigError: If the transcoder no longer fits the model.
    """
    model = load_model(entry.weights_folder(), device=device, dtype=dtype or entry.dtype)
    place, source = model.home.device, entry.transcoder
    features = () if source is None else (load_transcoder(source, device=place),)
    return replace(make_bundle(model, *features), metadata=BundleMetadata(entry.name))


def with_cards(bundle: Bundle, folder: Path, entry: ModelEntry) -> Bundle:
    """Add the cards that were collected for an entry, or were published with its transcoder.

    Raises:
        BundleError: If the cards are damaged, or of features that do not exist.
    """
    shape, own = bundle.transcoder.shape, folder / CARDS
    if own.is_file():
        cards = FeatureCards.load(own, shape.n_layers, shape.n_features, some=True)
        return replace(bundle, feature_cards=cards)
    beside = None if entry.transcoder is None else published_folder(Path(entry.transcoder))
    if beside is None:
        return bundle
    return replace(bundle, feature_cards=open_published_cards(beside, shape.n_features))


def _metadata(record: Mapping[str, Any]) -> BundleMetadata:
    parts = {name: record.get(name, {}) for name in ("training", "corpus", "metrics", "seconds")}
    for name, part in parts.items():
        figures = name in ("metrics", "seconds")
        if not isinstance(part, dict) or (figures and not all(map(_is_figure, part.values()))):
            must = "an object of numbers" if figures else "an object"
            raise BundleError(f"{RECORD} has {name} = {part!r:.100}; it must be {must}.")
    command = str(record.get("command", ""))
    return BundleMetadata(str(record.get("name", "")), command=command, **parts)


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
