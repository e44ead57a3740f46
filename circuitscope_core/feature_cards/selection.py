"""The features that cards are made of: all of a dictionary, or those that were asked for."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from circuitscope_core.errors import ConfigError
from circuitscope_core.feature_dictionary import DictionaryShape

Place = tuple[int, int]
"""Layer and number of a feature."""


@dataclass(frozen=True, eq=False)
class Selection:
    """Features ordered by layer and number; each has a row in every array of measurements."""

    features: tuple[NDArray[np.int64], ...]
    """Their numbers in each layer, rising."""
    whole: bool
    """Whether these are all features of the dictionary."""

    @classmethod
    def every(cls, shape: DictionaryShape) -> "Selection":
        """Return all features of a dictionary."""
        return cls((np.arange(shape.n_features),) * shape.n_layers, whole=True)

    @classmethod
    def of(cls, shape: DictionaryShape, places: Collection[Place] | None) -> "Selection":
        """Return the features at some places; all of them for None.

        Raises:
            ConfigError: If there is no place, or no feature at one.
        """
        if places is None:
            return cls.every(shape)
        if not places:
            raise ConfigError("No feature is named; give layers and numbers, or None for all.")
        for place in places:
            _check(shape, place)
        layers = [{number for layer, number in places if layer == n} for n in range(shape.n_layers)]
        chosen = tuple(np.array(sorted(numbers), dtype=np.int64) for numbers in layers)
        return cls(chosen, whole=False)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The first row of each layer, and the number of rows."""
        return (0, *np.cumsum([len(numbers) for numbers in self.features]).tolist())

    @property
    def n_rows(self) -> int:
        """Number of features."""
        return self.starts[-1]

    def rows(self, layer: int) -> slice:
        """Return the rows of a layer's features."""
        return slice(self.starts[layer], self.starts[layer + 1])


def _check(shape: DictionaryShape, place: Place) -> None:
    whole = len(place) == 2 and all(isinstance(number, int) for number in place)
    if (
        not whole
        or place[0] not in range(shape.n_layers)
        or place[1] not in range(shape.n_features)
    ):
        raise ConfigError(
            f"There is no feature at {place!r}; a place is a layer from 0 to "
            f"{shape.n_layers - 1} and a number from 0 to {shape.n_features - 1}."
        )
