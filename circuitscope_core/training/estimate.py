"""How long a training will take here: a few real steps are timed."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from circuitscope_core.config import TrainConfig
from circuitscope_core.training.batches import TokenWindows
from circuitscope_core.training.checkpoints import CheckpointFile
from circuitscope_core.training.language_model import LanguageModelTrainer
from circuitscope_core.training.pace import Pace
from circuitscope_core.training.transcoder_loop import TranscoderTrainer
from circuitscope_core.transcoder import CrossLayerTranscoder
from circuitscope_core.transformer import Transformer

CARD_PASSES = 2
"""Times that the feature cards encode their text: for the extent and for what lies within it."""
BESIDES_STEPS = 1.05
"""A training with validation, events and checkpoints, against its steps alone: measured."""
BUFFER_SEQUENCES = 32
"""Sequences harvested to time it."""
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
    n_ctx, d_vocab = config.model.n_ctx, config.model.d_vocab
    tokens = np.random.default_rng(0).integers(0, d_vocab, size=64 * n_ctx).astype(np.uint32)
    windows = TokenWindows.of(tokens, d_vocab - 1, n_ctx)
    pace, nowhere = Pace(config.event_steps, config.checkpoint_seconds), CheckpointFile(Path())
    lm = LanguageModelTrainer(
        model, windows, windows, config.language_model_training, 0, pace, nowhere
    )
    settings = replace(config.transcoder_training, buffer_sequences=BUFFER_SEQUENCES)
    transcoder = CrossLayerTranscoder(config.transcoder)
    clt = TranscoderTrainer(model, transcoder, windows, settings, 0, pace, nowhere)
    short, whole = (_best_time(partial(lm.train_step, step)) for step in (0, lm.n_steps))
    share = config.language_model_training.short_share
    lm_step = share * short + (1 - share) * whole
    clt.prepare()
    clt.step = clt.n_steps  # with the whole weight of each loss
    buffer = clt.fill_buffer(0)
    harvest_token = _best_time(lambda: clt.fill_buffer(0)) / buffer.inputs.shape[1]
    batch = buffer.at(torch.arange(min(settings.batch_size, buffer.inputs.shape[1]), device="cpu"))
    n_tokens = batch.inputs.shape[1]
    clt_token = _best_time(lambda: clt.train_step(batch)) / n_tokens
    encode = _best_time(lambda: [transcoder.encode(0, batch.inputs[0])]) / n_tokens
    return TrainingSpeed(
        language_model=BESIDES_STEPS
        * lm_step
        / (config.language_model_training.batch_size * n_ctx),
        transcoder=BESIDES_STEPS * clt_token + harvest_token / settings.buffer_passes,
        feature_cards=CARD_PASSES * (harvest_token + 4 * encode * config.model.n_layers),
    )


def _best_time(work: Callable[[], object]) -> float:
    work()  # the first time also takes memory
    times: list[float] = []
    end = time.perf_counter() + MEASURE_SECONDS
    while (started := time.perf_counter()) < end or len(times) < 3:
        work()
        times.append(time.perf_counter() - started)
    return min(times)
