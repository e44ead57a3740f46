"""The time and memory of a transcoder's training here: a few steps are timed, sizes added up."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from circuitscope_core.config import TranscoderTrainConfig
from circuitscope_core.devices import free_bytes
from circuitscope_core.language_model import LanguageModel
from circuitscope_core.pipeline.layer_groups import (
    buffer_for,
    divide_layers,
    needs_of,
    one_sequence,
)
from circuitscope_core.pipeline.planned_model import PlannedModel
from circuitscope_core.pipeline.training_phases import TrainingText
from circuitscope_core.pipeline.transcoder_job import Group, group_trainer, model_for
from circuitscope_core.training import CheckpointFile, RunFolder, TokenWindows
from circuitscope_core.training.shuffle_buffer import free_disk
from circuitscope_core.transcoder import name_layers
from circuitscope_core.values import in_bytes

TIMED_TOKENS = 1_024
"""Tokens that are harvested to time it, about."""
N_TIMED = 3
"""How often each part is timed; the best time counts, since other work comes and goes."""
BESIDES_STEPS = 1.05
"""A training with events and checkpoints against its steps alone."""
CARD_PASSES = 2


@dataclass(frozen=True)
class TranscoderEstimate:
    """Seconds, bytes and sizes of a transcoder's training."""

    layers: tuple[int, ...]
    n_layers: int
    """Layers of the model."""
    n_groups: int
    n_tokens: int
    forward_seconds_a_token: float
    """One pass of the whole model with its logits."""
    harvest_seconds_a_token: float
    """One pass as far as the highest of a group's layers, activations kept."""
    step_seconds_a_token: float
    """The change of a group's weights."""
    training_seconds: float
    other_seconds: float
    """Figures, feature cards and global weights, about."""
    model_bytes: int
    weights_bytes: int
    """Weights in training with the optimiser's state, of one group."""
    buffer_bytes: int
    working_bytes: int
    free_bytes: int
    disk_bytes: int
    """Checkpoints and the finished bundle, about."""
    free_disk_bytes: int
    n_parameters: int
    """Weights of the layers that are trained."""

    @property
    def passes_a_token(self) -> float:
        """Time of a trained token, in passes of the model."""
        tokens = self.n_tokens * self.n_groups
        return self.training_seconds / tokens / self.forward_seconds_a_token

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "passes_a_token": self.passes_a_token}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "TranscoderEstimate":
        """Return the estimate that ``to_json`` made plain."""
        values = {item.name: data[item.name] for item in fields(cls)}
        return cls(**{**values, "layers": tuple(data["layers"])})

    def lines(self) -> tuple[str, ...]:
        """Return the estimate as sentences."""
        groups = "" if self.n_groups == 1 else f" in {self.n_groups} groups one after the other"
        memory = self.weights_bytes + self.buffer_bytes + self.working_bytes
        return (
            f"Layers {name_layers(self.layers)} of {self.n_layers}{groups}: "
            f"{self.n_parameters:,} weights, {self.n_tokens:,} tokens.",
            f"Time: about {_duration(self.training_seconds)} of training "
            f"({self.passes_a_token:.1f} passes of the model a token) and "
            f"{_duration(self.other_seconds)} for figures and feature cards.",
            f"Memory: {in_bytes(self.model_bytes)} for the model, {in_bytes(memory)} for the "
            f"training ({in_bytes(self.weights_bytes)} weights and optimiser, "
            f"{in_bytes(self.buffer_bytes)} buffer); {in_bytes(self.free_bytes)} are free.",
            f"Disk: about {in_bytes(self.disk_bytes)}; {in_bytes(self.free_disk_bytes)} are free.",
        )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def estimate_transcoder(
    config: TranscoderTrainConfig, planned: PlannedModel, out: Path
) -> TranscoderEstimate:
    """Open the model, time a few steps of the training on random tokens, and add up the sizes.

    Raises:
        ModelError: If the model cannot be opened.
        TrainingError: As the training itself would, before it begins.
        ConfigError: If settings name layers that do not exist.
    """
    opened = planned.open()
    model = model_for(config, opened)
    layers = config.chosen_layers(model.shape.n_layers)
    free = free_bytes(model.tokens([0]).device)
    groups = divide_layers(config, model, layers, free)
    folder = RunFolder.for_bundle(out).path
    buffer = buffer_for(config, model, len(groups[0]), folder)
    times = _measure(config, model, groups)
    forward, harvest, step = times
    training = config.transcoder_training
    token = step * BESIDES_STEPS + harvest / training.buffer_passes
    cards = config.feature_cards.n_tokens
    other = CARD_PASSES * cards * harvest + 4 * config.metric_tokens * forward
    needs = needs_of(config, model, len(groups[0]))
    disk = disk_needed(config, model, groups, buffer.n_sequences)
    return TranscoderEstimate(
        layers=layers,
        n_layers=model.shape.n_layers,
        n_groups=len(groups),
        n_tokens=training.n_tokens,
        forward_seconds_a_token=forward,
        harvest_seconds_a_token=harvest,
        step_seconds_a_token=step,
        training_seconds=token * training.n_tokens * len(groups),
        other_seconds=other,
        model_bytes=model.n_parameters * opened.weight_dtype.itemsize,
        weights_bytes=needs.weights,
        buffer_bytes=buffer.n_sequences * one_sequence(config, model, len(groups[0])),
        working_bytes=needs.working,
        free_bytes=free,
        disk_bytes=disk,
        free_disk_bytes=free_disk(out),
        n_parameters=config.transcoder(len(layers), model.shape.d_model).count_parameters(),
    )


def disk_needed(
    config: TranscoderTrainConfig,
    model: LanguageModel,
    groups: tuple[tuple[int, ...], ...],
    n_sequences: int,
) -> int:
    """Return the disk that checkpoints, the buffer in files and the bundle take, about."""
    d_model, n_layers = model.shape.d_model, model.shape.n_layers
    state = sum(needs_of(config, model, len(group)).weights * 3 // 4 for group in groups)
    largest = max(needs_of(config, model, len(group)).weights * 3 // 4 for group in groups)
    whole = 4 * config.transcoder(n_layers, d_model).count_parameters()
    on_disk = config.buffer_place == "disk"
    buffer = n_sequences * one_sequence(config, model, len(groups[0])) if on_disk else 0
    return state + largest + whole + buffer


def _measure(
    config: TranscoderTrainConfig, model: LanguageModel, groups: tuple[tuple[int, ...], ...]
) -> tuple[float, float, float]:
    """Return the seconds a token of a pass, of a harvest and of a step."""
    shape = model.shape
    n_sequences = max(1, TIMED_TOKENS // config.n_ctx)
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, shape.d_vocab, size=64 * config.n_ctx).astype(np.uint32)
    windows = TokenWindows.of(tokens, 0, config.n_ctx)
    training = replace(config.transcoder_training, buffer_sequences=n_sequences)
    short = replace(config, transcoder_training=training)
    buffer = buffer_for(short, model, len(groups[0]), Path())
    buffer = replace(buffer, folder=None)
    group = Group(groups[len(groups) // 2], CheckpointFile(Path()), buffer)
    trainer = group_trainer(short, TrainingText(windows, windows), model, group)
    ids = windows.sample(n_sequences, rng)[:, :-1].to(model.tokens([0]).device)
    with torch.no_grad():
        forward = _best_time(partial(model, ids)) / ids.numel()
    trainer.prepare()
    trainer.step = trainer.n_steps  # with the whole weight of each loss
    found = trainer.fill_buffer(0)
    harvest = _best_time(partial(trainer.fill_buffer, 0)) / found.n_tokens
    chosen = torch.arange(min(training.batch_size, found.n_tokens), device="cpu")
    like = trainer.transcoder.W_enc
    assert trainer.scales is not None
    batch = found.at(chosen, like=like).scaled(trainer.scales)
    step = _best_time(lambda: trainer.train_step(batch)) / batch.n_tokens
    return forward, harvest, step


def _best_time(work: Callable[[], object]) -> float:
    work()  # the first time also takes memory
    times: list[float] = []
    for _ in range(N_TIMED):
        started = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return min(times)
