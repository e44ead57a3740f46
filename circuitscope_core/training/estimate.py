"""How long a training will take here: a few real steps are timed."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from circuitscope_core.config import TrainConfig
from circuitscope_core.training.batches import TokenWindows
from circuitscope_core.training.language_model import next_token_loss
from circuitscope_core.training.transcoder_loop import harvest
from circuitscope_core.transcoder import CrossLayerTranscoder, transcoder_loss
from circuitscope_core.transformer import Transformer

CARD_PASSES = 4
"""Times that the feature cards' pass encodes its text: twice for statistics, twice for examples."""
BESIDES_GRADIENTS = 1.12
"""Gradients with optimiser steps, validation and checkpoints, against gradients alone: measured."""
MEASURE_SECONDS = 0.5
"""Each part is timed for so long and its best time taken: other work comes and goes."""


@dataclass(frozen=True)
class TimeEstimate:
    """Seconds for each phase that takes long."""

    language_model: float
    transcoder: float
    feature_cards: float

    @property
    def total(self) -> float:
        """Seconds in all."""
        return self.language_model + self.transcoder + self.feature_cards


@dataclass(frozen=True)
class TrainingSpeed:
    """Seconds per token in each phase that takes long."""

    language_model: float
    transcoder: float
    feature_cards: float

    def estimate(self, config: TrainConfig) -> TimeEstimate:
        """Return the time that models of the measured sizes take for the tokens of ``config``."""
        return TimeEstimate(
            self.language_model * config.language_model_training.n_tokens,
            self.transcoder * config.transcoder_training.n_tokens,
            self.feature_cards * config.feature_cards.n_tokens,
        )


def measure_speed(config: TrainConfig) -> TrainingSpeed:
    """Time a few steps of both trainings on random tokens; takes two or three seconds itself."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Transformer(config.model)
        transcoder = CrossLayerTranscoder(config.transcoder)
    n_ctx, d_vocab = config.model.n_ctx, config.model.d_vocab
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, d_vocab, size=64 * n_ctx).astype(np.uint32)
    windows = TokenWindows.of(tokens, d_vocab - 1, n_ctx)
    settings, lm = config.transcoder_training, config.language_model_training
    batch = windows.sample(lm.batch_size, rng)
    lm_step = _best_time(lambda: next_token_loss(model, batch).backward())
    sixteen = windows.sample(16, rng)[:, :-1]
    read_point = config.transcoder.read_point
    harvest_time = _best_time(lambda: harvest(model, sixteen, read_point))
    inputs, _ = harvest(model, sixteen, read_point)
    sample = inputs[:, : settings.batch_size].contiguous()

    def step() -> None:
        transcoder_loss(transcoder, sample, sample, settings, 0.1).total.backward()

    clt_token = _best_time(step) / sample.shape[1]
    encode = _best_time(lambda: [transcoder.encode(0, sample[0])]) * config.model.n_layers
    harvest_token = harvest_time / inputs.shape[1]
    return TrainingSpeed(
        language_model=BESIDES_GRADIENTS * lm_step / (lm.batch_size * n_ctx),
        transcoder=BESIDES_GRADIENTS * clt_token + harvest_token,
        feature_cards=CARD_PASSES * (harvest_token + 4 * encode / sample.shape[1]),
    )


def _best_time(work: Callable[[], object]) -> float:
    work()  # the first time also takes memory
    times: list[float] = []
    end = time.perf_counter() + MEASURE_SECONDS
    while (started := time.perf_counter()) < end or len(times) < 3:
        work()
        times.append(time.perf_counter() - started)
    return min(times)
