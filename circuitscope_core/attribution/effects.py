"""Direct effects: gradients carried back through the frozen model, contracted with the sources.

The frozen model is linear, so one pass back gives a target's effects from every source at once.
Targets of one layer go back together; positions to the right of them are never visited.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.attribution.context import AttributionContext

TARGETS_AT_ONCE = 256
"""Rows computed together: bounds the memory of one pass back."""


@dataclass(frozen=True)
class SourceLayout:
    """Decoder vectors of the sources that write to one layer, padded to equal counts a position."""

    columns: Int[Tensor, "n_pos width"]
    """Graph column of each slot, -1 for padding."""
    vectors: Float[Tensor, "n_pos width d_model"]
    """What the source adds to the layer's MLP output; 0 for padding."""


@dataclass(frozen=True)
class Sources:
    """All source nodes: features, errors and tokens, in the graph's column order."""

    n_columns: int
    layers: tuple[SourceLayout, ...]
    """Sources at each layer's MLP output: features from below and from the layer, its errors."""
    tokens: Float[Tensor, "n_pos d_model"]
    first_token: int
    """Column of the token at position 0."""


@dataclass(frozen=True)
class Rows:
    """Some targets' direct effects and constants."""

    effects: Float[Tensor, "n n_columns"]
    bias: Float[Tensor, " n"]


def lay_out_sources(context: AttributionContext) -> Sources:
    """Gather every source's contribution to every MLP output."""
    n_layers, n_pos, _ = context.error_vectors.shape
    n_features = len(context.features)
    errors = n_features + torch.arange(n_layers * n_pos).view(n_layers, n_pos)
    layouts = []
    for layer in range(n_layers):
        columns, positions, vectors = _features_writing_to(context, layer)
        columns = torch.cat([columns, errors[layer]])
        positions = torch.cat([positions, torch.arange(n_pos)])
        vectors = torch.cat([vectors, context.error_vectors[layer]])
        layouts.append(_pad_by_position(columns, positions, vectors, n_pos))
    first_token = n_features + n_layers * n_pos
    return Sources(first_token + n_pos, tuple(layouts), context.frozen.token_vectors(), first_token)


def _features_writing_to(context: AttributionContext, layer: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return columns, positions and vectors of the features that write to a layer's output."""
    columns, positions, vectors = [], [], []
    for source_layer in range(layer + 1):
        decoders = context.transcoder.W_dec[source_layer].detach()
        if layer - source_layer >= decoders.shape[1]:
            continue
        found = (context.features[:, 0] == source_layer).nonzero()[:, 0]
        _, where, numbers = context.features[found].T
        columns.append(found)
        positions.append(where)
        vectors.append(decoders[numbers, layer - source_layer] * context.activations[found, None])
    return torch.cat(columns), torch.cat(positions), torch.cat(vectors)


def _pad_by_position(
    columns: Tensor, positions: Tensor, vectors: Tensor, n_pos: int
) -> SourceLayout:
    """Give every position as many slots as the fullest one has; padding points past the end."""
    order = positions.argsort(stable=True)
    counts = torch.bincount(positions, minlength=n_pos)
    starts = counts.cumsum(0) - counts
    slots = torch.arange(len(order)) - starts[positions[order]]
    width = int(counts.max())
    padded_columns = torch.full((n_pos, width), -1)
    padded_vectors = torch.zeros(n_pos, width, vectors.shape[1])
    padded_columns[positions[order], slots] = columns[order]
    padded_vectors[positions[order], slots] = vectors[order]
    return SourceLayout(padded_columns, padded_vectors)


def feature_rows(
    context: AttributionContext, sources: Sources, targets: Int[Tensor, " n"]
) -> Iterator[tuple[Tensor, Rows]]:
    """Yield the rows of feature nodes, a batch at a time, with the batch's node indices.

    Args:
        context: The prompt's clean pass.
        sources: From ``lay_out_sources``.
        targets: Feature nodes.
    """
    transcoder = context.transcoder
    for layer in context.features[targets, 0].unique().tolist():
        of_layer = targets[context.features[targets, 0] == layer]
        ordered = of_layer[context.features[of_layer, 1].argsort(stable=True)]
        for nodes in ordered.split(TARGETS_AT_ONCE):
            _, positions, numbers = context.features[nodes].T
            vectors = transcoder.W_enc[layer, numbers].detach()
            constant = transcoder.b_enc[layer, numbers].detach()
            yield nodes, direction_rows(context, sources, layer, positions, vectors, constant)


def direction_rows(
    context: AttributionContext,
    sources: Sources,
    layer: int,
    positions: Int[Tensor, " n"],
    vectors: Float[Tensor, "n d_model"],
    biases: Float[Tensor, " n"],
) -> Rows:
    """Return the rows of vectors' products with what a layer's encoder reads, plus biases.

    ``layer`` may be the number of layers: then they are products with the final norm's output, and
    ``positions`` are the last one.
    """
    gradient, constant = start_gradient(context, layer, positions, vectors)
    return carry_back(context, sources, gradient, layer, constant + biases)


def start_gradient(
    context: AttributionContext, layer: int, positions: Tensor, vectors: Tensor
) -> tuple[Float[Tensor, "n_seen n d_model"], Float[Tensor, " n"]]:
    """Return gradients at ``resid_mid`` of a layer or the final stream, and what biases give."""
    frozen = context.frozen
    if layer == frozen.n_layers:
        start, constant = frozen.back_from_final_norm(vectors), frozen.final_constant(vectors)
    else:
        read_point = context.transcoder.config.read_point
        start = frozen.back_from_read_point(layer, vectors, positions, read_point)
        constant = frozen.read_constant(layer, vectors, read_point)
    return _place(start, positions, frozen.n_pos, causal=frozen.causal), constant


def _place(start: Tensor, positions: Tensor, n_pos: int, *, causal: bool) -> Tensor:
    """Return gradients ``[n_seen, n, d_model]`` that are 0 but at each target's own position."""
    n_seen = int(positions.max()) + 1 if causal else n_pos
    gradient = start.new_zeros(n_seen, *start.shape)
    gradient[positions, torch.arange(len(start))] = start
    return gradient


def carry_back(
    context: AttributionContext,
    sources: Sources,
    gradient: Float[Tensor, "n_seen n d_model"],
    layer: int,
    constant: Float[Tensor, " n"],
) -> Rows:
    """Carry gradients at ``resid_mid`` of a layer down to the embeddings and collect effects.

    ``layer`` may be the number of layers: then the gradients are at the final residual stream.
    """
    frozen = context.frozen
    n_seen, n, _ = gradient.shape
    effects = gradient.new_zeros(n, sources.n_columns)
    bias = constant.clone()
    for below in range(layer, -1, -1):
        if below < layer:  # gradient is at resid_post of `below`, so at its MLP output
            _add_effects(effects, sources.layers[below], gradient)
            bias += torch.einsum("pnd,pd->n", gradient, context.constant_outputs[below, :n_seen])
            gradient = back_through_skip(context, below, gradient, bias)
        if below < frozen.n_layers:
            bias += torch.einsum("pnd,pd->n", gradient, frozen.attention_constant(below)[:n_seen])
            gradient = frozen.back_through_attention(below, gradient)
    tokens = torch.einsum("pnd,pd->np", gradient, sources.tokens[:n_seen])
    effects[:, sources.first_token : sources.first_token + n_seen] = tokens
    bias += torch.einsum("pnd,pd->n", gradient, frozen.position_vectors()[:n_seen])
    return Rows(effects, bias)


def back_through_skip(
    context: AttributionContext, layer: int, gradient: Tensor, bias: Tensor
) -> Tensor:
    """Carry gradients to ``resid_mid`` past the features; the norm's bias is added to ``bias``."""
    config, frozen = context.transcoder.config, context.frozen
    if not config.skip_connection:
        return gradient
    vectors = gradient @ context.transcoder.W_skip[layer].detach().T
    bias += frozen.read_constant(layer, vectors, config.read_point).sum(dim=0)
    positions = torch.arange(len(gradient))[:, None]
    return gradient + frozen.back_from_read_point(layer, vectors, positions, config.read_point)


def _add_effects(effects: Tensor, layout: SourceLayout, gradient: Tensor) -> None:
    """Add each source's product with the gradient at its position to its column."""
    n_seen = gradient.shape[0]
    products = torch.bmm(gradient, layout.vectors[:n_seen].mT)  # [n_seen, n, width]
    columns = layout.columns[:n_seen].flatten()
    used = columns >= 0
    flat = products.permute(1, 0, 2).flatten(start_dim=1)
    effects.index_add_(1, columns[used], flat[:, used])
