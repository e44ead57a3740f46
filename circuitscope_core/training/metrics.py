"""How good a transcoder is, on text that nothing was trained on. Each figure is defined here only.

The share of dead features needs more text than the rest and comes from the feature cards' pass.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor

from circuitscope_core.devices import in_double
from circuitscope_core.language_model import LanguageModel, MlpSite
from circuitscope_core.replacement import StreamingDecoder, run_mean_ablated, run_replacement
from circuitscope_core.transcoder import CrossLayerTranscoder

LOGITS_AT_ONCE = 2**24
"""Logits that are in memory at once, about: a real model has many for each token."""


@dataclass(frozen=True)
class ReplacementMetrics:
    """Figures over held-out tokens, position 0 of each window left out.

    Where only some layers have features, MLPs of the others stay as they are: the figures are about
    the model with those layers' MLPs replaced, or set to their means.
    """

    n_tokens: int
    l0: float
    """Mean active features per token and layer."""
    normalized_mse: float
    """Squared error over the squared distance from the mean output; mean over the layers."""
    replacement_agreement: float
    """Share of tokens whose most likely next token is the same with every MLP replaced."""
    kl_bits: float
    """Divergence of the replacement model's next-token distribution from the model's."""
    ce_model: float
    """Cross-entropy of the next token in bits."""
    ce_replacement: float
    ce_mean_ablated: float

    @property
    def ce_recovered(self) -> float:
        """Share of what mean-ablating the MLPs costs that the replacement wins back."""
        span = self.ce_mean_ablated - self.ce_model
        return (self.ce_mean_ablated - self.ce_replacement) / span if span else 1.0

    def to_json(self) -> dict[str, float]:
        """Return plain numbers, ``ce_recovered`` included."""
        figures = {name: float(value) for name, value in vars(self).items()}
        return figures | {"ce_recovered": self.ce_recovered}


@torch.no_grad()
def measure_replacement(
    model: LanguageModel,
    transcoder: CrossLayerTranscoder,
    windows: Int[Tensor, "n n_ctx_plus_1"],
    batch_size: int = 8,
) -> Iterator[float | ReplacementMetrics]:
    """Compare the model with its replacement on windows of held-out text.

    Yields the share done, and at last the metrics.
    """
    n_numbers = windows.shape[1] * model.shape.d_vocab
    at_once = max(1, min(batch_size, LOGITS_AT_ONCE // n_numbers))
    batches = windows.to(model.tokens([0]).device).split(at_once)
    means = measure_mean_outputs(model, batches)
    sums: dict[str, Tensor] = {}
    for number, batch in enumerate(batches, start=1):
        done = model.mlp_pass(batch[:, :-1])
        for part in (
            reconstruction_sums(transcoder, means, done.sites, model.shape.n_opening),
            prediction_sums(model, transcoder, means, batch, model.logits_after(done)),
        ):
            for name, value in part.items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value
        yield number / len(batches)
    n = float(sums["n"])
    squared_spread = sums["squared_spread"].clamp(min=torch.finfo(torch.float64).tiny)
    yield ReplacementMetrics(
        n_tokens=int(n),
        l0=float(sums["active"]) / (n * len(layers_of(transcoder))),
        normalized_mse=float((sums["squared_error"] / squared_spread).mean()),
        replacement_agreement=float(sums["agree"]) / n,
        kl_bits=float(sums["kl"]) / n / math.log(2),
        ce_model=float(sums["ce_model"]) / n / math.log(2),
        ce_replacement=float(sums["ce_replacement"]) / n / math.log(2),
        ce_mean_ablated=float(sums["ce_mean_ablated"]) / n / math.log(2),
    )


def measure_mean_outputs(model: LanguageModel, batches: tuple[Tensor, ...]) -> Tensor:
    """Return each layer's mean MLP output ``[n_layers, d_model]``, position 0 left out."""
    opening = model.shape.n_opening
    sums, n = [], 0
    for batch in batches:
        outputs = [site.mlp_out[:, opening:] for site in model.mlp_pass(batch[:, :-1]).sites]
        sums.append(torch.stack([in_double(out).sum(dim=(0, 1)) for out in outputs]))
        n += outputs[0].shape[0] * outputs[0].shape[1]
    return (torch.stack(sums).sum(dim=0) / max(n, 1)).float().to(batches[0].device)


def reconstruction_sums(
    transcoder: CrossLayerTranscoder, means: Tensor, sites: tuple[MlpSite, ...], n_opening: int
) -> dict[str, Tensor]:
    """Return sums of squared error, squared distance from the mean, and active features.

    Layers without features are left out.
    """
    decoder = StreamingDecoder(transcoder)
    errors, spreads, active = [], [], []
    for layer in layers_of(transcoder):
        x = sites[layer].read(transcoder.config.read_point)[:, n_opening:]
        acts = transcoder.encode(layer, x)
        outputs = sites[layer].mlp_out[:, n_opening:]
        made = decoder.add(layer, acts) + transcoder.skip(layer, x)
        errors.append(in_double(made - outputs).square().sum())
        spreads.append(in_double(outputs - means[layer]).square().sum())
        active.append(in_double(torch.count_nonzero(acts)))
    return {
        "squared_error": torch.stack(errors),
        "squared_spread": torch.stack(spreads),
        "active": torch.stack(active).sum(),
    }


def layers_of(transcoder: CrossLayerTranscoder) -> tuple[int, ...]:
    """Return the layers that have features."""
    chosen = transcoder.config.trained_layers
    return tuple(range(transcoder.config.n_layers)) if chosen is None else chosen


def prediction_sums(
    model: LanguageModel,
    transcoder: CrossLayerTranscoder,
    means: Tensor,
    batch: Tensor,
    logits: Tensor,
) -> dict[str, Tensor]:
    """Return sums of cross-entropies, divergence and agreements over a batch's tokens."""
    opening = model.shape.n_opening
    token_ids, answers = batch[:, :-1], batch[:, opening + 1 :].flatten()
    clean = logits[:, opening:].flatten(0, 1)
    replaced = run_replacement(model, transcoder, token_ids)[:, opening:].flatten(0, 1)
    layers = layers_of(transcoder)
    ablated = run_mean_ablated(model, means, token_ids, layers)[:, opening:].flatten(0, 1)
    log_p, log_q = clean.log_softmax(dim=1), replaced.log_softmax(dim=1)
    return {
        "n": in_double(torch.tensor(len(answers), device=logits.device)),
        "ce_model": in_double(F.nll_loss(log_p, answers, reduction="sum")),
        "ce_replacement": in_double(F.nll_loss(log_q, answers, reduction="sum")),
        "ce_mean_ablated": in_double(F.cross_entropy(ablated, answers, reduction="sum")),
        "kl": in_double(F.kl_div(log_q, log_p, reduction="sum", log_target=True)),
        "agree": in_double(clean.argmax(dim=1) == replaced.argmax(dim=1)).sum(),
    }
