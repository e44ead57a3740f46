"""The active features that are no nodes of a graph with a budget: the rest."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuitscope_core.prompt_pass import PromptPass
from circuitscope_core.values import one_line

FEATURES_AT_ONCE = 4096
"""Features whose decoders are read together."""


@one_line
@dataclass(frozen=True)
class Rest:
    """Features that are no nodes, added up at each layer and position."""

    n_features: int
    written: tuple[Float[Tensor, "_ n_pos d_model"], ...]
    """For each layer, the sum of what its features write to its own MLP output and, of a
    cross-layer dictionary, to all later ones."""


def split_features(
    clean: PromptPass, chosen: Int[Tensor, " n_chosen"]
) -> tuple[PromptPass, Rest | None]:
    """Return a prompt's pass in which some features are the nodes, and the rest of them.

    Args:
        clean: The prompt's clean pass.
        chosen: Rows of its ``features``, rising.

    Returns:
        The pass, and the rest; None where all features are chosen.
    """
    n_features = len(clean.features)
    if len(chosen) == n_features:
        return clean, None
    others = torch.ones(n_features, dtype=torch.bool, device=chosen.device)
    others[chosen] = False
    written = tuple(_written_by(clean, others, layer) for layer in range(clean.frozen.n_layers))
    focused = replace(clean, features=clean.features[chosen], activations=clean.activations[chosen])
    return focused, Rest(n_features - len(chosen), written)


def _written_by(
    clean: PromptPass, some: Bool[Tensor, " n_features"], layer: int
) -> Float[Tensor, "n_writes n_pos d_model"]:
    """Return the sum of what some features of a layer write, at each position."""
    features = clean.replacement.transcoder
    n_writes, d_model = features.shape.n_writes(layer), clean.error_vectors.shape[2]
    written = clean.error_vectors.new_zeros(clean.n_pos, n_writes, d_model)
    nodes = (some & (clean.features[:, 0] == layer)).nonzero()[:, 0]
    for part in nodes.split(FEATURES_AT_ONCE):
        _, positions, numbers = clean.features[part].T
        vectors = features.decoder_rows(layer, numbers) * clean.activations[part, None, None]
        written.index_add_(0, positions, vectors.to(written))
    return written.transpose(0, 1)
