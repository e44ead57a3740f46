"""How often and how strongly features fire: first the extent, then counts within it."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from circuitscope_core.feature_cards.cards import N_HISTOGRAM_BINS, N_QUANTILES
from circuitscope_core.feature_cards.passes import LayerActivations

FINE_BINS = 25 * N_HISTOGRAM_BINS


@dataclass
class Extent:
    """On how many tokens each feature fires, and its largest activation."""

    shape: tuple[int, int]
    """Layers and features."""
    n_tokens: int = 0
    n_fired: NDArray[np.int64] = field(init=False)
    maximum: NDArray[np.float32] = field(init=False)

    def __post_init__(self) -> None:
        self.n_fired = np.zeros(self.shape, dtype=np.int64)
        self.maximum = np.zeros(self.shape, dtype=np.float32)

    def see(self, active: LayerActivations) -> None:
        """Take in one layer's activations on the next windows."""
        if active.layer == 0:
            self.n_tokens += active.shape[0] * (active.shape[1] - active.n_opening)
        self.n_fired[active.layer] += np.bincount(active.features, minlength=self.shape[1])
        largest = active.peaks()[0].max(axis=1)
        np.maximum(self.maximum[active.layer], largest, out=self.maximum[active.layer])


@dataclass
class ActivationStatistics:
    """Per-feature figures: the extent, and activations above 0 in equal bins up to the maximum."""

    extent: Extent
    counts: NDArray[np.int64] = field(init=False)
    """``[n_layers, d_transcoder, FINE_BINS]``"""

    def __post_init__(self) -> None:
        self.counts = np.zeros((*self.extent.shape, FINE_BINS), dtype=np.int64)

    def see(self, active: LayerActivations) -> None:
        """Take in one layer's activations on windows that the extent was measured on."""
        features = active.features
        share = active.values / self.extent.maximum[active.layer, features]
        bins = np.minimum((share * FINE_BINS).astype(np.int64), FINE_BINS - 1)
        np.add.at(self.counts[active.layer].reshape(-1), features * FINE_BINS + bins, 1)

    @property
    def dead(self) -> float:
        """Share of features that fire on no token."""
        return float((self.extent.n_fired == 0).mean())

    def frequency(self, layer: int, feature: int) -> float:
        """Return the share of tokens on which a feature fires."""
        return float(self.extent.n_fired[layer, feature]) / max(self.extent.n_tokens, 1)

    def histogram(self, layer: int, feature: int) -> tuple[int, ...]:
        """Return counts in ``N_HISTOGRAM_BINS`` bins."""
        coarse = self.counts[layer, feature].reshape(N_HISTOGRAM_BINS, -1).sum(axis=1)
        return tuple(coarse.tolist())

    def quantiles(self, layer: int, feature: int) -> tuple[float, ...]:
        """Return the percentiles 1 to 99 of activations above 0, to one fine bin; () if dead."""
        counts = self.counts[layer, feature]
        total = int(counts.sum())
        if not total:
            return ()
        wanted = np.arange(1, N_QUANTILES + 1) / (N_QUANTILES + 1) * total
        bins = np.searchsorted(counts.cumsum(), wanted)
        upper = (bins + 1) * self.extent.maximum[layer, feature] / FINE_BINS
        return tuple(round(value, 5) for value in upper.tolist())
