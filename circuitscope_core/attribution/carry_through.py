"""Effects over all paths: targets carried back through everything, the features included."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.attribution.effects import Reads, start_vectors
from circuitscope_core.language_model import scatter
from circuitscope_core.prompt_pass import PromptPass

MOST_BYTES = 256 * 2**20
"""Memory of the gradients that are kept for features that write to higher layers."""
POSITIONS_AT_ONCE = 32
"""Positions whose features are multiplied together, padded to the fullest of them."""

Through = Callable[[int, Float[Tensor, "n_pos n d_model"]], Float[Tensor, "n_pos n d_model"]]
"""Carries gradients from a layer's write point through the features, and all that passes beside
them, to its read point."""
Joining = Callable[[int], Float[Tensor, "n_pos n d_model"]]
"""Returns the gradients of the targets that read a layer, at the stream that it reads from; of the
number of layers, at the last stream."""


def carry_through(clean: PromptPass, joining: Joining, through: Through) -> None:
    """Carry targets back through the frozen model and its features, from the top to the bottom."""
    frozen = clean.frozen
    gradient = joining(frozen.n_layers)
    positions = torch.arange(len(gradient), device=gradient.device)[:, None]
    for layer in range(frozen.n_layers - 1, -1, -1):
        at_read = through(layer, frozen.back_from_write_point(layer, gradient))
        at_read = frozen.back_from_read_point(layer, at_read, positions)
        at_read = at_read + joining(layer)
        before_attention = frozen.starts_before_attention(layer)
        gradient = frozen.back_from_end_norm(layer, gradient)
        gradient = gradient if before_attention else gradient + at_read
        gradient = frozen.back_from_mid_norm(layer, gradient)
        values = frozen.back_to_values(layer, gradient)
        gradient = gradient.clone()
        frozen.back_from_values(layer, gradient, values)
        gradient = gradient + at_read if before_attention else gradient


@torch.no_grad()
def total_feature_effects(clean: PromptPass, reads: Reads) -> Float[Tensor, "n_features n"]:
    """Return what some targets would lose with each active feature, over all paths.

    Every feature on the way is linear, and loses the same share of its activation as it gets less.

    Args:
        clean: The prompt's clean pass.
        reads: The targets.
    """
    n_layers, n_pos, d_model = clean.error_vectors.shape
    one = n_layers * n_pos * d_model * clean.error_vectors.itemsize
    at_once = max(1, MOST_BYTES // one)
    parts = []
    for some in torch.arange(len(reads), device=reads.positions.device).split(at_once):
        part = Reads(reads.layer, reads.positions[some], reads.vectors[some], reads.biases[some])
        parts.append(_Features(clean, part).carried())
    return torch.cat(parts, dim=1) * clean.activations[:, None]


class _Features:
    """Active features on the way back of some targets."""

    def __init__(self, clean: PromptPass, reads: Reads) -> None:
        self._clean, self._reads = clean, reads
        shape = (len(clean.features), len(reads))
        self._coefficients = clean.activations.new_zeros(shape)
        self._written: dict[int, Tensor] = {}
        """Gradients at the write points of the layers so far."""

    def carried(self) -> Float[Tensor, "n_features n"]:
        """Return what arrives at each feature."""
        carry_through(self._clean, self._join, self._through)
        return self._coefficients

    def _join(self, layer: int) -> Float[Tensor, "n_pos n d_model"]:
        clean, reads = self._clean, self._reads
        if layer != reads.layer:
            shape = (clean.n_pos, *reads.vectors.shape)
            return reads.vectors.new_zeros(1).expand(shape)
        start = start_vectors(clean, layer, reads.positions, reads.vectors)
        return scatter(start, reads.positions, clean.n_pos)

    def _through(self, layer: int, at_write: Tensor) -> Tensor:
        features = self._clean.replacement.transcoder
        self._written[layer] = at_write
        at_read = torch.zeros_like(at_write)
        if features.shape.skip_connection:
            at_read += features.back_through_skip(layer, at_write)
        of_layer = (self._clean.features[:, 0] == layer).nonzero()[:, 0]
        if len(of_layer):
            blocks = self._clean.features[of_layer, 1].div(POSITIONS_AT_ONCE, rounding_mode="floor")
            counts = blocks.unique_consecutive(return_counts=True)[1]
            for nodes in of_layer.split(counts.tolist()):
                self._through_block(layer, nodes, at_read)
        if not features.shape.cross_layer:
            del self._written[layer]
        return at_read

    def _through_block(self, layer: int, nodes: Int[Tensor, " n"], at_read: Tensor) -> None:
        """Carry gradients through one layer's features at a few positions."""
        clean, features = self._clean, self._clean.replacement.transcoder
        _, positions, numbers = clean.features[nodes].T
        first = int(positions[0])
        counts = torch.bincount(positions - first)
        starts = counts.cumsum(0) - counts
        here = slice(first, first + len(counts))
        places = (
            positions - first,
            torch.arange(len(nodes), device=nodes.device) - starts[positions - first],
        )
        padded = at_read.new_zeros(len(counts), int(counts.max()), at_read.shape[2])
        found = at_read.new_zeros(*padded.shape[:2], at_read.shape[1])
        written = features.decoder_rows(layer, numbers)
        for step, vectors in enumerate(written.unbind(dim=1)):
            padded[places] = vectors.to(padded)
            found.baddbmm_(padded, self._written[layer + step][here].mT)
        self._coefficients[nodes] = found[places]
        padded[places] = clean.vectors_of(nodes)[0].to(padded)
        at_read[here].baddbmm_(found.mT, padded)
