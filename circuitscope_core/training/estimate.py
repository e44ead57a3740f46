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


def estimate_seconds(config: TrainConfig) -> TimeEstimate:
    """Time a few steps of both trainings on random tokens; takes one or two seconds itself."""
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
    harvest_token = harvest_time / (16 * max(1, n_ctx - 1))
    card_token = harvest_token + 4 * encode / sample.shape[1]
    return TimeEstimate(
        language_model=lm_step * lm.n_tokens / (lm.batch_size * n_ctx),
        transcoder=(clt_token + harvest_token) * settings.n_tokens,
        feature_cards=CARD_PASSES * card_token * config.feature_cards.n_tokens,
    )


def _best_time(work: Callable[[], object], repeat: int = 3) -> float:
    work()
    times = []
    for _ in range(repeat):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)
