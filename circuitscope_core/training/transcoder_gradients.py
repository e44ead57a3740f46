"""The gradient of the transcoder's loss in closed form, from the few active features.

``transcoder.transcoder_loss`` defines the loss; its gradient by autograd is the oracle. About one
feature in a hundred is active on a token, so all that goes through activations is a product with a
sparse matrix; only the pre-activations are computed in full. The part of silent features is the
same for every token and needs no pass at all.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.config import TranscoderTraining
from circuitscope_core.training.activations import Activations
from circuitscope_core.training.active_entries import ActiveEntries, gradient_of
from circuitscope_core.training.batches import BatchPart
from circuitscope_core.training.causal_loss import CausalTerm, EncodedBatch, Interventions
from circuitscope_core.transcoder import (
    CrossLayerTranscoder,
    TranscoderLoss,
    layer_coefficients,
)


def set_gradients(
    transcoder: CrossLayerTranscoder,
    batch: Activations,
    settings: TranscoderTraining,
    sparsity_coefficient: float | Sequence[float],
    part: BatchPart | None = None,
    interventions: Interventions | None = None,
) -> TranscoderLoss:
    """Set every weight's ``grad`` to the gradient of ``transcoder_loss`` and return the loss.

    The loss is that of ``transcoder_loss``; the thresholds' gradient is that of a few tokens only.

    Args:
        transcoder: The transcoder, in scaled units.
        batch: Scaled activations.
        settings: Penalty shapes.
        sparsity_coefficient: The tanh penalty's weight, one for all layers or one for each.
        part: The part that ``batch`` is of a whole one; None: it is whole.
        interventions: Give the loss another term, which ``causal_loss.py`` defines.
    """
    with torch.no_grad():
        targets = batch.targets
        part = part or BatchPart.whole(targets.shape[1])
        step = _Step(transcoder, batch.inputs, settings, sparsity_coefficient, part)
        errors = step.reconstruct() - targets
        causal = None
        if interventions is not None:
            causal = CausalTerm.of(transcoder, step.encoded(), targets, part, interventions)
        return step.differentiate(errors, causal)


class _Step:
    """One batch: first all layers forward, then all layers back."""

    def __init__(
        self,
        transcoder: CrossLayerTranscoder,
        inputs: Tensor,
        settings: TranscoderTraining,
        sparsity_coefficient: float | Sequence[float],
        part: BatchPart,
    ) -> None:
        self.transcoder, self.inputs, self.settings = transcoder, inputs, settings
        self.own, self.batch = inputs.shape[1], part.n_tokens
        n_layers = transcoder.config.n_layers
        self.coefficients = layer_coefficients(sparsity_coefficient, n_layers)
        self.part = part
        self.thresholds = transcoder.threshold
        self.bars: list[Tensor] = []
        """The value that every token's pre-activations must exceed in each layer of a top-k."""
        layers = range(n_layers)
        self.decoders = [transcoder.W_dec[layer].flatten(start_dim=1) for layer in layers]
        self.norms = [transcoder.decoder_norms(layer) for layer in layers]

    def reconstruct(self) -> Float[Tensor, "n_layers batch d_model"]:
        """Find the active features and decode them."""
        transcoder, inputs = self.transcoder, self.inputs
        out = torch.stack(
            [b + transcoder.skip(n, inputs[n]) for n, b in enumerate(transcoder.b_dec)]
        )
        self.active: list[ActiveEntries] = []
        self.sample: list[Tensor] = []
        self.acts: list[Tensor] = []
        self.written: list[Tensor] = []
        for layer, x in enumerate(inputs):
            pre_acts = torch.addmm(transcoder.b_enc[layer], x, transcoder.W_enc[layer].T)
            active = ActiveEntries.where(pre_acts, transcoder.is_active(layer, pre_acts))
            self.active.append(active)
            if transcoder.config.k is not None:
                self.bars.append(transcoder.bars(layer, pre_acts)[:, 0])
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

    def encoded(self) -> EncodedBatch:
        """Return what ``reconstruct`` found, for the loss on interventions."""
        written = [item.detach() for item in self.written]
        return EncodedBatch(self.inputs, self.active, written, self.decoders)

    def differentiate(
        self, errors: Float[Tensor, "n_layers batch d_model"], causal: CausalTerm | None = None
    ) -> TranscoderLoss:
        """Set all gradients; return the loss and its parts."""
        transcoder = self.transcoder
        layer_reconstruction = errors.square().sum(dim=(1, 2)) / self.batch
        reconstruction = layer_reconstruction.sum()
        errors = errors * (2 / self.batch)
        for weight in transcoder.parameters():
            if weight.grad is None:
                weight.grad = torch.empty_like(weight)
        gradient_of(transcoder.b_dec).copy_(errors.sum(dim=1))
        if transcoder.config.skip_connection:
            torch.bmm(self.inputs.mT, errors, out=gradient_of(transcoder.W_skip))
        sparsity, below = errors.new_zeros(()), errors.new_zeros(())
        total = reconstruction
        for layer in range(len(self.inputs)):
            own = errors if causal is None else causal.errors_of(layer, errors)
            bent, silent = self._differentiate_layer(layer, errors, own)
            sparsity += bent
            below += silent
            total = total + self.coefficients[layer] * bent
        total = total + self.settings.preactivation_coefficient * below
        caused = errors.new_zeros(())
        if causal is not None:
            causal.add_gradients()
            caused = causal.loss
            total = total + caused
        counts = torch.stack([active.n_active for active in self.active])
        l0, layer_l0 = counts.sum() / (self.batch * len(counts)), counts.sum(dim=1) / self.batch
        parts = (total, reconstruction, sparsity, below, l0)
        return TranscoderLoss(*parts, counts > 0, caused, layer_l0, layer_reconstruction)

    def _differentiate_layer(
        self, layer: int, errors: Tensor, with_causal: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Set one layer's gradients; return its part of the two penalties.

        Args:
            layer: The layer.
            errors: Gradient of the usual loss at the outputs; thresholds follow it alone.
            with_causal: The same, with that of the loss on interventions.
        """
        transcoder, settings = self.transcoder, self.settings
        own, batch = self.own, self.batch
        active, x, norms = self.active[layer], self.inputs[layer], self.norms[layer]
        decoders = self.decoders[layer]
        n_writes = transcoder.W_dec[layer].shape[1]
        writes = slice(layer, layer + n_writes)
        at_outputs = with_causal[writes].transpose(0, 1).flatten(start_dim=1)
        (gradient,) = torch.autograd.grad(self.written[layer], self.acts[layer], at_outputs)
        acts = active.acts.detach()

        # the penalty on active features: the mean over tokens of tanh(c * norm * activation)
        rate = self.coefficients[layer] * settings.tanh_scale / batch
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
        below = self._bars_of_silent(layer) - (all_pre_acts - active.total(acts))
        norm_gradient += settings.preactivation_coefficient / batch * below

        # encoder: every entry as if silent, then the active ones set right
        right = gradient + push[active.features]
        encoder = active.sum_by_feature(right, x).addr_(push, x_sum, alpha=-1)
        gradient_of(transcoder.W_enc)[layer] = encoder
        gradient_of(transcoder.b_enc)[layer] = active.total(right) - own * push
        decoder = active.sum_by_feature(acts, at_outputs)
        tiny = torch.finfo(norms.dtype).tiny
        by_norm = (norm_gradient / norms.clamp(min=tiny))[:, None]
        torch.addcmul(
            decoder, decoders, by_norm, out=gradient_of(transcoder.W_dec[layer]).view_as(decoder)
        )
        plain = errors[writes, : self.part.n_own_sample].transpose(0, 1).flatten(start_dim=1)
        at_threshold = gradient_of(transcoder.log_threshold)[layer]
        if self.bars:  # a top-k has no thresholds to learn
            at_threshold.zero_()
        else:
            pull = self._threshold_pull(layer, plain, rate)
            at_threshold.copy_(pull + push * self.thresholds[layer] * n_silent)
        return bent.sum() / batch, (below * norms).sum() / batch

    def _bars_of_silent(self, layer: int) -> Float[Tensor, " d_transcoder"]:
        """Return, for each feature, the sum of what it had to exceed where it is silent."""
        active = self.active[layer]
        if self.bars:
            bars = self.bars[layer]
            return bars.sum() - active.total(bars[active.tokens])
        return self.thresholds[layer] * (self.own - active.n_active)

    def _threshold_pull(self, layer: int, at_outputs: Tensor, rate: float) -> Tensor:
        """Return the straight-through gradient of a layer's ``log_threshold``."""
        settings, threshold, norms = self.settings, self.thresholds[layer], self.norms[layer]
        pre_acts = self.sample[layer]
        acts = pre_acts * (pre_acts > threshold)
        bent = torch.tanh(acts * (settings.tanh_scale * norms))
        gradient = at_outputs @ self.decoders[layer].T + rate * norms * (1 - bent.square())
        near = (pre_acts - threshold).abs() < settings.bandwidth / 2
        summed = (gradient * near).sum(dim=0) * (self.batch / self.part.n_sample)
        return -(threshold / settings.bandwidth) * summed
