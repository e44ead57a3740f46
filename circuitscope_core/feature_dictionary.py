"""The questions that the engine asks of the features behind a graph."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.config import ReadPoint, WritePoint
from circuitscope_core.errors import GraphError


@dataclass(frozen=True)
class DictionaryShape:
    """Sizes of a dictionary of features, and where it reads and writes."""

    n_layers: int
    d_model: int
    n_features: int
    """Features in each layer."""
    read_point: ReadPoint
    cross_layer: bool
    """True: a feature writes to the MLP outputs of its own layer and all later ones; False: to its
    own alone."""
    skip_connection: bool
    """True: a linear map carries what a layer reads past the features to its MLP output."""
    write_point: WritePoint = "added"
    """The place that features write to: the MLP's own output (``raw``), or what the layer adds to
    the stream, behind the norm that some families have there (``added``)."""
    exact: bool = False
    """True: the features are the model's own neurons. They make MLP outputs without an error, and
    nearly all are active, so that a graph's nodes are chosen for the target it explains."""

    trained_layers: tuple[int, ...] | None = None
    """The layers that have features; None: all. MLP outputs of the others are errors as a whole."""

    def has_features(self, layer: int) -> bool:
        """Return whether a layer has features."""
        return self.trained_layers is None or layer in self.trained_layers

    def n_writes(self, layer: int) -> int:
        """Return how many layers a layer's features write to, their own first."""
        return self.n_layers - layer if self.cross_layer else 1


@dataclass(frozen=True)
class ActiveFeatures:
    """One layer's activations on some tokens, without the zeros."""

    tokens: Int[Tensor, " n"]
    """Rising."""
    features: Int[Tensor, " n"]
    values: Float[Tensor, " n"]


@runtime_checkable
class FeatureDictionary(Protocol):
    """Features that stand in for a model's MLPs; a transcoder is one.

    For one prompt, a feature is active at some positions. There it reads the stream with a vector,
    and adds its activation times its decoder vectors to MLP outputs.
    """

    @property
    def shape(self) -> DictionaryShape:
        """Sizes, and where features read and write."""

    def describe(self) -> dict[str, Any]:
        """Return the sizes and settings as plain values."""

    @property
    def n_parameters(self) -> int:
        """Number of weights besides the model's own."""

    def active(self, layer: int, read: Tensor) -> ActiveFeatures:
        """Return one layer's active features on inputs ``[n, d_model]``, token by token."""

    def pre_activations(self, layer: int, read: Tensor) -> Tensor:
        """Return all of a layer's pre-activations ``[*batch, n_features]``."""

    def encode(self, layer: int, read: Tensor) -> Tensor:
        """Return all of a layer's activations ``[*batch, n_features]``, mostly 0."""

    def activate(self, layer: int, pre_activations: Tensor) -> Tensor:
        """Return activations of all of a layer's pre-activations ``[*batch, n_features]``."""

    def encoder_vectors(self, layer: int, features: Tensor, read: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vectors ``[n, d_model]`` and biases ``[n]`` that features read with.

        Args:
            layer: The features' layer.
            features: Their numbers, ``[n]``.
            read: The input of each of them where it is active, ``[n, d_model]``: a dictionary of
                gated neurons has other vectors for every input.
        """

    def decoder_rows(self, layer: int, features: Tensor) -> Tensor:
        """Return ``[n, n_writes, d_model]``: outputs per activation, from the own layer on."""

    def decoder_vectors(self, layer: int, features: Tensor) -> Tensor:
        """Return the same for every layer, ``[n, n_layers, d_model]``; 0 where none is written."""

    def write(self, layer: int, feature_acts: Tensor) -> Tensor:
        """Return what a layer's activations write: ``[*batch, n_writes, d_model]``."""

    def output_bias(self, layer: int) -> Tensor:
        """Return the constant part ``[d_model]`` of a layer's reconstructed MLP output."""

    def skip(self, layer: int, read: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return what goes past the features to the MLP output; 0 without skip connections.

        Args:
            layer: The layer.
            read: Its inputs, or changes of them: ``[*batch, n_rows, d_model]``.
            rows: Their positions in the prompt; None where they are all.
        """

    def back_through_skip(self, layer: int, gradient: Tensor) -> Tensor:
        """Carry gradients ``[n_pos, n, d_model]`` from the MLP output to the read point."""

    def thresholds(self, features: Tensor) -> Tensor:
        """Return the pre-activation at or below which each feature gives nothing.

        Minus infinity where nothing of the kind switches a feature off.

        Args:
            features: Layer and number of each, in the first and last of its columns.
        """


def check_place(
    shape: DictionaryShape, positions: range, place: tuple[int, int, int], what: str
) -> None:
    """Refuse a layer, position and feature that are no node of a prompt.

    Args:
        shape: Of the features.
        positions: The positions whose features are explained.
        place: Layer, position and feature.
        what: Opens the message, for example ``Target at``.

    Raises:
        GraphError: Naming the first number that is out of range.
    """
    limits = (range(shape.n_layers), positions, range(shape.n_features))
    names = ("layer", "position", "feature")
    for name, number, limit in zip(names, place, limits, strict=True):
        if number not in limit:
            raise GraphError(
                f"{what} {name} {number}; it must be from {limit.start} to {limit.stop - 1}."
            )
