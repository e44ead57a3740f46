"""Passes over text: which features are active where, a few windows and one layer at a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from circuitscope_core.feature_cards.selection import Selection
from circuitscope_core.feature_dictionary import ActiveFeatures, FeatureDictionary
from circuitscope_core.language_model import LanguageModel
from circuitscope_core.training.activations import sites_of

BATCH_WINDOWS = 8
NO_TOKEN = -1
"""Fills the last window of a text behind its end; nothing is measured there."""
State = Mapping[str, Tensor]
"""Everything that an observer has learned, as it is kept in a checkpoint."""


@dataclass(frozen=True)
class LayerActivations:
    """One layer's active features on a few windows, ordered by window, feature and position."""

    layer: int
    first_window: int
    shape: tuple[int, int, int]
    """Windows, positions and selected features."""
    n_opening: int
    """Positions at the start of each window that have no features."""
    windows: NDArray[np.int64]
    """Counted from ``first_window``."""
    features: NDArray[np.int64]
    """Counted among the selected features of the layer: all of them, or some."""
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
        values = active.values.detach().cpu().numpy()[order]
        found = (windows[order], features[order], places[order] + n_opening, values)
        return cls(layer, first_window, shape, n_opening, *found)

    def side(self, sign: int) -> "LayerActivations":
        """Return the activations above 0, or for -1 the sizes of those below 0."""
        return self._above if sign > 0 else self._below

    @cached_property
    def _above(self) -> "LayerActivations":
        return self._where(self.values > 0, self.values)

    @cached_property
    def _below(self) -> "LayerActivations":
        return self._where(self.values < 0, -self.values)

    def _where(self, kept: NDArray[np.bool_], values: NDArray[np.float32]) -> "LayerActivations":
        if kept.all():
            return replace(self, values=values)
        return replace(
            self,
            windows=self.windows[kept],
            features=self.features[kept],
            positions=self.positions[kept],
            values=values[kept],
        )

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

        Both are ``[n, n_windows]``, 0 where the feature is silent.
        """
        return self._peaks

    @cached_property
    def _peaks(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
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

    def state(self) -> State:
        """Return everything that was learned."""

    def restore(self, state: State) -> None:
        """Go on from what was learned before."""


@dataclass(frozen=True)
class OneSide:
    """Shows an observer the activations of one sign."""

    sign: int
    inner: Observer

    def see(self, active: LayerActivations) -> None:
        """Take in one side of one layer's activations."""
        self.inner.see(active.side(self.sign))

    def state(self) -> State:
        """Return what the observer has learned."""
        return self.inner.state()

    def restore(self, state: State) -> None:
        """Let the observer go on from what it had learned."""
        self.inner.restore(state)


def active_among(
    transcoder: FeatureDictionary, layer: int, read: Tensor, selection: Selection
) -> ActiveFeatures:
    """Return which of a layer's selected features are active, counted among these."""
    if selection.whole or len(selection.features[layer]) == transcoder.shape.n_features:
        return transcoder.active(layer, read)
    chosen = torch.from_numpy(selection.features[layer]).to(read.device)
    if not len(chosen):
        none = chosen.new_zeros(0)
        return ActiveFeatures(none, none, read.new_zeros(0))
    acts = transcoder.encode(layer, read)[:, chosen]
    tokens, features = acts.nonzero(as_tuple=True)
    return ActiveFeatures(tokens, features, acts[tokens, features])


@torch.no_grad()
def layer_activations(
    model: LanguageModel,
    transcoder: FeatureDictionary,
    windows: Int[Tensor, "batch n_pos"],
    first_window: int = 0,
    selection: Selection | None = None,
) -> Iterator[LayerActivations]:
    """Yield each layer's active features; there are none at the opening positions.

    Args:
        model: The model.
        transcoder: Its features.
        windows: A few windows of text.
        first_window: The number of the first of them.
        selection: The features that are looked at; None for all.
    """
    chosen = selection or Selection.every(transcoder.shape)
    opening = model.shape.n_opening
    layers = [layer for layer, features in enumerate(chosen.features) if len(features)]
    for site in sites_of(model, windows, layers):
        read = site.read(transcoder.shape.read_point)[:, opening:].flatten(0, 1)
        active = active_among(transcoder, site.layer, read, chosen)
        shape = (*windows.shape, len(chosen.features[site.layer]))
        yield LayerActivations.of(site.layer, first_window, shape, active, opening)


def batches_of(windows: Int[Tensor, "n n_pos"]) -> list[range]:
    """Return the windows that are run together: the last one alone where it is shorter."""
    n = len(windows)
    whole = n - int(n > 0 and bool((windows[-1] == NO_TOKEN).any()))
    starts = range(0, whole, BATCH_WINDOWS)
    batches = [range(first, min(first + BATCH_WINDOWS, whole)) for first in starts]
    return batches + [range(whole, n)] * (n > whole)


def run_passes(
    model: LanguageModel,
    transcoder: FeatureDictionary,
    work: Sequence[tuple[Int[Tensor, "_ _"], Observer]],
    selection: Selection | None = None,
    done: int = 0,
) -> Iterator[float]:
    """Show the activations on texts to their observers; yields the share done.

    A text that several observers look at is run once.

    Args:
        model: The model.
        transcoder: Its features.
        work: Texts, and who looks at each.
        selection: The features that are looked at; None for all.
        done: Batches that the observers have seen already.
    """
    texts: list[tuple[Tensor, list[Observer]]] = []
    for windows, observer in work:
        same = [observers for text, observers in texts if text is windows]
        if same:
            same[0].append(observer)
        else:
            texts.append((windows, [observer]))
    every = [(text, batch, seen) for text, seen in texts for batch in batches_of(text)]
    device = model.tokens([0]).device
    for number, (text, batch, observers) in enumerate(every[done:], start=done + 1):
        rows = text[batch.start : batch.stop]
        rows = rows[:, : int((rows[0] != NO_TOKEN).sum())].to(device, torch.int64)
        for active in layer_activations(model, transcoder, rows, batch.start, selection):
            for observer in observers:
                observer.see(active)
        yield number / len(every)
