"""The transformer's training loop."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from circuitscope_core.config import LanguageModelTraining
from circuitscope_core.cores import one_core
from circuitscope_core.errors import TrainingError
from circuitscope_core.training.batches import TokenWindows, step_rng
from circuitscope_core.training.checkpoints import CheckpointFile, SavedState
from circuitscope_core.training.core_shares import CoreShares, n_shares
from circuitscope_core.training.events import Phase, Progress
from circuitscope_core.training.loop import ResumableLoop, named_tensors
from circuitscope_core.training.optimizers import (
    Muon,
    constant_then_decay,
    load_optimizer_tensors,
    optimizer_tensors,
    set_learning_rate,
)
from circuitscope_core.training.pace import Pace
from circuitscope_core.training.shared_gradients import SharedGradients
from circuitscope_core.training.workers import ALONE, Workers
from circuitscope_core.transformer import Transformer

VALIDATION_TOKENS = 65_536
N_VALIDATIONS = 8


@dataclass
class LanguageModelTrainer(ResumableLoop):
    """One transformer's training."""

    phase: ClassVar[Phase] = "language model"
    model: Transformer
    train: TokenWindows
    held_out: TokenWindows
    settings: LanguageModelTraining
    seed: int
    pace: Pace
    checkpoint: CheckpointFile
    workers: Workers = ALONE

    def __post_init__(self) -> None:
        per_step = self.settings.batch_size * self.train.n_ctx
        windows = max(1, self.settings.batch_size // self.workers.world)
        n = min(windows, n_shares(windows * self.train.n_ctx, self.model.tokens([0]).device))
        self.n_steps = max(1, self.settings.n_tokens // per_step)
        self.step = 0
        reads: list[nn.Parameter] = []
        writes: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        with_muon = self.settings.matrix_optimizer == "muon"
        for name, weight in self.model.named_parameters():
            if not with_muon or not _is_matrix(name, weight):
                rest.append(weight)
            else:
                (writes if name.endswith("W_O") else reads).append(weight)
        self.muon = Muon(
            [{"params": reads}, {"params": writes, "writes": True}],
            lr=self.settings.muon_learning_rate,
            weight_decay=self.settings.muon_weight_decay,
            workers=self.workers,
            n_parts=n,
        )
        self.adam = torch.optim.AdamW(
            rest, lr=self.settings.learning_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True
        )
        self.shared = SharedGradients.of(self.model.parameters(), 1, self.workers)
        self.on_cores = CoreShares(self.model, self.shared, n)

    @cached_property
    def validation(self) -> Int[Tensor, "n n_ctx_plus_1"]:
        """Held-out windows that the loss is measured on during the training."""
        return self.held_out.consecutive(VALIDATION_TOKENS)

    def prepare(self) -> None:
        """Begin with the weights that the model came with."""

    def batches(self) -> Iterator[tuple[int]]:
        """Yield the number of one step after the other: it says all of a batch."""
        return ((step,) for step in range(self.step, self.n_steps))

    def progress(self, loss: Tensor) -> Progress | None:
        """Return what there is to report of the step that was just done."""
        validated = self.step % max(1, self.n_steps // N_VALIDATIONS) == 0
        if not validated and not self.report_due:
            return None
        bits = finite_loss(loss, self.step) / math.log(2)
        metrics = {"loss": bits / self.train.bytes_a_counted_token}
        if validated:
            metrics["validation_loss"] = self._measure(self.validation)
        rate = self.pace.rate(self.step) * self.settings.batch_size * self.train.n_ctx
        return Progress(self.phase, self.step, self.n_steps, rate, metrics)

    def final_metrics(self) -> dict[str, float]:
        """Return the loss on more held-out text than during the training."""
        return {"validation_loss": self._measure(self.held_out.consecutive(4 * VALIDATION_TOKENS))}

    def _measure(self, windows: Tensor) -> float:
        return measure_loss(self.model, windows, self.workers, self.held_out.token_bytes)

    @one_core()
    def train_step(self, step: int) -> Tensor:
        """Change the weights once, as a step of the schedule says; returns the loss."""
        settings = self.settings
        warmup = min(1.0, (step + 1) / max(1, settings.warmup_steps))
        decay = constant_then_decay(step, self.n_steps, settings.decay_fraction)
        set_learning_rate(self.muon, warmup * decay)
        set_learning_rate(self.adam, warmup * decay)
        loss = self._differentiate(*self._batch(step))
        self.muon.step()
        self.adam.step()
        return loss

    def _differentiate(self, windows: Tensor, counted: Tensor) -> Tensor:
        """Set the gradients of a batch's loss, by all workers together; returns the loss."""
        own = slice(self.workers.rank, None, self.workers.world)
        windows, counted, n_counted = windows[own], counted[own], int(counted.sum())
        n = self.on_cores.n

        def differentiate(model: Transformer, number: int) -> Tensor:
            model.zero_grad(set_to_none=False)
            loss = next_token_loss(model, windows[number::n], counted[number::n], n_counted)
            loss.backward()
            return loss.detach()

        loss = torch.stack(self.on_cores.differentiate(differentiate)).sum()
        (total,) = self.shared.add_up(loss)
        return total

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Draw the windows of a step, and which of their tokens count."""
        windows, n = self.train, self.settings.batch_size
        if step < self.settings.short_share * self.n_steps and windows.n_ctx > 1:
            windows, n = replace(windows, n_ctx=windows.n_ctx // 2), 2 * n
        device = self.model.tokens([0]).device
        drawn, counted = windows.sample_counted(n, step_rng(self.seed, 1, step))
        return drawn.to(device), counted.to(device)

    def state(self) -> SavedState:
        """Return the weights and both optimizers' states."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= optimizer_tensors(self.muon, "muon") | optimizer_tensors(self.adam, "adam")
        return SavedState(self.step, tensors, {})

    def resume(self, saved: SavedState) -> None:
        """Take a state that was saved."""
        self.model.load_state_dict(named_tensors(saved, "model"))
        load_optimizer_tensors(self.muon, "muon", saved.tensors)
        load_optimizer_tensors(self.adam, "adam", saved.tensors)
        self.step = saved.step


def finite_loss(loss: Tensor, step: int) -> float:
    """Return the loss as a number.

    Raises:
        TrainingError: If it is not finite: the training has diverged.
    """
    value = loss.item()
    if not math.isfinite(value):
        raise TrainingError(f"The loss is {value} at step {step}; lower the learning rate.")
    return value


def next_token_loss(
    model: Transformer,
    windows: Int[Tensor, "batch n_ctx_plus_1"],
    counted: Bool[Tensor, "batch n_ctx"] | None = None,
    n_counted: int | None = None,
) -> Tensor:
    """Return the mean cross-entropy in nats of each window's tokens from those before them.

    Args:
        model: The model.
        windows: Tokens; each but the first is predicted.
        counted: Which of those predicted count; None: all.
        n_counted: What the sum is divided by, where these windows are only a part; None: as many
            as count in them.
    """
    final, answers = model.final_vectors(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten()
    if counted is not None:  # the other tokens' logits, a third of the time, are not needed
        kept = counted.flatten().nonzero()[:, 0]
        final, answers = final[kept], answers[kept]
    # 0 where nothing counts, which a mean over nothing is not
    total = F.cross_entropy(model.logits_of(final), answers, reduction="sum")
    return total / max(len(answers) if n_counted is None else n_counted, 1)


@torch.no_grad()
def measure_loss(
    model: Transformer,
    windows: Int[Tensor, "n n_ctx_plus_1"],
    workers: Workers = ALONE,
    token_bytes: NDArray[np.integer] | None = None,
) -> float:
    """Return the cross-entropy in bits a byte of text, each worker measuring its share.

    Args:
        model: The model.
        windows: Tokens; each but a window's first is predicted.
        workers: All of them call this with the same windows.
        token_bytes: Length of each token's text; None: one byte each.
    """
    own, device = windows.split(16)[workers.rank :: workers.world], model.tokens([0]).device
    losses = ((next_token_loss(model, batch.to(device)), batch[:, 1:].numel()) for batch in own)
    total = float(sum(float(loss) * n for loss, n in losses))
    if workers.world > 1:
        shared = torch.tensor([total], dtype=torch.float64, device="cpu")
        workers.add_up(shared)
        total = float(shared)
    said = windows[:, 1:]
    n_bytes = said.numel() if token_bytes is None else int(token_bytes[said.numpy()].sum())
    return total / n_bytes / math.log(2)


def _is_matrix(name: str, weight: Tensor) -> bool:
    """Muon is for the matrices inside the blocks; embeddings, gains and biases go to AdamW."""
    return name.startswith("blocks.") and ".W_" in name and weight.ndim >= 2
