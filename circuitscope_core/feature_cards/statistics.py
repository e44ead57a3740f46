"""How often and how strongly features fire: two streaming passes over token windows."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.feature_cards.cards import N_HISTOGRAM_BINS, N_QUANTILES
from circuitscope_core.transcoder import CrossLayerTranscoder, nonzero_entries
from circuitscope_core.transformer import Transformer

FINE_BINS = 25 * N_HISTOGRAM_BINS
BATCH_WINDOWS = 8


@dataclass(frozen=True)
class ActivationStatistics:
    """Per-feature figures over ``n_tokens`` tokens."""

    n_tokens: int
    frequency: Float[Tensor, "n_layers d_transcoder"]
    """Share of tokens on which the feature fires."""
    maximum: Float[Tensor, "n_layers d_transcoder"]
    counts: Int[Tensor, "n_layers d_transcoder fine_bins"]
    """Activations above 0 in equal bins up to the maximum."""

    @property
    def dead(self) -> float:
        """Share of features that fire on no token."""
        return float((self.frequency == 0).float().mean())

    def histogram(self, layer: int, feature: int) -> tuple[int, ...]:
        """Return counts in ``N_HISTOGRAM_BINS`` bins."""
        coarse = self.counts[layer, feature].view(N_HISTOGRAM_BINS, -1).sum(dim=1)
        return tuple(coarse.tolist())

    def quantiles(self, layer: int, feature: int) -> tuple[float, ...]:
        """Return the percentiles 1 to 99 of activations above 0, to one fine bin; () if dead."""
        counts = self.counts[layer, feature]
        total = int(counts.sum())
        if not total:
            return ()
        wanted = torch.arange(1, N_QUANTILES + 1) / (N_QUANTILES + 1) * total
        bins = torch.searchsorted(counts.cumsum(0).float(), wanted)
        upper = (bins + 1) * self.maximum[layer, feature] / FINE_BINS
        return tuple(round(value, 5) for value in upper.tolist())


@torch.no_grad()
def layer_activations(
    model: Transformer, transcoder: CrossLayerTranscoder, token_ids: Int[Tensor, "batch n_pos"]
) -> Iterator[Float[Tensor, "batch n_pos d_transcoder"]]:
    """Yield each layer's feature activations, 0 at position 0, which is never explained."""
    for site in model.mlp_sites(token_ids):
        acts = transcoder.encode(site.layer, site.read(transcoder.config.read_point))
        acts[:, 0] = 0
        yield acts


def measure_statistics(
    model: Transformer, transcoder: CrossLayerTranscoder, token_ids: Int[Tensor, "n n_pos"]
) -> Iterator[ActivationStatistics | float]:
    """Measure all features; yields the share done, and at last the statistics."""
    shape = (transcoder.config.n_layers, transcoder.config.d_transcoder)
    fired, maximum = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape)
    batches = token_ids.split(BATCH_WINDOWS)
    for number, batch in enumerate(batches):
        for layer, acts in enumerate(layer_activations(model, transcoder, batch)):
            flat = acts.flatten(0, 1)
            fired[layer] += torch.count_nonzero(flat, dim=0)
            maximum[layer] = torch.maximum(maximum[layer], flat.amax(dim=0))
        yield 0.5 * (number + 1) / len(batches)
    counts = torch.zeros(shape[0], shape[1] * FINE_BINS, dtype=torch.int64)
    for number, batch in enumerate(batches):
        for layer, acts in enumerate(layer_activations(model, transcoder, batch)):
            flat = acts.flatten(0, 1)
            rows, features = nonzero_entries(flat)
            share = flat[rows, features] / maximum[layer, features]
            bins = (share * FINE_BINS).long().clamp(max=FINE_BINS - 1)
            counts[layer].index_add_(0, features * FINE_BINS + bins, torch.ones_like(bins))
        yield 0.5 + 0.5 * (number + 1) / len(batches)
    n_tokens = token_ids.shape[0] * (token_ids.shape[1] - 1)
    yield ActivationStatistics(
        n_tokens, fired / max(n_tokens, 1), maximum, counts.view(*shape, FINE_BINS)
    )
