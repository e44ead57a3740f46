"""The two phases that several workers do together, and the text that they are told."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load, save

from circuitscope_core.config import TrainConfig, TranscoderTrainConfig
from circuitscope_core.corpus import Corpus
from circuitscope_core.devices import CPU
from circuitscope_core.errors import TrainingError
from circuitscope_core.tokenizer import Tokenizer, token_lengths
from circuitscope_core.training import (
    ALONE,
    CheckpointFile,
    LanguageModelTrainer,
    Pace,
    TokenWindows,
    TranscoderTrainer,
    Workers,
)
from circuitscope_core.transcoder import CrossLayerTranscoder
from circuitscope_core.transformer import Transformer


@dataclass(frozen=True)
class TrainingText:
    """The corpus as the trainings see it."""

    train: TokenWindows
    held_out: TokenWindows

    @classmethod
    def of(cls, corpus: Corpus, tokenizer: Tokenizer, n_ctx: int) -> "TrainingText":
        """Return a corpus as windows.

        Raises:
            TrainingError: If it is shorter than a window.
        """
        arrays = (corpus.train_tokens, corpus.train_counted, corpus.held_out_tokens)
        return cls._of(*arrays, tokenizer.separator_id, n_ctx, token_lengths(tokenizer))

    @classmethod
    def _of(
        cls,
        train: NDArray[np.integer],
        counted: NDArray[np.bool_],
        held_out: NDArray[np.integer],
        separator_id: int,
        n_ctx: int,
        lengths: NDArray[np.integer],
    ) -> "TrainingText":
        place = (separator_id, n_ctx)
        return cls(
            TokenWindows.of(train, *place, "training text", counted, lengths),
            TokenWindows.of(held_out, *place, "held-out text", None, lengths),
        )


def tell_text(text: TrainingText, workers: Workers) -> None:
    """Send worker 0's text to the others; files need to be within reach of that one only."""
    if workers.world == 1:
        return
    assert text.train.counted is not None
    assert text.train.token_bytes is not None
    arrays = {
        "train": text.train.tokens,
        "counted": text.train.counted,
        "held_out": text.held_out.tokens,
        "separator_id": np.array([text.train.separator_id]),
        "token_bytes": text.train.token_bytes,
    }
    workers.broadcast(save(arrays))


def hear_text(n_ctx: int, workers: Workers) -> TrainingText:
    """Return the text that worker 0 read, in windows of ``n_ctx`` tokens."""
    arrays = load(workers.broadcast(b""))
    text = (arrays["train"], arrays["counted"], arrays["held_out"])
    separator_id = int(arrays["separator_id"][0])
    return TrainingText._of(*text, separator_id, n_ctx, arrays["token_bytes"])


def language_model_trainer(
    config: TrainConfig,
    text: TrainingText,
    checkpoint: CheckpointFile,
    workers: Workers = ALONE,
    device: torch.device = CPU,
) -> LanguageModelTrainer:
    """Return the training of a new transformer, whose first weights no device changes."""
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        model = Transformer(config.model).to(device)
    return LanguageModelTrainer(
        model=model,
        train=text.train,
        held_out=text.held_out,
        settings=config.language_model_training,
        seed=config.seed,
        pace=_pace(config),
        checkpoint=checkpoint,
        workers=workers,
    )


def transcoder_trainer(
    config: TrainConfig,
    text: TrainingText,
    model: Transformer,
    checkpoint: CheckpointFile,
    workers: Workers = ALONE,
) -> TranscoderTrainer:
    """Return the training of a model's new transcoder."""
    return TranscoderTrainer(
        model=model.requires_grad_(False),
        transcoder=CrossLayerTranscoder(config.transcoder).to(model.tokens([0]).device),
        train=text.train,
        settings=config.transcoder_training,
        seed=config.seed,
        pace=_pace(config),
        checkpoint=checkpoint,
        workers=workers,
    )


def _pace(config: TrainConfig) -> Pace:
    return Pace(config.event_steps, config.checkpoint_seconds)


def check_share(config: TrainConfig | TranscoderTrainConfig, n_workers: int) -> None:
    """Refuse workers that would have nothing to do.

    Raises:
        TrainingError: If there are more of them than sequences in a batch or buffer.
    """
    sizes = {"transcoder_training.buffer_sequences": config.transcoder_training.buffer_sequences}
    if isinstance(config, TrainConfig):
        sizes["language_model_training.batch_size"] = config.language_model_training.batch_size
    for name, size in sizes.items():
        if n_workers > size:
            raise TrainingError(
                f"{n_workers} workers cannot share {name} = {size}: each needs a sequence of its "
                f"own. Use at most {size} workers, or a larger {name}."
            )
