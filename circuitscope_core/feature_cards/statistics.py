"""How often and how strongly features fire: first the extent, then counts within it."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from circuitscope_core.feature_cards.cards import N_HISTOGRAM_BINS, N_QUANTILES
from circuitscope_core.feature_cards.passes import LayerActivations, State
from circuitscope_core.feature_cards.selection import Selection

FINE_BINS = 25 * N_HISTOGRAM_BINS


@dataclass
class Extent:
    """The number of tokens on which each feature fires, and its largest activation."""

    selection: Selection
    n_tokens: int = 0
    n_fired: NDArray[np.int64] = field(init=False)
    maximum: NDArray[np.float32] = field(init=False)

    def __post_init__(self) -> None:
        self.n_fired = np.zeros(self.selection.n_rows, dtype=np.int64)
        self.maximum = np.zeros(self.selection.n_rows, dtype=np.float32)
        sizes = [len(features) for features in self.selection.features]
        self.counted_layer = next((n for n, size in enumerate(sizes) if size), 0)
        """The layer at which tokens are counted: the first that is looked at."""

    def see(self, active: LayerActivations) -> None:
        """Take in one layer's activations on the next windows."""
        if active.layer == self.counted_layer:
            self.n_tokens += active.shape[0] * (active.shape[1] - active.n_opening)
        rows = self.selection.rows(active.layer)
        if rows.start == rows.stop:
            return
        self.n_fired[rows] += np.bincount(active.features, minlength=active.shape[2])
        largest = active.peaks()[0].max(axis=1)
        np.maximum(self.maximum[rows], largest, out=self.maximum[rows])

    def state(self) -> State:
        """Return everything that was learned."""
        arrays = (np.array(self.n_tokens), self.n_fired, self.maximum)
        names = ("n_tokens", "n_fired", "maximum")
        return dict(zip(names, map(torch.from_numpy, arrays), strict=True))

    def restore(self, state: State) -> None:
        """Go on from what was learned before."""
        self.n_tokens = int(state["n_tokens"])
        self.n_fired[:] = state["n_fired"].numpy()
        self.maximum[:] = state["maximum"].numpy()


@dataclass
class ActivationStatistics:
    """Per-feature figures: the extent, and activations above 0 in equal bins up to the maximum."""

    extent: Extent
    counts: NDArray[np.int64] = field(init=False)
    """``[n_rows, FINE_BINS]``"""

    def __post_init__(self) -> None:
        self.counts = np.zeros((self.extent.selection.n_rows, FINE_BINS), dtype=np.int64)

    def see(self, active: LayerActivations) -> None:
        """Take in one layer's activations on windows that the extent was measured on."""
        rows = self.extent.selection.rows(active.layer)
        share = active.values / self.extent.maximum[rows][active.features]
        bins = np.minimum((share * FINE_BINS).astype(np.int64), FINE_BINS - 1)
        np.add.at(self.counts[rows].reshape(-1), active.features * FINE_BINS + bins, 1)

    def state(self) -> State:
        """Return everything that was learned."""
        return {"counts": torch.from_numpy(self.counts)}

    def restore(self, state: State) -> None:
        """Go on from what was learned before."""
        self.counts[:] = state["counts"].numpy()

    @property
    def dead(self) -> float:
        """Share of features that fire on no token."""
        return float((self.extent.n_fired == 0).mean())

    def frequency(self, row: int) -> float:
        """Return the share of tokens on which a feature fires."""
        return float(self.extent.n_fired[row]) / max(self.extent.n_tokens, 1)

    def histogram(self, row: int) -> tuple[int, ...]:
        """Return counts in ``N_HISTOGRAM_BINS`` bins."""
        coarse = self.counts[row].reshape(N_HISTOGRAM_BINS, -1).sum(axis=1)
        return tuple(coarse.tolist())

    def quantiles(self, row: int) -> tuple[float, ...]:
        """Return the percentiles 1 to 99 of activations above 0, to one fine bin; () if dead."""
        counts = self.counts[row]
        total = int(counts.sum())
        if not total:
            return ()
        wanted = np.arange(1, N_QUANTILES + 1) / (N_QUANTILES + 1) * total
        bins = np.searchsorted(counts.cumsum(), wanted)
        upper = (bins + 1) * self.extent.maximum[row] / FINE_BINS
        return tuple(round(value, 5) for value in upper.tolist())
