r"""A loss on interventions: a transcoder is to answer as the model does when features are removed.

The usual loss compares outputs. Two features that are always active together may share an output
in any way, and a feature's writes to later layers may be no more than a correlation: neither shows
before one of them is switched off. This loss switches features off. At some tokens ``t``, features
of a layer ``l`` are removed, which pushes the stream behind ``l``; the model's own MLPs at ``t``
then answer with changes ``dy_k`` of their outputs, and the transcoder with ``dz_k``, for all layers
``k`` above ``l``:

    L = w d_model / n sum_{l, t, k} w_lk |dz_k - dy_k|^2 / (|dy_k|^2 + floor d_model)

in scaled units, in which an output has a variance of ``d_model``. It is local to a token: what
attention carries to others is left out. Denominators and pushes carry no gradient. The gradient is
written by hand, as that of the usual loss; ``tests/unit/test_causal_loss.py`` has it by autograd.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from circuitscope_core.language_model import MlpSite, RunsMlps
from circuitscope_core.training.active_entries import ActiveEntries, gradient_of, starts_of
from circuitscope_core.training.batches import BatchPart
from circuitscope_core.transcoder import ActivationScales, CrossLayerTranscoder

FLOOR = 0.002
"""Added to an answer's size as a share of the outputs' variance: tiny answers count for less."""


@dataclass(frozen=True)
class Interventions:
    """The tokens that the loss on interventions is taken from, and the model that is asked."""

    model: RunsMlps
    scales: ActivationScales
    resid_mid: Float[Tensor, "n_layers own d_model"]
    """The stream before each MLP at the batch's tokens, not scaled."""
    weight: float
    share: float
    """Tokens of the batch of which features are removed, of each layer other ones."""
    rng: np.random.Generator
    """Decides the features; the same for all workers."""
    layers: tuple[int, ...] | None = None
    """The model's layers that the transcoder's stand for; None: the same. MLPs of the others keep
    their outputs, as they do in a graph, where these are errors."""
    rounded: bool = False
    """Whether activations were kept in fewer digits: an answer is then the difference of two runs
    of an MLP from the same stream, one with the push and one without."""

    def answer(
        self, layer: int, tokens: slice, moved: Tensor, clean: Tensor
    ) -> tuple[MlpSite, Tensor]:
        """Return an MLP behind a push, and the change of its output, scaled.

        Args:
            layer: The transcoder's layer.
            tokens: The pushed ones, among the worker's own.
            moved: The change of the stream before the MLP.
            clean: The MLP's output without the push, scaled.
        """
        number = layer if self.layers is None else self.layers[layer]
        stream, scale = self.resid_mid[layer, tokens], self.scales.targets[layer]
        site = self.model.run_mlp_at(number, stream + moved)
        if self.rounded:
            before = self.model.run_mlp_at(number, stream).mlp_out
            return site, (site.mlp_out - before) * scale
        return site, site.mlp_out * scale - clean


@dataclass(frozen=True)
class EncodedBatch:
    """A batch with its active features, as the usual loss found them."""

    inputs: Float[Tensor, "n_layers own d_model"]
    active: list[ActiveEntries]
    written: list[Tensor]
    """The output of each layer's features, those to all later layers one after the other:
    ``[own, n_writes * d_model]``."""
    decoders: list[Tensor]
    """``[d_transcoder, n_writes * d_model]``, of each layer."""


@dataclass(frozen=True)
class Removed:
    """Features of one layer that are removed at some tokens in a row."""

    layer: int
    tokens: slice
    """Among the worker's own."""
    entries: tuple[Int[Tensor, " n"], Int[Tensor, " n"], Float[Tensor, " n"]]
    """Token, counted from the first, number and activation of each."""

    @property
    def n_tokens(self) -> int:
        """Number of tokens."""
        return int(self.tokens.stop - self.tokens.start)

    def written(self, decoders: Tensor) -> Float[Tensor, "n width"]:
        """Return the change that removing them makes to what the layer's features write."""
        tokens, features, acts = self.entries
        starts = starts_of(torch.bincount(tokens, minlength=self.n_tokens))
        return F.embedding_bag(features, decoders, starts, mode="sum", per_sample_weights=-acts)

    def decoder_gradient(
        self, at_outputs: Float[Tensor, "n width"], d_transcoder: int
    ) -> Float[Tensor, "d_transcoder width"]:
        """Return the gradient that reaches the decoders through ``written``."""
        tokens, features, acts = self.entries
        order = features.argsort(stable=True)
        starts = starts_of(torch.bincount(features, minlength=d_transcoder))
        weights = -acts[order]
        return F.embedding_bag(
            tokens[order], at_outputs, starts, mode="sum", per_sample_weights=weights
        )


def pushed_tokens(n_batch: int, n_layers: int, share: float, first: int) -> tuple[range, ...]:
    """Return the tokens of a batch at which features of each layer but the last are removed.

    Args:
        n_batch: Tokens of the whole batch.
        n_layers: Layers of the model.
        share: Part of the batch for each layer; less where the layers together would ask for more
            than the batch has.
        first: Tokens that are left out if there are enough others.
    """
    n = min(int(n_batch * share), n_batch // max(1, n_layers - 1))
    begin = max(0, min(first, n_batch - n * (n_layers - 1)))
    starts = (begin + n * layer for layer in range(n_layers - 1))
    return tuple(range(start, min(start + n, n_batch)) for start in starts)


def draw_removed(
    layer: int, active: ActiveEntries, tokens: slice, draws: NDArray[np.float64]
) -> Removed:
    """Choose the features to remove at some tokens.

    One active feature, each equally likely; at every other token also each other one with a chance
    that is itself drawn for the token.

    Args:
        layer: The features' layer.
        active: The layer's active features.
        tokens: A run of tokens.
        draws: ``[4, n]`` numbers from 0 to 1 for each token. A feature's own number is
            ``(a + b * feature) mod 1``: of two features independent, and the same for any number
            of workers.
    """
    starts, n = active.token_starts, len(active.tokens)
    first = int(starts[tokens.start]) if tokens.start < len(starts) else n
    last = int(starts[tokens.stop]) if tokens.stop < len(starts) else n
    at = active.tokens[first:last] - tokens.start
    features, acts = active.features[first:last], active.acts.detach()[first:last]
    choice, chance, a, b = torch.from_numpy(draws).to(acts.device)
    counts = torch.bincount(at, minlength=tokens.stop - tokens.start)
    place = torch.arange(len(at), device=at.device) - starts_of(counts)[at]
    alone = place == (choice * counts).long()[at]
    own = (a[at] + b[at] * features) % 1
    removed = alone | (own < chance[at])
    return Removed(layer, tokens, (at[removed], features[removed], acts[removed]))


@dataclass(frozen=True)
class Answer:
    """One layer's reaction to a push, at the pushed tokens."""

    layer: int
    inputs: Float[Tensor, "n d_model"]
    """Scaled."""
    active: ActiveEntries
    acts: Float[Tensor, " n_active"]
    written: Float[Tensor, "n width"]
    change: Float[Tensor, "n d_model"]
    """Change of the model's own MLP output, scaled."""


@dataclass(frozen=True)
class Push:
    """Features that were removed, and the answers of the layers above with the loss's gradient."""

    removed: Removed
    answers: tuple[Answer, ...]
    at_outputs: Float[Tensor, "n_layers n d_model"]
    """Gradient of the loss by the change of the transcoder's outputs; 0 up to the pushed layer."""

    def slot(self, layer: int, n_writes: int) -> Float[Tensor, "n width"]:
        """Return the gradient at the outputs that a layer's features write to."""
        return self.at_outputs[layer : layer + n_writes].transpose(0, 1).flatten(start_dim=1)


@dataclass
class CausalTerm:
    """The loss on interventions of one batch, and its gradient."""

    transcoder: CrossLayerTranscoder
    batch: EncodedBatch
    pushes: tuple[Push, ...]
    loss: Tensor

    @classmethod
    def of(
        cls,
        transcoder: CrossLayerTranscoder,
        batch: EncodedBatch,
        targets: Float[Tensor, "n_layers own d_model"],
        part: BatchPart,
        interventions: Interventions,
    ) -> "CausalTerm":
        """Remove features, ask model and transcoder, and compare.

        Args:
            transcoder: The transcoder, in scaled units.
            batch: Tokens with their active features.
            targets: MLP outputs, scaled.
            part: The part that they are of a whole batch.
            interventions: The model, and how much is asked.
        """
        n_layers = transcoder.config.n_layers
        pushes, loss = [], targets.new_zeros(())
        places = part.places
        runs = pushed_tokens(part.n_tokens, n_layers, interventions.share, part.n_sample)
        for layer, run in enumerate(runs):
            draws = interventions.rng.random((4, len(run)))
            draws[1, ::2] = 0
            bounds = torch.tensor([run.start, run.stop], device="cpu")
            start, stop = torch.searchsorted(places, bounds).tolist()
            if start == stop:
                continue
            own = draws[:, places[start:stop].numpy() - run.start]
            removed = draw_removed(layer, batch.active[layer], slice(start, stop), own)
            answers, changes = _ask(transcoder, batch, targets, removed, interventions)
            at_outputs, own_loss = _compare(answers, changes, interventions.weight, len(run))
            pushes.append(Push(removed, answers, at_outputs))
            loss = loss + own_loss
        return cls(transcoder, batch, tuple(pushes), loss)

    def errors_of(self, layer: int, errors: Tensor) -> Tensor:
        """Return the gradient at the outputs as the features of a layer see it on clean tokens.

        The change of a layer's features is new less old: old activations see the gradient with the
        opposite sign. Features of layers up to the pushed one do not change.
        """
        below = [push for push in self.pushes if push.removed.layer < layer]
        if not below:
            return errors
        own = errors.clone()
        for push in below:
            own[:, push.removed.tokens] -= push.at_outputs
        return own

    def add_gradients(self) -> None:
        """Add what pushed tokens and removed features contribute to the weights' gradients."""
        for push in self.pushes:
            self._add_removed(push)
            for answer in push.answers:
                self._add_answer(push, answer)

    def _add_removed(self, push: Push) -> None:
        layer = push.removed.layer
        decoders = self.transcoder.W_dec[layer]
        if decoders.shape[1] > 1:  # own-layer writes are the push, which is not differentiated
            at_outputs = push.slot(layer, decoders.shape[1])
            gradient = push.removed.decoder_gradient(at_outputs, len(decoders))
            gradient_of(decoders).add_(gradient.view_as(decoders))

    def _add_answer(self, push: Push, answer: Answer) -> None:
        transcoder, layer, active = self.transcoder, answer.layer, answer.active
        decoders = transcoder.W_dec[layer]
        at_outputs = push.slot(layer, decoders.shape[1])
        (at_acts,) = torch.autograd.grad(answer.written, answer.acts, at_outputs)
        gradient_of(transcoder.W_enc)[layer].add_(active.sum_by_feature(at_acts, answer.inputs))
        gradient_of(transcoder.b_enc)[layer].add_(active.total(at_acts))
        by_feature = active.sum_by_feature(active.acts.detach(), at_outputs)
        gradient_of(decoders).add_(by_feature.view_as(decoders))
        if transcoder.config.skip_connection:
            moved = answer.inputs - self.batch.inputs[layer, push.removed.tokens]
            gradient_of(transcoder.W_skip)[layer].add_(moved.T @ push.at_outputs[layer])


def _ask(
    transcoder: CrossLayerTranscoder,
    batch: EncodedBatch,
    targets: Tensor,
    removed: Removed,
    interventions: Interventions,
) -> tuple[tuple[Answer, ...], Float[Tensor, "n_layers n d_model"]]:
    """Run the layers above a push; return the model's answers, and the transcoder's changes."""
    scales, tokens, layer = interventions.scales, removed.tokens, removed.layer
    n_writes = transcoder.W_dec[layer].shape[1]
    written = removed.written(batch.decoders[layer].detach())
    changes = torch.zeros_like(targets[:, tokens])
    changes[layer : layer + n_writes] = written.unflatten(1, (n_writes, -1)).transpose(0, 1)
    moved = changes[layer] / scales.targets[layer]  # of the model's stream
    answers = []
    for above in range(layer + 1, len(targets)):
        site, change = interventions.answer(above, tokens, moved, targets[above, tokens])
        inputs = site.read(transcoder.config.read_point) * scales.inputs[above]
        moved = moved + change / scales.targets[above]
        pre_acts = torch.addmm(transcoder.b_enc[above], inputs, transcoder.W_enc[above].T)
        active = ActiveEntries.where(pre_acts, transcoder.is_active(above, pre_acts))
        with torch.enable_grad():  # as in the usual loss, the activations' gradient alone
            acts = active.acts.requires_grad_()
            after = active.sum_by_token(acts, batch.decoders[above].detach())
        answers.append(Answer(above, inputs, active, acts, after, change))
        n_writes = transcoder.W_dec[above].shape[1]
        differences = after.detach() - batch.written[above][tokens]
        by_output = differences.unflatten(1, (n_writes, -1)).transpose(0, 1)
        changes[above : above + n_writes] += by_output
        changes[above] += transcoder.skip(above, inputs - batch.inputs[above, tokens])
    changes[: layer + 1] = 0
    return tuple(answers), changes


def _compare(
    answers: tuple[Answer, ...], changes: Tensor, weight: float, n: int
) -> tuple[Float[Tensor, "n_layers n d_model"], Tensor]:
    """Return the loss's gradient at the transcoder's outputs, and the loss.

    Args:
        answers: The model's.
        changes: The transcoder's ``[n_layers, n, d_model]``.
        weight: Of the whole loss.
        n: Pushed tokens of the whole batch.
    """
    n_layers, _, d_model = changes.shape
    gradients, loss = torch.zeros_like(changes), changes.new_zeros(())
    for answer in answers:
        errors = changes[answer.layer] - answer.change
        size = answer.change.square().sum(dim=1, keepdim=True) + FLOOR * d_model
        rate = weight * d_model / (n * (n_layers - 1)) / size
        loss = loss + (rate * errors.square()).sum()
        gradients[answer.layer] = 2 * rate * errors
    return gradients, loss
