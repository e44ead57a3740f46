"""A transcoder as a layout finds it: its settings, and its weights by our own names."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.config import Activation, ReadPoint, WritePoint
from circuitscope_core.errors import BundleError
from circuitscope_core.transcoder_formats.weight_files import TensorRows, WeightFile

UNFINISHED = ".unfinished"
"""File in a folder whose transcoder is being replaced: its files may be of two."""


@dataclass(frozen=True)
class Decoders:
    """One layer's decoders in a file, not read yet: ``[d_transcoder, (n_layers,) d_model]``."""

    file: WeightFile
    name: str
    first: int = 0
    """The decoders of this output layer are the first that are used."""

    def whole(self) -> Float[Tensor, "d_transcoder n_writes d_model"]:
        """Read all of them; they stay mapped from a file of float32."""
        return self._used(self.file.tensor(self.name))

    def rows(self) -> tuple[torch.Size, Callable[[Tensor], Tensor]]:
        """Return their shape, and what reads those of some features from the file."""
        read = TensorRows(self.file.place(self.name))
        shape = self._used(torch.empty(read.shape, device="meta")).shape
        return shape, lambda features: self._used(read(features))

    def _used(self, decoders: Tensor) -> Tensor:
        if decoders.ndim == 2:
            return decoders[:, None]
        # a part is copied, or every use of it would be
        return decoders[:, self.first :].contiguous() if self.first else decoders


@dataclass(frozen=True)
class LayerWeights:
    """One layer's weights by our names."""

    W_enc: Float[Tensor, "d_transcoder d_model"]
    b_enc: Float[Tensor, " d_transcoder"]
    b_dec: Float[Tensor, " d_model"]
    W_dec: Decoders
    threshold: Float[Tensor, " d_transcoder"] | None = None
    """None: features need a pre-activation above 0."""
    W_skip: Float[Tensor, "d_model d_model"] | None = None
    """Applied as ``x @ W_skip``."""
    k: int | None = None
    """Active features of each token, where the weights' file says so itself."""


@dataclass(frozen=True)
class Points:
    """The places that a transcoder reads and writes."""

    read: ReadPoint
    write: WritePoint


@dataclass(frozen=True)
class FoundTranscoder:
    """A transcoder on disk: what its settings say, and how each layer's weights are read."""

    layers: tuple[Callable[[], LayerWeights], ...]
    points: Points
    cross_layer: bool = False
    activation: Activation = "jump_relu"
    k: int | None = None
    """Features that are active on each token, where the activation is a top-k."""
    has_thresholds: bool = True
    """False: the settings name an activation that has none."""
    trained_layers: tuple[int, ...] | None = None
    """The layers that have features, where not all have."""


def relu_threshold(threshold: Tensor | None) -> Tensor | None:
    """Return the threshold of a JumpReLU behind a ReLU: below 0 it has no effect."""
    return None if threshold is None else threshold.clamp(min=0)


def same_points(points: Iterable[Points], folder: Path) -> Points:
    """Return the points of all layers.

    Raises:
        BundleError: If layers differ in them.
    """
    found = set(points)
    if len(found) > 1:
        named = " or ".join(sorted(f"{each.read} → {each.write}" for each in found))
        raise BundleError(
            f"{folder}: the layers' transcoders read and write at different places ({named}); "
            "they must be the same in all layers."
        )
    return found.pop()


def in_order(numbered: Iterable[tuple[int, Path]], folder: Path) -> list[Path]:
    """Return files of layers from 0 on.

    Raises:
        BundleError: If a layer is missing, or there is more than one file for it.
    """
    paths: dict[int, list[Path]] = {}
    for number, path in numbered:
        paths.setdefault(number, []).append(path)
    for number, several in sorted(paths.items()):
        if len(several) > 1:
            names = ", ".join(sorted(str(path.relative_to(folder)) for path in several))
            raise BundleError(
                f"{folder} has {len(several)} transcoders of layer {number}: {names}. Choose one "
                "for each layer: leave one folder of each, or list them in order under "
                "'transcoders' in a config.yaml of their own."
            )
    if missing := sorted(set(range(max(paths) + 1)) - set(paths)):
        raise BundleError(
            f"{folder} has no transcoder of layer {missing[0]}; it has those of layers "
            f"{', '.join(map(str, sorted(paths)))}. Every layer from 0 on needs one."
        )
    return [paths[number][0] for number in sorted(paths)]
