"""How the layers of a transcoder's training are divided, so that each part fits into memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from circuitscope_core.config import TranscoderTrainConfig
from circuitscope_core.errors import TrainingError
from circuitscope_core.language_model import LanguageModel
from circuitscope_core.training.activations import WORKING_BYTES
from circuitscope_core.training.core_shares import n_shares
from circuitscope_core.training.shuffle_buffer import BufferPlan, bytes_a_token, plan_buffer
from circuitscope_core.values import in_bytes

STATE_COPIES = 4
"""Float32 numbers for each weight in training: itself, its gradient, Adam's two moments."""
BATCH_COPIES = 12
"""Tensors of a batch's activations, about, that a step holds at once."""
FREE_SHARE = 0.85
"""Share of the free memory that a training may take."""
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


@dataclass(frozen=True)
class Needs:
    """Bytes that a training of some layers takes besides the model."""

    weights: int
    """Weights, gradients and the optimiser's state."""
    buffer: int
    """Activations that are shuffled together; 0 where they lie on disk."""
    working: int
    """A step's and a harvest's tensors, about."""

    @property
    def total(self) -> int:
        """Bytes in all."""
        return self.weights + self.buffer + self.working


def one_sequence(config: TranscoderTrainConfig, model: LanguageModel, n_layers: int) -> int:
    """Return the bytes of one sequence's activations of some layers in the buffer."""
    shape = model.shape
    with_stream = config.transcoder_training.causal_weight > 0 and n_layers > 1
    dtype = DTYPES[config.buffer_dtype]
    token = bytes_a_token(n_layers, shape.d_model, dtype, with_stream=with_stream)
    return (config.n_ctx - shape.n_opening) * token


def needed_sequences(config: TranscoderTrainConfig, model: LanguageModel) -> int:
    """Return the sequences that a training looks at."""
    return -(-config.fresh_tokens // (config.n_ctx - model.shape.n_opening))


def needs_of(config: TranscoderTrainConfig, model: LanguageModel, n_layers: int) -> Needs:
    """Return the memory that a training of some layers at once takes."""
    d_model, training = model.shape.d_model, config.transcoder_training
    n_weights = config.transcoder(n_layers, d_model).count_parameters()
    sequences = min(
        training.buffer_sequences,
        needed_sequences(config, model),
        config.buffer_bytes // one_sequence(config, model, n_layers),
    )
    buffer = sequences * one_sequence(config, model, n_layers)
    batch = BATCH_COPIES * 4 * n_layers * training.batch_size * d_model
    acts = 6 * 4 * training.batch_size * config.d_transcoder
    device = model.tokens([0]).device
    copies = STATE_COPIES + n_shares(training.batch_size, device) - 1  # a share has gradients, too
    return Needs(
        copies * 4 * n_weights,
        buffer if config.buffer_place == "memory" else 0,
        batch + acts + WORKING_BYTES,
    )


def divide_layers(
    config: TranscoderTrainConfig, model: LanguageModel, layers: Sequence[int], free: int
) -> tuple[tuple[int, ...], ...]:
    """Return the layers in groups that are trained one after the other.

    Raises:
        TrainingError: If the memory is too small even so.
    """
    room = int(FREE_SHARE * free)
    most = len(layers)
    if not config.cross_layer:
        most = min(most, config.group_layers or most)
        while most > 1 and not config.group_layers and needs_of(config, model, most).total > room:
            most -= 1
    needs = needs_of(config, model, most)
    if needs.total > room:
        together = "one layer" if most == 1 else f"{most} layers together"
        remedy = "a smaller group_layers, " if config.group_layers and most > 1 else ""
        remedy = "fewer layers, " if config.cross_layer else remedy
        raise TrainingError(
            f"The training of {together} takes {in_bytes(needs.total)} "
            f"({in_bytes(needs.weights)} for weights and optimiser, {in_bytes(needs.buffer)} for "
            f"the buffer), and {in_bytes(free)} are free, of which {FREE_SHARE:.0%} may be used. "
            f"Choose {remedy}a smaller d_transcoder or a smaller buffer_bytes."
        )
    return tuple(tuple(layers[first : first + most]) for first in range(0, len(layers), most))


def buffer_for(
    config: TranscoderTrainConfig, model: LanguageModel, n_layers: int, folder: Path
) -> BufferPlan:
    """Return the buffer of groups of layers: the same for all, that of the largest.

    Raises:
        TrainingError: If one sequence is larger than its bound, or the disk is too small.
    """
    place = folder / "buffer" if config.buffer_place == "disk" else None
    return plan_buffer(
        (config.transcoder_training.buffer_sequences, needed_sequences(config, model)),
        one_sequence(config, model, n_layers),
        config.buffer_bytes,
        DTYPES[config.buffer_dtype],
        place,
    )
