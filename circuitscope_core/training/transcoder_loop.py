"""The transcoder's training loop: harvest activations, shuffle them, step."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuitscope_core.config import ReadPoint, TranscoderTraining
from circuitscope_core.training.batches import TokenWindows, step_rng
from circuitscope_core.training.checkpoints import CheckpointFile, SavedState
from circuitscope_core.training.events import (
    Checkpoint,
    Event,
    PhaseFinished,
    PhaseStarted,
    Progress,
)
from circuitscope_core.training.language_model import finite_loss
from circuitscope_core.training.optimizers import (
    constant_then_decay,
    load_optimizer_tensors,
    optimizer_tensors,
    set_learning_rate,
)
from circuitscope_core.training.pace import Pace
from circuitscope_core.training.sparsity import Sparsity
from circuitscope_core.training.transcoder_gradients import set_gradients
from circuitscope_core.transcoder import (
    ActivationScales,
    CrossLayerTranscoder,
    TranscoderLoss,
    fold_scales,
    initialize,
    measure_scales,
)
from circuitscope_core.transformer import Transformer

REFERENCE_FEATURES = 1024
"""Features a layer at which the learning rate is used as it is."""


@torch.no_grad()
def harvest(
    model: Transformer, token_ids: Int[Tensor, "batch n_pos"], read_point: ReadPoint
) -> tuple[Float[Tensor, "n_layers n d_model"], Float[Tensor, "n_layers n d_model"]]:
    """Return what a transcoder reads and should write, position 0 left out, sequences joined."""
    inputs, targets = [], []
    for batch in token_ids.split(16):
        sites = model.mlp_sites(batch)
        inputs.append(torch.stack([site.read(read_point)[:, 1:].flatten(0, 1) for site in sites]))
        targets.append(torch.stack([site.mlp_out[:, 1:].flatten(0, 1) for site in sites]))
    return torch.cat(inputs, dim=1), torch.cat(targets, dim=1)


@dataclass
class TranscoderTrainer:
    """One transcoder's training; ``events`` runs it, ``folded`` is the result."""

    model: Transformer
    transcoder: CrossLayerTranscoder
    train: TokenWindows
    settings: TranscoderTraining
    seed: int
    pace: Pace
    checkpoint: CheckpointFile

    def __post_init__(self) -> None:
        self.n_steps = max(1, self.settings.n_tokens // self.settings.batch_size)
        buffer_tokens = self.settings.buffer_sequences * (self.train.n_ctx - 1)
        self.steps_per_pass = max(1, buffer_tokens // self.settings.batch_size)
        self.step = 0
        width = self.transcoder.config.d_transcoder
        rate = self.settings.learning_rate * (REFERENCE_FEATURES / width) ** 0.5
        thresholds = self.transcoder.log_threshold
        weights = [w for w in self.transcoder.parameters() if w is not thresholds]
        slow = rate * self.settings.threshold_rate_factor
        groups = [{"params": weights}, {"params": [thresholds], "lr": slow}]
        self.adam = torch.optim.Adam(groups, lr=rate, betas=(0.9, 0.999), fused=True)
        self.scales: ActivationScales | None = None
        self.sparsity = Sparsity(self.settings, self.n_steps)
        shape = self.transcoder.b_enc.shape
        self.fired: Bool[Tensor, "n_layers d_transcoder"] = torch.zeros(shape, dtype=torch.bool)

    def folded(self) -> CrossLayerTranscoder:
        """Return the transcoder for the model's own, unscaled activations."""
        assert self.scales is not None, "events() sets the scales before its first event"
        return fold_scales(self.transcoder, self.scales)

    def events(self) -> Iterator[Event]:
        """Train to the end, from the checkpoint where there is one."""
        saved = self.checkpoint.load()
        self.prepare() if saved is None else self._resume(saved)
        yield PhaseStarted("transcoder", self.n_steps, self.step)
        started = time.perf_counter()
        try:
            yield from self._steps()
        except GeneratorExit:  # the caller stops asking: nothing done is lost
            self._save()
            raise
        self._save()
        yield PhaseFinished("transcoder", time.perf_counter() - started)

    def prepare(self) -> None:
        """Measure the scales on a first buffer and start the weights from it."""
        inputs, targets = self.fill_buffer(-1)
        self.scales = measure_scales(inputs, targets)
        generator = torch.Generator().manual_seed(self.seed)
        scaled = inputs * self.scales.inputs[:, None, None]
        initialize(self.transcoder, scaled, self.scales, self.settings, generator)

    def fill_buffer(self, number: int) -> tuple[Tensor, Tensor]:
        """Harvest the buffer of a number: the same whenever it is asked for."""
        rng = step_rng(self.seed, 2, number + 1)
        windows = self.train.sample(self.settings.buffer_sequences, rng)
        return harvest(self.model, windows[:, :-1], self.transcoder.config.read_point)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield scaled inputs and targets for one step after the other, from the present one on."""
        scales, size = self.scales, self.settings.batch_size
        assert scales is not None
        begun, skipped = divmod(self.step, self.steps_per_pass)
        inputs, targets = torch.empty(0), torch.empty(0)
        for number in count(begun):
            if number == begun or number % self.settings.buffer_passes == 0:
                inputs, targets = self.fill_buffer(number // self.settings.buffer_passes)
                inputs *= scales.inputs[:, None, None]
                targets *= scales.targets[:, None, None]
            order = torch.from_numpy(step_rng(self.seed, 3, number).permutation(inputs.shape[1]))
            for batch in order.split(size)[skipped : self.steps_per_pass]:
                yield inputs[:, batch], targets[:, batch]
            skipped = 0

    def _steps(self) -> Iterator[Event]:
        self.pace.start(self.step)
        for inputs, targets in islice(self._batches(), self.n_steps - self.step):
            loss = self.train_step(inputs, targets)
            self.step += 1
            if self.pace.event_due(self.step) or self.step == self.n_steps:
                yield self._progress(loss)
            if self.pace.checkpoint_due():
                self._save()
                yield Checkpoint("transcoder", self.step)

    def train_step(self, inputs: Tensor, targets: Tensor) -> TranscoderLoss:
        """Change the weights once, by scaled activations ``[n_layers, batch, d_model]``."""
        decay = constant_then_decay(self.step, self.n_steps, self.settings.decay_fraction)
        set_learning_rate(self.adam, decay)
        coefficient = self.sparsity.coefficient(self.step)
        loss = set_gradients(self.transcoder, inputs, targets, self.settings, coefficient)
        self.sparsity.follow(self.step, loss.l0.item(), decay)
        torch.nn.utils.clip_grad_norm_(self.transcoder.parameters(), 1.0)
        self.adam.step()
        self.fired |= loss.fired
        return loss

    def _progress(self, loss: TranscoderLoss) -> Progress:
        config = self.transcoder.config
        metrics = {
            "loss": finite_loss(loss.total, self.step),
            # targets are scaled to a mean squared distance of d_model from their mean
            "normalized_mse": loss.reconstruction.item() / (config.d_model * config.n_layers),
            "l0": loss.l0.item(),
            "sparsity_coefficient": self.sparsity.coefficient(self.step),
        }
        if self.step % self.steps_per_pass < self.pace.event_steps:
            metrics["dead"] = 1 - self.fired.float().mean().item()
            self.fired.zero_()
        rate = self.pace.rate(self.step) * self.settings.batch_size
        return Progress("transcoder", self.step, self.n_steps, rate, metrics)

    def _save(self) -> None:
        assert self.scales is not None
        weights = self.transcoder.state_dict()
        tensors = {f"transcoder.{name}": value for name, value in weights.items()}
        tensors |= optimizer_tensors(self.adam, "adam")
        tensors["sparsity.top"] = torch.tensor(self.sparsity.top, dtype=torch.float64)
        tensors["scales.inputs"] = self.scales.inputs
        tensors["scales.targets"] = self.scales.targets
        tensors["scales.target_means"] = self.scales.target_means
        self.checkpoint.save(self.step, tensors)

    def _resume(self, saved: SavedState) -> None:
        weights = {
            name.removeprefix("transcoder."): value
            for name, value in saved.tensors.items()
            if name.startswith("transcoder.")
        }
        self.transcoder.load_state_dict(weights)
        load_optimizer_tensors(self.adam, "adam", saved.tensors)
        names = ("inputs", "targets", "target_means")
        self.scales = ActivationScales(*(saved.tensors[f"scales.{name}"] for name in names))
        self.sparsity.top = float(saved.tensors["sparsity.top"])
        self.step = saved.step
