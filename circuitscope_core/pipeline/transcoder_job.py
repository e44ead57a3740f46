"""The phases of a training of transcoders for a model that is there already."""

import json
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from circuitscope_core.attribution import attribute
from circuitscope_core.bundle.recorded_models import fingerprint
from circuitscope_core.config import CorpusConfig, TranscoderTrainConfig
from circuitscope_core.corpus import DocumentSource
from circuitscope_core.devices import free_bytes
from circuitscope_core.errors import TrainingError
from circuitscope_core.feature_cards.selection import Selection
from circuitscope_core.language_model import LanguageModel
from circuitscope_core.pipeline.bundle_job import BundleJob
from circuitscope_core.pipeline.layer_groups import (
    DTYPES,
    buffer_for,
    divide_layers,
)
from circuitscope_core.pipeline.planned_model import PlannedModel
from circuitscope_core.pipeline.training_phases import TrainingText
from circuitscope_core.pretrained import PretrainedModel
from circuitscope_core.pruning import graph_scores
from circuitscope_core.replacement import ReplacementModel
from circuitscope_core.training import (
    ALONE,
    CheckpointFile,
    Event,
    Pace,
    PhaseFinished,
    PhaseStarted,
    Progress,
    TranscoderTrainer,
    Workers,
)
from circuitscope_core.training.shuffle_buffer import BufferPlan
from circuitscope_core.transcoder import CrossLayerTranscoder, name_layers, widen

SCALE_TOKENS = 16_384
"""Tokens that the scales of activations are measured on, at most."""
SCORED_TOKENS = 32
"""Tokens of a held-out prompt whose graph is scored."""
SCORED_FEATURES = 2_000
"""Feature nodes of such a graph, at most."""


@dataclass(kw_only=True)
class TranscoderJob(BundleJob):
    """The training of transcoders for some or all layers of a Hugging Face model."""

    config: TranscoderTrainConfig
    planned: PlannedModel
    opened: PretrainedModel = field(init=False)
    layers: tuple[int, ...] = field(init=False)
    """The layers that get features."""

    def phases(self) -> Sequence[Iterator[Event]]:
        """Return all phases in their order; none has begun."""
        return (
            self._read_corpus(),
            self._train_transcoder(),
            self._measure(),
            self._collect_cards(),
        )

    @property
    def n_ctx(self) -> int:
        """Tokens of a window."""
        return self.config.n_ctx

    @property
    def text_config(self) -> CorpusConfig:
        """How the text is read."""
        return self.config.text

    @property
    def metric_tokens(self) -> int:
        """Held-out tokens on which model and replacement are compared, at most."""
        return self.config.metric_tokens

    def identity(self) -> dict[str, Any]:
        """Return everything that decides the training, the model included."""
        assert self.opened.folder is not None
        return {**super().identity(), "model": fingerprint(self.opened.folder)}

    def find_tokenizer(self, sources: Sequence[DocumentSource]) -> Iterator[Event]:
        """Open the model, which brings its tokenizer, before any text is read."""
        del sources
        self.opened = self.planned.open()
        self.tokenizer = self.opened.tokenizer
        self.model = model_for(self.config, self.opened)
        self.layers = self.config.chosen_layers(self.model.shape.n_layers)
        self.buffer_of(len(self._groups()[0]))  # what does not fit is said now
        yield from ()

    def _groups(self) -> tuple[tuple[int, ...], ...]:
        device = self.model.tokens([0]).device
        return divide_layers(self.config, self.model, self.layers, free_bytes(device))

    def buffer_of(self, n_layers: int) -> BufferPlan:
        """Return the buffer for groups of ``n_layers`` layers."""
        return buffer_for(self.config, self.model, n_layers, self.folder.path)

    def check_text(self) -> None:
        """Refuse text that has fewer tokens than the training looks at.

        Raises:
            TrainingError: If it has.
        """
        n, needed = len(self.corpus.train_tokens), self.config.fresh_tokens
        training = self.config.transcoder_training
        if n < needed:
            raise TrainingError(
                f"The text has {n:,} tokens to train on, and n_tokens = {training.n_tokens:,} with "
                f"buffer_passes = {training.buffer_passes} looks at {needed:,} of them. Give more "
                f"text, raise corpus.max_tokens if that is the bound, or set "
                f"transcoder_training.n_tokens to at most {n * training.buffer_passes:,}."
            )

    def _train_transcoder(self) -> Iterator[Event]:
        """Train one group of layers after the other, told as one phase."""
        found = self.folder.settle("groups", self._groups())
        groups = tuple(tuple(group) for group in found)
        buffer = self.buffer_of(max(map(len, groups)))
        tell_groups(groups, buffer.n_sequences, self.workers)
        parts: list[CrossLayerTranscoder] = []
        started, begun = time.perf_counter(), False
        metrics: dict[str, float] = {}
        for number, group in enumerate(groups):
            trainer = group_trainer(
                self.config,
                self.text,
                self.model,
                Group(group, self.folder.group_checkpoint(number), buffer),
                self.workers,
            )
            shift = Shift(number * trainer.n_steps, len(groups) * trainer.n_steps)
            for event in trainer.events():
                if isinstance(event, PhaseFinished):
                    metrics = dict(event.metrics)
                elif isinstance(event, PhaseStarted) and begun:
                    continue
                else:
                    begun = True
                    yield shift.moved(event)
            parts.append(trainer.folded().requires_grad_(requires_grad=False))
            del trainer
        self.transcoder = widen(parts, groups, self.model.shape.n_layers)
        metrics["trained_layers"] = float(len(self.layers))
        seconds = time.perf_counter() - started
        said = describe_layers(self.layers, self.model.shape.n_layers)
        yield PhaseFinished("transcoder", seconds, metrics, said)

    def measure_more(self, metrics: dict[str, float]) -> Iterator[float]:
        """Add the scores of a few held-out prompts' graphs."""
        prompts = self._scored_prompts()
        replacement = ReplacementModel(self.model, self.transcoder, self.tokenizer)
        scores = []
        for number, prompt in enumerate(prompts, start=1):
            graph = attribute(replacement, prompt, max_feature_nodes=SCORED_FEATURES)
            scores.append(graph_scores(graph))
            yield number / len(prompts)
        if scores:
            metrics["replacement_score"] = float(np.mean([item.replacement for item in scores]))
            metrics["completeness_score"] = float(np.mean([item.completeness for item in scores]))
            metrics["scored_prompts"] = float(len(scores))

    def _scored_prompts(self) -> list[list[int]]:
        tokens, separator = self.corpus.held_out_tokens, self.tokenizer.separator_id
        documents = np.split(tokens, np.flatnonzero(tokens == separator))[1:]
        n_tokens = min(SCORED_TOKENS, self.n_ctx)
        long = [piece[:n_tokens].tolist() for piece in documents if len(piece) >= n_tokens]
        n = self.config.score_prompts
        return long[:: max(1, len(long) // n)][:n] if n else []

    def features_with_cards(self) -> Selection | None:
        """Return the features of the layers that were trained; None for all."""
        shape = self.transcoder.shape
        if shape.trained_layers is None:
            return None
        return Selection.of(shape, list(product(self.layers, range(shape.n_features))))


@dataclass(frozen=True)
class Shift:
    """The place of a group's steps among those of all groups."""

    before: int
    n_steps: int

    def moved(self, event: Event) -> Event:
        """Return an event of the group's training with the steps of all."""
        if isinstance(event, PhaseStarted):
            first = self.before + event.first_step
            return replace(event, n_steps=self.n_steps, first_step=first)
        if isinstance(event, Progress):
            return replace(event, step=self.before + event.step, n_steps=self.n_steps)
        return event


@dataclass(frozen=True)
class Group:
    """Layers that are trained together, and where their training is kept."""

    layers: tuple[int, ...]
    checkpoint: CheckpointFile
    buffer: BufferPlan


def model_for(config: TranscoderTrainConfig, model: PretrainedModel) -> LanguageModel:
    """Return a model as its transcoder will write to it.

    Raises:
        TrainingError: If it does not read as many tokens as a window has.
    """
    if config.n_ctx > model.shape.n_ctx:
        raise TrainingError(
            f"n_ctx is {config.n_ctx}, and the model reads at most {model.shape.n_ctx} tokens; set "
            f"n_ctx to at most {model.shape.n_ctx}."
        )
    return model.writing_at(config.write_point)


def group_trainer(
    config: TranscoderTrainConfig,
    text: TrainingText,
    model: LanguageModel,
    group: Group,
    workers: Workers = ALONE,
) -> TranscoderTrainer:
    """Return the training of some layers."""
    settings = config.transcoder_training
    if len(group.layers) == 1:  # nothing above it could answer
        settings = replace(settings, causal_weight=0.0)
    transcoder = CrossLayerTranscoder(config.transcoder(len(group.layers), model.shape.d_model))
    return TranscoderTrainer(
        model=model,
        transcoder=transcoder.to(model.tokens([0]).device),
        train=text.train,
        settings=settings,
        seed=config.seed,
        pace=Pace(config.event_steps, config.checkpoint_seconds),
        checkpoint=group.checkpoint,
        workers=workers,
        layers=group.layers,
        buffer=group.buffer,
        independent=not config.cross_layer and settings.causal_weight == 0,
        scale_tokens=SCALE_TOKENS,
    )


def tell_groups(groups: Sequence[Sequence[int]], n_sequences: int, workers: Workers) -> None:
    """Tell the other workers how number 0 divided the layers, and how large the buffer is."""
    if workers.world > 1:
        workers.broadcast(json.dumps([groups, n_sequences]).encode())


def help_train(
    config: TranscoderTrainConfig, planned: PlannedModel, text: TrainingText, workers: Workers
) -> Generator[Event, None, None]:
    """Be another worker than number 0 in the training of all groups."""
    model = model_for(config, planned.open())
    groups, n_sequences = json.loads(workers.broadcast(b""))
    with tempfile.TemporaryDirectory(prefix="circuitscope-") as place:
        for layers in groups:
            plan = BufferPlan(
                n_sequences,
                DTYPES[config.buffer_dtype],
                Path(place) if config.buffer_place == "disk" else None,
            )
            group = Group(tuple(layers), CheckpointFile(Path()), plan)
            yield from group_trainer(config, text, model, group, workers).events()


def describe_layers(layers: Sequence[int], n_layers: int) -> str:
    """Return in words which layers get features, and what becomes of the others."""
    if len(layers) == n_layers:
        return f"All {n_layers} layers get features."
    return (
        f"Layers {name_layers(layers)} of {n_layers} get features. MLP outputs of the other layers "
        "are errors in every graph, and stay as they are where MLPs are replaced."
    )
