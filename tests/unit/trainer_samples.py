"""Trainers of tiny models on random tokens."""

import dataclasses

import numpy as np
import torch

import circuitscope_core as cs
from circuitscope_core.training import (
    CheckpointFile,
    LanguageModelTrainer,
    Pace,
    TokenWindows,
    TranscoderTrainer,
)
from circuitscope_core.transcoder import CrossLayerTranscoder
from tests.texts import tiny_config


def windows_of(n_ctx=32, n=4000, seed=0):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, 256, n).astype(np.uint16)
    tokens[::97] = 256
    counted = rng.random(n) < 0.7
    return TokenWindows.of(tokens, 256, n_ctx, counted=counted)


def small_model():
    """Return the same model in every thread, which must not draw from one generator at once."""
    model = cs.Transformer(tiny_config().model)
    for number, weight in enumerate(model.parameters()):
        drawn = torch.randn(weight.shape, generator=torch.Generator().manual_seed(number))
        weight.data.copy_(0.2 * drawn)
    return model


def language_model(workers, tmp_path, **changes):
    config = tiny_config()
    return LanguageModelTrainer(
        model=small_model(),
        train=windows_of(),
        held_out=windows_of(seed=1),
        settings=dataclasses.replace(config.language_model_training, n_tokens=4000, **changes),
        seed=3,
        pace=Pace(5, 1e9),
        checkpoint=CheckpointFile(tmp_path / "lm.safetensors"),
        workers=workers,
    )


def transcoder(workers, tmp_path):
    config = tiny_config()
    return TranscoderTrainer(
        model=small_model().requires_grad_(False),
        transcoder=CrossLayerTranscoder(config.transcoder),
        train=windows_of(),
        settings=dataclasses.replace(config.transcoder_training, n_tokens=6000),
        seed=3,
        pace=Pace(5, 1e9),
        checkpoint=CheckpointFile(tmp_path / "clt.safetensors"),
        workers=workers,
    )
