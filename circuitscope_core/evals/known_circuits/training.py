"""A transcoder that is trained on a compiled program, as on any other model."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from circuitscope_core.config import TranscoderConfig, TranscoderTraining
from circuitscope_core.evals.known_circuits.compiled_model import program_model, program_tokenizer
from circuitscope_core.evals.known_circuits.program import CompiledProgram
from circuitscope_core.replacement import ReplacementModel
from circuitscope_core.training import (
    ALONE,
    Activations,
    CheckpointFile,
    Pace,
    TokenWindows,
    TranscoderTrainer,
    Workers,
    harvest,
)
from circuitscope_core.training.batches import step_rng
from circuitscope_core.transcoder import CrossLayerTranscoder

PROGRAM_TRAINING = TranscoderTraining(
    n_tokens=2_000_000,
    batch_size=512,
    buffer_sequences=4_096,
    target_l0=0.0,
    sparsity_coefficient=0.05,
    initial_rate=0.1,
    causal_weight=0.0,
)
"""Programs have few neurons and no noise: little sparsity is asked for, half a minute is enough."""

FEATURES_PER_NEURON, FEWEST_FEATURES = 2, 64


class _ProgramTrainer(TranscoderTrainer):
    """The transcoder's trainer, fed with random inputs of a program in place of text."""

    program: CompiledProgram

    def buffer_steps(self, number: int, workers: Workers = ALONE) -> Iterator[float | Activations]:
        """Harvest random inputs of the lengths that the program's examples have."""
        assert workers is ALONE or workers.world == 1
        rng = step_rng(self.seed, 2, number + 1)
        lengths = sorted({len(item.token_ids) for item in self.program.examples})
        n_each = -(-self.buffer_tokens // sum(length - 1 for length in lengths))
        read_point = self.transcoder.config.read_point
        parts = [
            harvest(self.model, random_inputs(self.program, n_each, length, rng), read_point)
            for length in lengths
        ]
        inputs = torch.cat([part.inputs for part in parts], dim=1)
        targets = torch.cat([part.targets for part in parts], dim=1)
        order = torch.from_numpy(rng.permutation(inputs.shape[1]))[: self.buffer_tokens]
        yield Activations(inputs, targets).at(order)


def random_inputs(
    program: CompiledProgram, n: int, length: int, rng: np.random.Generator
) -> Tensor:
    """Return inputs ``[n, length]``: the opening token, then any that examples use after it."""
    used = sorted({token for item in program.examples for token in item.token_ids[1:]})
    drawn = torch.from_numpy(rng.choice(np.array(used), size=(n, length - 1)))
    opening = torch.full((n, 1), program.tokens.index(program.separator))
    return torch.cat([opening, drawn], dim=1)


def train_on_program(
    program: CompiledProgram,
    settings: TranscoderTraining = PROGRAM_TRAINING,
    *,
    cross_layer: bool = True,
    seed: int = 0,
) -> ReplacementModel:
    """Train a transcoder on a program's activations, and return it with the model.

    Args:
        program: Whose MLPs are to be replaced.
        settings: As for any training.
        cross_layer: False trains per-layer transcoders.
        seed: Of the inputs and the first weights.
    """
    width = max(FEWEST_FEATURES, FEATURES_PER_NEURON * program.d_mlp)
    config = TranscoderConfig(
        program.n_layers, program.d_model, d_transcoder=width, cross_layer=cross_layer
    )
    model, tokenizer = program_model(program), program_tokenizer(program)
    opening = np.full(program.n_ctx + 1, tokenizer.separator_id)
    windows = TokenWindows.of(opening, tokenizer.separator_id, program.n_ctx)
    with tempfile.TemporaryDirectory() as folder:
        trainer = _ProgramTrainer(
            model=model,
            transcoder=CrossLayerTranscoder(config),
            train=windows,
            settings=settings,
            seed=seed,
            pace=Pace(event_steps=1_000, checkpoint_seconds=float("inf")),
            checkpoint=CheckpointFile(Path(folder) / "transcoder.safetensors"),
        )
        trainer.program = program
        for _ in trainer.events():
            pass
        trained = trainer.folded().requires_grad_(False)
    return ReplacementModel(model, trained, tokenizer)
