"""The gradient of the transcoder's loss in closed form, from the few active features.

``transcoder.transcoder_loss`` defines the loss; its gradient by autograd is the oracle. About one
feature in a hundred is active on a token, so all that goes through activations is a product with a
sparse matrix; only the pre-activations are computed in full. What silent features contribute is
the same for every token and needs no pass at all.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuitscope_core.config import TranscoderTraining
from circuitscope_core.transcoder import CrossLayerTranscoder, TranscoderLoss, nonzero_entries

THRESHOLD_TOKENS = 128
"""Tokens of a batch from which the thresholds' gradient is taken. Every feature near its threshold
counts in it, active or not, and batches are in random order: a part of one is a fair sample."""


@dataclass(frozen=True)
class BatchPart:
    """What a worker has of a batch. Gradients and losses of all parts add up to the whole's."""

    n_tokens: int
    """Tokens of the whole batch."""
    n_sample: int
    """How many of its first tokens the thresholds' gradient is taken from."""
    n_own_sample: int
    """Those among them that this worker has; they are its first."""

    @classmethod
    def whole(cls, n_tokens: int, threshold_tokens: int = THRESHOLD_TOKENS) -> "BatchPart":
        """Return the part that is all."""
        n_sample = min(threshold_tokens, n_tokens)
        return cls(n_tokens, n_sample, n_sample)

    @classmethod
    def of(
        cls, mine: Bool[Tensor, " batch"], threshold_tokens: int = THRESHOLD_TOKENS
    ) -> "BatchPart":
        """Return the part of the one who has the tokens that ``mine`` marks."""
        n_sample = min(threshold_tokens, len(mine))
        return cls(len(mine), n_sample, int(mine[:n_sample].sum()))


@dataclass(frozen=True)
class _Active:
    """One layer's active features of a batch: a sparse matrix, by token and by feature."""

    tokens: Int[Tensor, " n"]
    features: Int[Tensor, " n"]
    acts: Float[Tensor, " n"]
    token_starts: Int[Tensor, " batch"]
    by_feature: Int[Tensor, " n"]
    """Order that sorts the entries by their feature."""
    n_active: Int[Tensor, " d_transcoder"]
    """Tokens on which each feature is active."""

    @classmethod
    def of(cls, pre_acts: Tensor, threshold: Tensor) -> "_Active":
        batch, width = pre_acts.shape
        tokens, features = nonzero_entries(pre_acts > threshold)
        if features.is_cpu:  # NumPy sorts 16-bit numbers by radix
            keys = features.numpy().astype(np.uint16 if width <= 2**16 else np.int64)
            order = torch.from_numpy(keys.argsort(kind="stable"))
        else:
            order = features.argsort(stable=True)
        acts = pre_acts[tokens, features]
        n_active = torch.bincount(features, minlength=width)
        starts = _starts(torch.bincount(tokens, minlength=batch))
        return cls(tokens, features, acts, starts, order, n_active)

    def sum_by_token(
        self, weights: Float[Tensor, " n"], vectors: Float[Tensor, "d_transcoder width"]
    ) -> Float[Tensor, "batch width"]:
        """Return, for each token, the weighted sum of its active features' vectors."""
        return F.embedding_bag(
            self.features, vectors, self.token_starts, mode="sum", per_sample_weights=weights
        )

    def sum_by_feature(
        self, weights: Float[Tensor, " n"], vectors: Float[Tensor, "batch width"]
    ) -> Float[Tensor, "d_transcoder width"]:
        """Return, for each feature, the weighted sum of the vectors where it is active."""
        tokens, weights = self.tokens[self.by_feature], weights[self.by_feature]
        starts = _starts(self.n_active)
        return F.embedding_bag(tokens, vectors, starts, mode="sum", per_sample_weights=weights)

    def total(self, values: Float[Tensor, " n"]) -> Float[Tensor, " d_transcoder"]:
        """Return each feature's sum of a value."""
        return values.new_zeros(len(self.n_active)).index_add_(0, self.features, values)


def _starts(counts: Tensor) -> Tensor:
    return counts.cumsum(dim=0) - counts


def set_gradients(
    transcoder: CrossLayerTranscoder,
    inputs: Float[Tensor, "n_layers batch d_model"],
    targets: Float[Tensor, "n_layers batch d_model"],
    settings: TranscoderTraining,
    sparsity_coefficient: float,
    part: BatchPart | None = None,
) -> TranscoderLoss:
    """Set every weight's ``grad`` to the gradient of ``transcoder_loss`` and return the loss.

    The arguments are those of ``transcoder_loss``; the thresholds' gradient is that of a few tokens
    only. ``part`` says what the batch is a part of; None: it is whole.
    """
    with torch.no_grad():
        part = part or BatchPart.whole(inputs.shape[1])
        step = _Step(transcoder, inputs, settings, sparsity_coefficient, part)
        errors = step.reconstruct() - targets
        return step.differentiate(errors)


class _Step:
    """One batch: first all layers forward, then all layers back."""

    def __init__(
        self,
        transcoder: CrossLayerTranscoder,
        inputs: Tensor,
        settings: TranscoderTraining,
        sparsity_coefficient: float,
        part: BatchPart,
    ) -> None:
        self.transcoder, self.inputs, self.settings = transcoder, inputs, settings
        self.own, self.batch = inputs.shape[1], part.n_tokens
        self.sparsity_coefficient = sparsity_coefficient
        self.part = part
        self.thresholds = transcoder.threshold
        layers = range(transcoder.config.n_layers)
        self.decoders = [transcoder.W_dec[layer].flatten(start_dim=1) for layer in layers]
        self.norms = [transcoder.decoder_norms(layer) for layer in layers]

    def reconstruct(self) -> Float[Tensor, "n_layers batch d_model"]:
        """Find the active features and decode them."""
        transcoder, inputs = self.transcoder, self.inputs
        out = torch.stack(
            [b + transcoder.skip(n, inputs[n]) for n, b in enumerate(transcoder.b_dec)]
        )
        self.active: list[_Active] = []
        self.sample: list[Tensor] = []
        self.acts: list[Tensor] = []
        self.written: list[Tensor] = []
        for layer, x in enumerate(inputs):
            pre_acts = torch.addmm(transcoder.b_enc[layer], x, transcoder.W_enc[layer].T)
            active = _Active.of(pre_acts, self.thresholds[layer])
            self.active.append(active)
            self.sample.append(pre_acts[: self.part.n_own_sample].clone())
            with torch.enable_grad():  # the activations' gradient is the only one left to autograd
                acts = active.acts.requires_grad_()
                written = active.sum_by_token(acts, self.decoders[layer].detach())
            self.acts.append(acts)
            self.written.append(written)
            n_writes = transcoder.W_dec[layer].shape[1]
            by_output = written.detach().unflatten(1, (n_writes, -1))
            out[layer : layer + n_writes] += by_output.transpose(0, 1)
        return out

    def differentiate(self, errors: Float[Tensor, "n_layers batch d_model"]) -> TranscoderLoss:
        """Set all gradients; return the loss and its parts."""
        transcoder = self.transcoder
        reconstruction = errors.square().sum() / self.batch
        errors = errors * (2 / self.batch)
        for weight in transcoder.parameters():
            if weight.grad is None:
                weight.grad = torch.empty_like(weight)
        _grad(transcoder.b_dec).copy_(errors.sum(dim=1))
        if transcoder.config.skip_connection:
            torch.bmm(self.inputs.mT, errors, out=_grad(transcoder.W_skip))
        sparsity, below = errors.new_zeros(()), errors.new_zeros(())
        for layer in range(len(self.inputs)):
            bent, silent = self._differentiate_layer(layer, errors)
            sparsity += bent
            below += silent
        total = reconstruction + self.sparsity_coefficient * sparsity
        total = total + self.settings.preactivation_coefficient * below
        counts = torch.stack([active.n_active for active in self.active])
        l0 = counts.sum() / (self.batch * len(counts))
        return TranscoderLoss(total, reconstruction, sparsity, below, l0, counts > 0)

    def _differentiate_layer(self, layer: int, errors: Tensor) -> tuple[Tensor, Tensor]:
        """Set one layer's gradients; return its part of the two penalties."""
        transcoder, settings = self.transcoder, self.settings
        own, batch = self.own, self.batch
        active, x, norms = self.active[layer], self.inputs[layer], self.norms[layer]
        decoders, threshold = self.decoders[layer], self.thresholds[layer]
        n_writes = transcoder.W_dec[layer].shape[1]
        at_outputs = errors[layer : layer + n_writes].transpose(0, 1).flatten(start_dim=1)
        (gradient,) = torch.autograd.grad(self.written[layer], self.acts[layer], at_outputs)
        acts = active.acts.detach()

        # the penalty on active features: the mean over tokens of tanh(c * norm * activation)
        rate = self.sparsity_coefficient * settings.tanh_scale / batch
        own_norms = norms[active.features]
        bent = torch.tanh(settings.tanh_scale * own_norms * acts)
        slope = rate * (1 - bent.square())
        gradient = gradient + slope * own_norms
        norm_gradient = active.total(slope * acts)

        # the penalty on silent features: each pulls its pre-activation up by its norm
        push = settings.preactivation_coefficient / batch * norms
        n_silent = own - active.n_active
        x_sum = x.sum(dim=0)
        all_pre_acts = transcoder.W_enc[layer] @ x_sum + own * transcoder.b_enc[layer]
        below = threshold * n_silent - (all_pre_acts - active.total(acts))
        norm_gradient += settings.preactivation_coefficient / batch * below

        # encoder: every entry as if silent, then the active ones set right
        right = gradient + push[active.features]
        encoder = active.sum_by_feature(right, x).addr_(push, x_sum, alpha=-1)
        _grad(transcoder.W_enc)[layer] = encoder
        _grad(transcoder.b_enc)[layer] = active.total(right) - own * push
        decoder = active.sum_by_feature(acts, at_outputs)
        tiny = torch.finfo(norms.dtype).tiny
        by_norm = (norm_gradient / norms.clamp(min=tiny))[:, None]
        torch.addcmul(
            decoder, decoders, by_norm, out=_grad(transcoder.W_dec[layer]).view_as(decoder)
        )
        pull = self._threshold_pull(layer, at_outputs, rate)
        _grad(transcoder.log_threshold)[layer] = pull + push * threshold * n_silent
        return bent.sum() / batch, (below * norms).sum() / batch

    def _threshold_pull(self, layer: int, at_outputs: Tensor, rate: float) -> Tensor:
        """Return the straight-through gradient of a layer's ``log_threshold``."""
        settings, threshold, norms = self.settings, self.thresholds[layer], self.norms[layer]
        pre_acts, n = self.sample[layer], self.part.n_own_sample
        acts = pre_acts * (pre_acts > threshold)
        bent = torch.tanh(acts * (settings.tanh_scale * norms))
        gradient = at_outputs[:n] @ self.decoders[layer].T + rate * norms * (1 - bent.square())
        near = (pre_acts - threshold).abs() < settings.bandwidth / 2
        summed = (gradient * near).sum(dim=0) * (self.batch / self.part.n_sample)
        return -(threshold / settings.bandwidth) * summed


def _grad(weight: Tensor) -> Tensor:
    gradient = weight.grad
    assert gradient is not None, "differentiate() makes them"
    return gradient
