"""Passes over text: which features are active where, a few windows and one layer at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from circuitscope_core.feature_dictionary import ActiveFeatures, FeatureDictionary
from circuitscope_core.language_model import LanguageModel

BATCH_WINDOWS = 8


@dataclass(frozen=True)
class LayerActivations:
    """One layer's active features on a few windows, ordered by window, feature and position."""

    layer: int
    first_window: int
    shape: tuple[int, int, int]
    """Windows, positions and features."""
    n_opening: int
    """Positions at the start of each window that have no features."""
    windows: NDArray[np.int64]
    """Counted from ``first_window``."""
    features: NDArray[np.int64]
    positions: NDArray[np.int64]
    values: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        layer: int,
        first_window: int,
        shape: tuple[int, int, int],
        active: ActiveFeatures,
        n_opening: int,
    ) -> "LayerActivations":
        """Order what is active on windows whose opening positions were left out."""
        tokens, features = active.tokens.cpu().numpy(), active.features.cpu().numpy()
        windows, places = np.divmod(tokens, shape[1] - n_opening)
        order = np.argsort(windows * shape[2] + features, kind="stable")
        values = active.values.cpu().numpy()[order]
        found = (windows[order], features[order], places[order] + n_opening, values)
        return cls(layer, first_window, shape, n_opening, *found)

    @cached_property
    def keys(self) -> NDArray[np.int64]:
        """One number for each entry's window and feature, rising."""
        return self.windows * self.shape[2] + self.features

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where the entries of a window and feature begin."""
        return np.flatnonzero(np.diff(self.keys, prepend=-1))

    def peaks(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return each feature's largest value in each window, and its first position there.

        Both are ``[d_transcoder, n_windows]``, 0 where the feature is silent.
        """
        n_windows, _, width = self.shape
        largest = np.zeros((n_windows, width), dtype=np.float32)
        place = np.zeros((n_windows, width), dtype=np.int64)
        if len(self.starts):
            top = np.maximum.reduceat(self.values, self.starts)
            largest.flat[self.keys[self.starts]] = top
            lengths = np.diff(self.starts, append=len(self.keys))
            # backwards, so that the first of equal values is written last
            at_peak = np.flatnonzero(self.values == np.repeat(top, lengths))[::-1]
            place.flat[self.keys[at_peak]] = self.positions[at_peak]
        return largest.T, place.T


@runtime_checkable
class Observer(Protocol):
    """Something that learns from a pass."""

    def see(self, active: LayerActivations) -> None:
        """Take in one layer's activations on the next windows."""


@torch.no_grad()
def layer_activations(
    model: LanguageModel,
    transcoder: FeatureDictionary,
    windows: Int[Tensor, "batch n_pos"],
    first_window: int = 0,
) -> Iterator[LayerActivations]:
    """Yield each layer's active features; there are none at the opening positions."""
    shape, opening = (*windows.shape, transcoder.shape.n_features), model.shape.n_opening
    for site in model.mlp_pass(windows).sites:
        read = site.read(transcoder.shape.read_point)[:, opening:].flatten(0, 1)
        active = transcoder.active(site.layer, read)
        yield LayerActivations.of(site.layer, first_window, shape, active, opening)


def run_passes(
    model: LanguageModel,
    transcoder: FeatureDictionary,
    work: Sequence[tuple[Int[Tensor, "n n_pos"], Observer]],
) -> Iterator[float]:
    """Show the activations on texts to their observers; yields the share done.

    A text that several observers look at is run once.
    """
    texts: list[tuple[Tensor, list[Observer]]] = []
    for windows, observer in work:
        same = [observers for text, observers in texts if text is windows]
        if same:
            same[0].append(observer)
        else:
            texts.append((windows, [observer]))
    total, done = sum(len(windows) for windows, _ in texts), 0
    for windows, observers in texts:
        for first in range(0, len(windows), BATCH_WINDOWS):
            batch = windows[first : first + BATCH_WINDOWS]
            for active in layer_activations(model, transcoder, batch, first):
                for observer in observers:
                    observer.see(active)
            done += len(batch)
            yield done / total
