"""One training from its beginning to its bundle, and what other workers do for it meanwhile."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch

from circuitscope_core.arguments import checked
from circuitscope_core.config import TrainConfig, TranscoderTrainConfig
from circuitscope_core.corpus import DocumentSource
from circuitscope_core.devices import CPU, find_device
from circuitscope_core.files import place_of
from circuitscope_core.pipeline.bundle_job import BundleJob
from circuitscope_core.pipeline.job import TrainingJob
from circuitscope_core.pipeline.names import check_free
from circuitscope_core.pipeline.planned_model import PlannedModel
from circuitscope_core.pipeline.run_log import RunLog, file_errors, logged
from circuitscope_core.pipeline.training_phases import (
    check_share,
    hear_text,
    language_model_trainer,
    transcoder_trainer,
)
from circuitscope_core.pipeline.transcoder_job import TranscoderJob, help_train
from circuitscope_core.pretrained import PretrainedModel
from circuitscope_core.stages import FileStore
from circuitscope_core.tokenizer import Tokenizer
from circuitscope_core.training import ALONE, CheckpointFile, Event, RunFolder, Workers, Working

Source: TypeAlias = str | Path | DocumentSource | Sequence[str | Path | DocumentSource]


@dataclass(frozen=True)
class TrainingPlan:
    """A training: its settings, its text and the folder of its result."""

    config: TrainConfig | TranscoderTrainConfig
    source: Source
    out: Path
    tokenizer: Tokenizer | None = None
    restart: bool = False
    overwrite: bool = False
    command: str = ""
    """Kept in the bundle as the way to train it again."""
    model: PlannedModel | None = None
    """The model that transcoders are trained for; None where the model is trained as well."""
    device: str | None = None
    """The device, as ``find_device`` takes it."""


@checked
def train(  # noqa: PLR0913  # each a name of the public interface
    config: TrainConfig,
    source: Source = "builtin",
    out: str | Path = "models/mine",
    *,
    tokenizer: Tokenizer | None = None,
    device: str | None = None,
    restart: bool = False,
    overwrite: bool = False,
) -> Iterator[Event]:
    """Train a transformer and its transcoder, and save them as a bundle.

    The generator does the work between two events. Close it to cancel: a checkpoint is saved, and
    the same call resumes there. Every event is also a line in the run folder's ``events.jsonl``.

    Args:
        config: All settings.
        source: ``"builtin"``, Parquet files (a file, folder, glob or ``hf://`` address), a document
            source, or several of these.
        out: Folder of the bundle; its last part is the model's name.
        tokenizer: Where None, bytes if ``config.model.d_vocab`` is 257, else words and pieces of
            words that are learned from the text, at most ``d_vocab`` of them.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps`` or ``auto``; see ``find_device``, which also
            says what None means. Checkpoints and the bundle are the same whatever the device, so
            that a training continues on another from one on the first.
        restart: Discard what an earlier, interrupted training of this name left.
        overwrite: Replace a model of this name once the new one is whole.

    Raises:
        DeviceError: If there is no such device.
        CorpusError: If the text cannot be read; before any training.
        TrainingError: If a model has the name, the text is too short, the training diverges, a
            checkpoint cannot be written, or the run folder belongs to another training or is in
            use by one.
        ConfigError: If settings do not fit together.
    """
    plan = TrainingPlan(config, source, place_of(out), tokenizer, restart, overwrite, device=device)
    yield from _news(carry_out(plan))


@checked
def train_transcoder(
    model: str | Path | PretrainedModel,
    config: TranscoderTrainConfig,
    source: Source,
    out: str | Path,
    *,
    restart: bool = False,
    overwrite: bool = False,
) -> Iterator[Event]:
    """Train transcoders for some or all layers of a Hugging Face model, and save them as a bundle.

    The bundle refers to the model's folder; its own folder ``transcoder`` is in circuit-tracer's
    layout, which ``load_transcoder`` opens too. The generator does the work between two events.
    Close it to cancel: a checkpoint is saved, and the same call resumes there.

    Args:
        model: The model's folder, ``owner/name`` on the hub, the entry of a model that was added,
            or an open model, whose device the training takes too.
        config: All settings; the default trains three layers in the middle of the model.
        source: As for ``train``: ``"builtin"``, Parquet files, a source of documents, or several.
        out: Folder of the bundle; its last part is the model's name.
        restart: Discard what an earlier, interrupted training of this name left.
        overwrite: Replace a model of this name once the new one is whole.

    Raises:
        ModelError: If the model cannot be opened, or not be asked what the settings ask for.
        CorpusError: If the text cannot be read.
        TrainingError: If a model has the name, the text is too short, memory or disk too small, or
            the training diverges.
        ConfigError: If settings do not fit together, or name layers that do not exist.

    Example:
        >>> import circuitscope_core as cs
        >>> config = cs.TranscoderTrainConfig(layers="10-12", d_transcoder=2048)
        >>> steps = cs.train_transcoder("path/to/model", config, "builtin", "models/mine")
    """
    planned = PlannedModel.of(model)
    plan = TrainingPlan(config, source, place_of(out), None, restart, overwrite, "", planned)
    return _news(carry_out(plan))


def _news(events: Generator[Event, None, None]) -> Iterator[Event]:
    """Pass on what there is to tell; who stops asking stops the training."""
    with closing(events):
        for event in events:
            if not isinstance(event, Working):
                yield event


def carry_out(
    plan: TrainingPlan, workers: Workers = ALONE, store: FileStore | None = None
) -> Generator[Event, None, None]:
    """Do what ``train`` does, with the help of other workers where there are any.

    Args:
        plan: The arguments of ``train``.
        workers: This process as number 0 of several; the others call ``assist``.
        store: Events, checkpoints and the bundle are put there too, and the training continues
            from what is there; nothing is kept apart where it is None.

    Raises:
        WorkerLost: If another worker ended. The last checkpoint is kept.
        StageError: If the store cannot be reached.
    """
    check_free(plan.out, restart=plan.restart, overwrite=plan.overwrite)
    check_share(plan.config, workers.world)
    device = find_device(plan.device) if workers.world == 1 else CPU
    folder = RunFolder.for_bundle(plan.out)
    with file_errors(), folder.locked():
        log = RunLog(folder, store)
        if plan.restart:
            folder.discard()
        folder.path.mkdir(parents=True, exist_ok=True)
        log.begin(plan.restart)
        yield from logged(job_of(plan, folder, workers, device).events(), log)


def job_of(
    plan: TrainingPlan, folder: RunFolder, workers: Workers, device: torch.device
) -> BundleJob:
    """Return the work that a plan asks for; a model that is there already has its own device."""
    shared: dict[str, Any] = {
        "source": plan.source,
        "out": plan.out,
        "folder": folder,
        "command": plan.command,
        "workers": workers,
    }
    if isinstance(plan.config, TranscoderTrainConfig):
        assert plan.model is not None
        return TranscoderJob(config=plan.config, planned=plan.model, **shared)
    shared |= {"given_tokenizer": plan.tokenizer, "device": device}
    return TrainingJob(config=plan.config, **shared)


def assist(
    config: TrainConfig | TranscoderTrainConfig,
    workers: Workers,
    model: PlannedModel | None = None,
) -> None:
    """Be another worker than number 0: its text, its checkpoints, a share of its batches.

    Returns when there is nothing left to share, which is when the transcoder is trained.

    Raises:
        WorkerLost: If another worker ended.
        TrainingError: If the training diverges.
    """
    nowhere = CheckpointFile(Path())
    if isinstance(config, TranscoderTrainConfig):
        assert model is not None
        text = hear_text(config.n_ctx, workers)
        for _ in help_train(config, model, text, workers):
            pass
        return
    text = hear_text(config.model.n_ctx, workers)
    trainer = language_model_trainer(config, text, nowhere, workers)
    for _ in trainer.events():
        pass
    for _ in transcoder_trainer(config, text, trainer.model, nowhere, workers).events():
        pass
