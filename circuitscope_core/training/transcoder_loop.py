"""The transcoder's training loop: harvest activations, shuffle them, step."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import ClassVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from circuitscope_core.config import TranscoderTraining
from circuitscope_core.cores import one_core
from circuitscope_core.errors import TrainingError
from circuitscope_core.language_model import LanguageModel, RunsMlps
from circuitscope_core.training.activations import Activations
from circuitscope_core.training.batches import BatchPart, TokenWindows, step_rng
from circuitscope_core.training.causal_loss import Interventions
from circuitscope_core.training.checkpoints import CheckpointFile, SavedState
from circuitscope_core.training.core_shares import CoreShares, n_shares
from circuitscope_core.training.events import Phase, Progress
from circuitscope_core.training.language_model import finite_loss
from circuitscope_core.training.loop import ResumableLoop, named_tensors
from circuitscope_core.training.optimizers import (
    clip_gradients,
    constant_then_decay,
    load_optimizer_tensors,
    optimizer_tensors,
    set_learning_rate,
)
from circuitscope_core.training.pace import Pace
from circuitscope_core.training.shared_gradients import SharedGradients
from circuitscope_core.training.shuffle_buffer import BufferPlan, fill
from circuitscope_core.training.sparsity import Sparsity
from circuitscope_core.training.transcoder_gradients import set_gradients
from circuitscope_core.training.workers import ALONE, Workers
from circuitscope_core.transcoder import (
    ActivationScales,
    CrossLayerTranscoder,
    TranscoderLoss,
    fold_scales,
    initialize,
    measure_scales,
    sum_of_losses,
)

REFERENCE_FEATURES = 1024
"""Features a layer at which the learning rate is used as it is."""

HARVEST_NEWS_SECONDS = 2.0
"""Time between two reports while activations are harvested."""
CAUSAL_RAMP = 0.1
"""Share of the steps over which the weight of the loss on interventions rises from 0."""

LOSS_PARTS = ("total", "reconstruction", "sparsity", "preactivation", "l0", "causal")
"""The parts of the loss that workers add up besides the gradients."""


def own_part(
    batch: Int[Tensor, " batch"], n_pos: int, workers: Workers
) -> tuple[Int[Tensor, " own"], BatchPart]:
    """Return where a worker's tokens of a batch lie in its share of the buffer.

    Args:
        batch: Tokens' places in the whole buffer, which has ``n_pos`` of each window.
        n_pos: Tokens of a window.
        workers: Window ``w`` belongs to number ``w % world``.
    """
    if workers.world == 1:
        return batch, BatchPart.whole(len(batch))
    window = batch // n_pos
    mine = window % workers.world == workers.rank
    own = batch[mine] - (window[mine] - window[mine] // workers.world) * n_pos
    return own, BatchPart.of(mine)


@dataclass
class TranscoderTrainer(ResumableLoop):
    """One transcoder's training; ``folded`` is the result."""

    phase: ClassVar[Phase] = "transcoder"
    model: LanguageModel
    transcoder: CrossLayerTranscoder
    train: TokenWindows
    settings: TranscoderTraining
    seed: int
    pace: Pace
    checkpoint: CheckpointFile
    workers: Workers = ALONE
    layers: tuple[int, ...] | None = None
    """The model's layers that the transcoder's stand for, rising; None: all."""
    buffer: BufferPlan | None = None
    """None: as many sequences as the settings say, as they come from the model."""
    independent: bool = False
    """Whether each layer's training is its own: its first weights, the search for its L0 and the
    bound of its gradient depend on no other layer, so that layers give the same weights in any
    company. Features must write to their own layer only."""

    scale_tokens: int = 65_536
    """Tokens that the scales are measured on, at most."""

    def __post_init__(self) -> None:
        self.window_tokens = self.train.n_ctx - self.model.shape.n_opening
        """Tokens of a window that features are trained on."""
        self.buffer = self.buffer or BufferPlan(self.settings.buffer_sequences)
        n_layers = self.transcoder.config.n_layers
        self.chosen = tuple(range(n_layers)) if self.layers is None else self.layers
        self.n_steps = max(1, self.settings.n_tokens // self.settings.batch_size)
        self.buffer_tokens = self.buffer.n_sequences * self.window_tokens
        self.steps_per_pass = max(1, self.buffer_tokens // self.settings.batch_size)
        self.step = 0
        width = self.transcoder.config.d_transcoder
        rate = self.settings.learning_rate * (REFERENCE_FEATURES / width) ** 0.5
        thresholds = self.transcoder.log_threshold
        weights = [w for w in self.transcoder.parameters() if w is not thresholds]
        slow = rate * self.settings.threshold_rate_factor
        groups = [{"params": weights}, {"params": [thresholds], "lr": slow}]
        self.adam = torch.optim.Adam(groups, lr=rate, betas=(0.9, 0.999), fused=True)
        self.scales: ActivationScales | None = None
        asks = self.settings.causal_weight > 0 and n_layers > 1
        if asks and self.transcoder.config.read_point == "pre":
            raise TrainingError(
                f"causal_weight is {self.settings.causal_weight}, and a transcoder that reads "
                "before attention cannot be compared with MLPs, which read after it; set "
                "causal_weight to 0."
            )
        if asks and not isinstance(self.model, RunsMlps):
            raise TrainingError(
                f"causal_weight is {self.settings.causal_weight}, and this model's MLPs cannot be "
                "asked one by one; set causal_weight to 0."
            )
        self.asked = self.model if asks and isinstance(self.model, RunsMlps) else None
        """The model, where the loss on interventions asks it."""
        if self.asked is not None:  # a model that cannot answer says so before the training
            self.asked.run_mlp_at(self.chosen[-1], self.transcoder.W_enc.new_ones(1, self._width))
        n_steered = n_layers if self.independent else 1
        self.sparsity = [Sparsity(self.settings, self.n_steps) for _ in range(n_steered)]
        """One search for all layers, or one for each."""
        shape = self.transcoder.b_enc.shape
        self.fired: Bool[Tensor, "n_layers d_transcoder"] = torch.zeros(
            shape, dtype=torch.bool, device=thresholds.device
        )
        every, n_extra = self.transcoder.parameters(), len(LOSS_PARTS) + 2 * n_layers
        self.shared = SharedGradients.of(every, n_extra, self.workers)
        own_tokens = self.settings.batch_size // self.workers.world
        n = n_shares(own_tokens, self.transcoder.W_enc.device)
        self.on_cores = CoreShares(self.transcoder, self.shared, n)

    @property
    def _width(self) -> int:
        return self.transcoder.config.d_model

    def folded(self) -> CrossLayerTranscoder:
        """Return the transcoder for the model's own, unscaled activations."""
        assert self.scales is not None, "events() sets the scales before its first event"
        return fold_scales(self.transcoder, self.scales)

    def prepare(self) -> None:
        """Measure the scales on a first buffer and start the weights from it."""
        first = self.fill_buffer(-1, ALONE)
        every = torch.arange(min(first.n_tokens, self.scale_tokens), device="cpu")
        first = first.at(every, like=self.transcoder.W_enc)
        self.scales = measure_scales(first.inputs, first.targets)
        scaled = first.inputs * self.scales.inputs[:, None, None]
        initialize(self.transcoder, scaled, self.scales, self.settings, self._generators())

    def _generators(self) -> list[torch.Generator]:
        """Return the source of each layer's first weights: one for all, or one of its own."""
        if not self.independent:
            return [torch.Generator().manual_seed(self.seed)]
        seeds = [int(step_rng(self.seed, 8, layer).integers(2**31)) for layer in self.chosen]
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    def fill_buffer(self, number: int, workers: Workers = ALONE) -> Activations:
        """Harvest the buffer of a number, or a worker's share of it: the same at any time."""
        *_, found = self.buffer_steps(number, workers)
        assert isinstance(found, Activations)
        return found

    def buffer_steps(self, number: int, workers: Workers = ALONE) -> Iterator[float | Activations]:
        """Do the same, but yield the share that is done, and at last the buffer."""
        rng = step_rng(self.seed, 2, number + 1)
        assert self.buffer is not None
        n = self.buffer.n_sequences
        if number < 0:  # for the scales alone: no more than they need
            n = min(n, -(-self.scale_tokens // self.window_tokens))
        windows = self.train.sample(n, rng)
        own = windows[workers.rank :: workers.world, :-1]
        with_stream = self.asked is not None and number >= 0
        read_point = self.transcoder.config.read_point
        return fill(self.buffer, self.model, own, read_point, self.chosen, with_stream=with_stream)

    def batches(self) -> Iterator[tuple[Activations, BatchPart] | float]:
        """Yield scaled inputs and targets for one step after the other, from the present one on.

        Each worker has the tokens of its own windows of a batch. Now and then it yields the share
        of the next buffer that is harvested.
        """
        scales, size = self.scales, self.settings.batch_size
        assert scales is not None
        begun, skipped = divmod(self.step, self.steps_per_pass)
        found: Activations | None = None
        for number in count(begun):
            if found is None or number % self.settings.buffer_passes == 0:
                buffer = number // self.settings.buffer_passes
                found = None  # two at once would take twice the memory
                said = time.monotonic()
                for item in self.buffer_steps(buffer, self.workers):
                    if isinstance(item, Activations):
                        found = item
                    elif time.monotonic() - said > HARVEST_NEWS_SECONDS:
                        said = time.monotonic()
                        yield item
            assert found is not None
            rng = step_rng(self.seed, 3, number)
            order = torch.from_numpy(rng.permutation(self.buffer_tokens))
            for batch in order.split(size)[skipped : self.steps_per_pass]:
                own, part = own_part(batch, self.window_tokens, self.workers)
                yield found.at(own, like=self.transcoder.W_enc).scaled(scales), part
            skipped = 0

    def _interventions(self, batch: Activations) -> Interventions | None:
        """Return the interventions of a step; None where there are none."""
        if self.asked is None or batch.resid_mid is None:
            return None
        assert self.scales is not None
        ramp = min(1.0, self.step / max(1.0, CAUSAL_RAMP * self.n_steps))
        return Interventions(
            self.asked,
            self.scales,
            batch.resid_mid,
            self.settings.causal_weight * ramp,
            self.settings.causal_share,
            step_rng(self.seed, 7, self.step),
            self.chosen,
            rounded=self.buffer is not None and self.buffer.dtype is not None,
        )

    @one_core()
    def train_step(self, batch: Activations, part: BatchPart | None = None) -> TranscoderLoss:
        """Change the weights once, by scaled activations."""
        decay = constant_then_decay(self.step, self.n_steps, self.settings.decay_fraction)
        set_learning_rate(self.adam, decay)
        coefficients = [each.coefficient(self.step) for each in self.sparsity]
        own_weight = coefficients if self.independent else coefficients[0]
        part = part or BatchPart.whole(batch.n_tokens)
        parts = part.split(self.on_cores.n)

        def differentiate(transcoder: CrossLayerTranscoder, number: int) -> TranscoderLoss:
            own = batch.every(len(parts), number)
            asked = self._interventions(own)
            return set_gradients(transcoder, own, self.settings, own_weight, parts[number], asked)

        loss = sum_of_losses(self.on_cores.differentiate(differentiate))
        if self.workers.world > 1:
            own = torch.stack([getattr(loss, name) for name in LOSS_PARTS])
            layers = torch.cat([loss.layer_l0, loss.layer_reconstruction])
            *sums, layers = self.shared.add_up(own, layers)
            l0_sums, errors = layers.tensor_split(2)
            named = dict(zip(LOSS_PARTS, sums, strict=True))
            loss = replace(loss, layer_l0=l0_sums, layer_reconstruction=errors, **named)
        l0 = loss.layer_l0.tolist() if self.independent else [loss.l0.item()]
        for search, own_l0 in zip(self.sparsity, l0, strict=True):
            search.follow(self.step, own_l0, decay)
        clip_gradients(self.transcoder, 1.0, each_layer=self.independent)
        self.adam.step()
        self.fired |= loss.fired
        return loss

    def progress(self, loss: TranscoderLoss) -> Progress | None:
        """Return what there is to report of the step that was just done."""
        if not self.report_due:
            return None
        config = self.transcoder.config
        metrics = {
            "loss": finite_loss(loss.total, self.step),
            # targets are scaled to a mean squared distance of d_model from their mean
            "normalized_mse": loss.reconstruction.item() / (config.d_model * config.n_layers),
            "l0": loss.l0.item(),
            "causal_loss": loss.causal.item(),
            "sparsity_coefficient": sum(each.coefficient(self.step) for each in self.sparsity)
            / len(self.sparsity),
        }
        metrics |= self._of_layers("l0", loss.layer_l0)
        metrics |= self._of_layers("normalized_mse", loss.layer_reconstruction / config.d_model)
        if self.step % self.steps_per_pass < self.pace.event_steps:
            fired = self.fired.float()
            self.workers.add_up(fired)
            silent = 1 - (fired > 0).float().mean(dim=1)
            metrics["dead"] = silent.mean().item()
            metrics |= self._of_layers("dead", silent)
            self.fired.zero_()
        rate = self.pace.rate(self.step) * self.settings.batch_size
        return Progress(self.phase, self.step, self.n_steps, rate, metrics)

    def _of_layers(self, name: str, values: Tensor) -> dict[str, float]:
        """Return a figure of each layer, by the layers' numbers in the model."""
        numbers = zip(self.chosen, values.tolist(), strict=True)
        return {f"{name}.{layer}": value for layer, value in numbers}

    def state(self) -> SavedState:
        """Return the weights, the optimizer's state, the scales, and how sparse it is by now."""
        assert self.scales is not None
        weights = self.transcoder.state_dict()
        tensors = {f"transcoder.{name}": value for name, value in weights.items()}
        tensors |= optimizer_tensors(self.adam, "adam")
        tops = [each.top for each in self.sparsity]
        tensors["sparsity.top"] = torch.tensor(tops, dtype=torch.float64, device="cpu")
        tensors["scales.inputs"] = self.scales.inputs
        tensors["scales.targets"] = self.scales.targets
        tensors["scales.target_means"] = self.scales.target_means
        return SavedState(self.step, tensors, {})

    def resume(self, saved: SavedState) -> None:
        """Take a state that was saved."""
        self.transcoder.load_state_dict(named_tensors(saved, "transcoder"))
        load_optimizer_tensors(self.adam, "adam", saved.tensors)
        names = ("inputs", "targets", "target_means")
        like = self.transcoder.W_enc
        scales = (saved.tensors[f"scales.{name}"].to(like) for name in names)
        self.scales = ActivationScales(*scales)
        tops = saved.tensors["sparsity.top"].reshape(-1).tolist()
        for search, top in zip(self.sparsity, tops, strict=True):
            search.top = top
        self.step = saved.step
