"""Checks that the tensors of a graph's file have the right kinds and fit one another."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

Dims = tuple[str | int, ...]
WHOLE: Mapping[str, Dims] = {
    "features": ("n_features", 3),
    "token_ids": ("n_pos",),
    "logit_token_ids": ("n_logits",),
    "edges.row_counts": ("n_nodes",),
    "edges.sources": ("n_edges",),
    "targets.layers": ("n_logits",),
    "targets.positions": ("n_logits",),
    "targets.tokens": ("n_logits", 2),
    "alternatives.token_ids": ("n_alternatives",),
    "alternatives.positions": ("n_alternatives",),
}
"""Tensors of whole numbers, with the names or sizes of their dimensions."""
REAL: Mapping[str, Dims] = {
    "error_vectors": ("n_layers", "n_pos", "d_model"),
    "activations": ("n_features",),
    "logit_probabilities": ("n_logits",),
    "bias": ("n_nodes",),
    "pre_activations": ("n_nodes",),
    "edges.weights": ("n_edges",),
    "targets.directions": ("n_logits", "d_model"),
    "neurons.effects": ("n_features",),
    "neurons.other_activations": ("n_features",),
    "alternatives.probabilities": ("n_alternatives",),
    "alternatives.effects": ("n_alternatives", "n_nodes"),
    "rest": ("n_targets", "n_errors"),
}
"""Tensors of real numbers, all of them finite."""


def check_tensors(tensors: Mapping[str, Tensor], texts: Mapping[str, Sequence[str]]) -> None:
    """Refuse tensors and texts of a graph that cannot belong together.

    Args:
        tensors: By their names in a file; those that only some graphs have may be missing.
        texts: The texts of each dimension that has some: ``n_pos`` and ``n_logits``.

    Raises:
        ValueError: Naming the first tensor that does not fit, with what it has and what it must
            have.
    """
    sizes: dict[str, int] = {}
    for kinds in (WHOLE, REAL):
        for name, dims in kinds.items():
            if name in tensors:
                _check_kind(name, tensors[name], whole=kinds is WHOLE)
                _check_shape(name, tuple(tensors[name].shape), dims, sizes)
    for dimension, found in texts.items():
        if len(found) != sizes[dimension]:
            raise ValueError(
                f"{len(found)} texts are there where {dimension} is {sizes[dimension]}"
            )
    for name, values, end in _numbered(tensors, sizes):
        if len(values) and not 0 <= int(values.min()) <= int(values.max()) < end:
            raise ValueError(f"{name} has a number outside 0 to {end - 1}")


def _check_kind(name: str, tensor: Tensor, *, whole: bool) -> None:
    if whole == (tensor.is_floating_point() or tensor.dtype is torch.bool or tensor.is_complex()):
        wanted = "whole" if whole else "real"
        raise ValueError(f"{name} holds {tensor.dtype}; it must hold {wanted} numbers")
    if not whole and not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{name} holds a number that is not finite")


def _check_shape(name: str, shape: tuple[int, ...], dims: Dims, sizes: dict[str, int]) -> None:
    """Compare a shape with sizes that are known, and add those that are new."""
    if len(shape) != len(dims):
        raise ValueError(f"{name} has the shape {list(shape)}; it must have {len(dims)} dimensions")
    for dimension, size in zip(dims, shape, strict=True):
        wanted = dimension if isinstance(dimension, int) else sizes.setdefault(dimension, size)
        if size != wanted:
            where = "" if isinstance(dimension, int) else f", as {dimension} elsewhere"
            raise ValueError(f"{name} has the shape {list(shape)}; {size} must be {wanted}{where}")


def _numbered(
    tensors: Mapping[str, Tensor], sizes: Mapping[str, int]
) -> Iterator[tuple[str, Tensor, int]]:
    """Yield the tensors that number something, with the number after the highest."""
    features = tensors["features"]
    yield "features (layer)", features[:, 0], sizes["n_layers"]
    yield "features (position)", features[:, 1], sizes["n_pos"]
    yield "features (number)", features[:, 2], 2**62
    yield "edges.row_counts", tensors["edges.row_counts"], sizes["n_nodes"] + 1
    for group in ("targets", "alternatives"):
        if f"{group}.positions" in tensors:
            yield f"{group}.positions", tensors[f"{group}.positions"], sizes["n_pos"]
    if "targets.layers" in tensors:
        yield "targets.layers", tensors["targets.layers"], sizes["n_layers"] + 1
