"""Direct effects: gradients carried back through the frozen model, contracted with the sources.

The frozen model is linear, so one pass back gives a target's effects from every source at once.
Targets of one layer go back together; positions to the right of them are never visited. All
sources at one position are slots of one matrix per layer, so that their effects are one matrix
product, added up in place over the layers that a source writes to.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.attribution.context import AttributionContext

TARGETS_AT_ONCE = 128
"""Rows computed together: bounds the memory of one pass back, and keeps it in the cache."""


@dataclass(frozen=True)
class Sources:
    """All source nodes, laid out by position.

    Slots of a position: 0 for what is constant, then the errors of every layer, then the features
    from the lowest layer up, and its token last. So the slots in use at a layer are the first ones.
    """

    n_slots: int
    vectors: tuple[Float[Tensor, "n_pos _ d_model"], ...]
    """What each slot in use adds to a layer's MLP output; 0 for padding."""
    embedded: Float[Tensor, "n_pos n_pos_plus_1 d_model"]
    """What position embeddings, and each token, are at layer 0's ``resid_mid``: there are so few
    of these sources that carrying them up once is less work than carrying every target down."""
    columns: Int[Tensor, " n_columns"]
    """Position and slot of every graph column, as an index into ``[n_pos, n_slots]``."""
    attention_constants: tuple[Float[Tensor, "n_pos d_model"], ...]
    """What each layer's attention writes whatever it reads."""

    @property
    def n_columns(self) -> int:
        """Features, errors and tokens."""
        return len(self.columns)


@dataclass(frozen=True)
class Rows:
    """Some targets' direct effects and constants."""

    effects: Float[Tensor, "n n_columns"]
    bias: Float[Tensor, " n"]


def lay_out_sources(context: AttributionContext) -> Sources:
    """Gather every source's contribution to every MLP output."""
    frozen = context.frozen
    n_layers, n_pos, d_model = context.error_vectors.shape
    layers, positions, _ = context.features.T
    by_position = positions.argsort(stable=True)  # lower layers first within a position
    counts = torch.bincount(positions, minlength=n_pos)
    rank = torch.empty_like(by_position)
    starts = counts.cumsum(0) - counts
    rank[by_position] = torch.arange(len(rank)) - starts[positions[by_position]]
    slots = 1 + n_layers + rank
    n_slots = 2 + n_layers + int(counts.max())
    attention = tuple(frozen.attention_constant(layer) for layer in range(n_layers))
    vectors = []
    for layer in range(n_layers):
        reached = layers <= layer
        used = 1 + n_layers + int(torch.bincount(positions[reached], minlength=1).max())
        found = torch.zeros(n_pos, used, d_model)
        found[:, 0] = _constant_at_output(context, layer, attention[layer])
        found[:, 1 + layer] = context.error_vectors[layer]
        for source_layer in range(layer + 1):
            _add_decoders(found, context, source_layer, layer, slots)
        vectors.append(found)
    every = torch.arange(n_pos)
    errors = (every * n_slots)[None] + 1 + torch.arange(n_layers)[:, None]
    columns = [positions * n_slots + slots, errors.flatten(), every * n_slots + n_slots - 1]
    constant = frozen.through_attention(0, frozen.position_vectors())[:, None]
    embedded = torch.cat([constant, frozen.spread_by_attention(0, frozen.token_vectors())], dim=1)
    return Sources(n_slots, tuple(vectors), embedded, torch.cat(columns), attention)


def _constant_at_output(context: AttributionContext, layer: int, attention: Tensor) -> Tensor:
    """Return all that one layer adds to its ``resid_post`` whatever it reads ``[n_pos, d_model]``.

    That is the MLP output's own constant, attention's, and what of both goes through the skip.
    """
    transcoder, frozen = context.transcoder, context.frozen
    constant = context.constant_outputs[layer] + attention
    if not transcoder.config.skip_connection:
        return constant
    read_point = transcoder.config.read_point
    through = frozen.through_read_point(layer, attention, read_point)
    read_bias = frozen.read_constant(layer, torch.eye(attention.shape[1]), read_point)
    return constant + transcoder.skip(layer, through + read_bias)


def _add_decoders(
    found: Tensor, context: AttributionContext, source_layer: int, layer: int, slots: Tensor
) -> None:
    """Put what one layer's features write to a layer's MLP output into their slots."""
    decoders = context.transcoder.W_dec[source_layer].detach()
    step = layer - source_layer
    if step >= decoders.shape[1]:
        return
    at = context.features[:, 0] == source_layer
    _, positions, numbers = context.features[at].T
    found[positions, slots[at]] = decoders[numbers, step] * context.activations[at, None]


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
    frozen = context.frozen
    start, constant = start_vectors(context, layer, positions, vectors)
    constant = constant + biases
    effects = start.new_zeros(len(start), frozen.n_pos, sources.n_slots)
    if layer < frozen.n_layers:
        constant += (start * sources.attention_constants[layer][positions]).sum(dim=1)
    if layer == 0:
        add_embedded(effects, torch.bmm(sources.embedded[positions], start[:, :, None])[..., 0])
    elif layer < frozen.n_layers:
        carry_back(
            context, sources, frozen.back_from_query(layer, start, positions), layer, effects
        )
    else:
        gradient = place(start, positions, frozen.n_pos, causal=frozen.causal)
        carry_back(context, sources, gradient, layer, effects)
    bias = constant + effects[:, :, 0].sum(dim=1)
    return Rows(effects.flatten(start_dim=1).index_select(1, sources.columns), bias)


def start_vectors(
    context: AttributionContext, layer: int, positions: Tensor, vectors: Tensor
) -> tuple[Float[Tensor, "n d_model"], Float[Tensor, " n"]]:
    """Carry vectors to ``resid_mid`` of a layer or the final stream; also what biases give."""
    frozen = context.frozen
    if layer == frozen.n_layers:
        return frozen.back_from_final_norm(vectors), frozen.final_constant(vectors)
    read_point = context.transcoder.config.read_point
    start = frozen.back_from_read_point(layer, vectors, positions, read_point)
    return start, frozen.read_constant(layer, vectors, read_point)


def place(
    start: Float[Tensor, "n d_model"], positions: Int[Tensor, " n"], n_pos: int, *, causal: bool
) -> Float[Tensor, "n_seen n d_model"]:
    """Return gradients that are 0 but at each target's own position."""
    n_seen = int(positions.max()) + 1 if causal else n_pos
    gradient = start.new_zeros(n_seen, *start.shape)
    gradient[positions, torch.arange(len(start))] = start
    return gradient


def carry_back(
    context: AttributionContext,
    sources: Sources,
    gradient: Float[Tensor, "n_seen n d_model"],
    layer: int,
    effects: Float[Tensor, "n n_pos n_slots"],
) -> None:
    """Carry gradients at ``resid_pre`` of a layer above 0 down, and add up ``effects``.

    ``layer`` may be the number of layers: then the gradients are at the final residual stream.
    """
    n_seen = len(gradient)
    by_position = effects.transpose(0, 1)[:n_seen]
    for below in range(layer - 1, -1, -1):
        vectors = sources.vectors[below][:n_seen]
        by_position[..., : vectors.shape[1]] += torch.bmm(gradient, vectors.mT)
        gradient = back_through_skip(context, below, gradient)
        if below > 0:
            gradient = context.frozen.back_through_attention(below, gradient)
    add_embedded(effects, torch.bmm(gradient, sources.embedded[:n_seen].mT).sum(dim=0))


def add_embedded(
    effects: Float[Tensor, "n n_pos n_slots"], found: Float[Tensor, "n n_pos_plus_1"]
) -> None:
    """Put the effects of position embeddings and tokens into their slots."""
    effects[:, 0, 0] += found[:, 0]
    effects[:, :, -1] = found[:, 1:]


def back_through_skip(
    context: AttributionContext, layer: int, gradient: Float[Tensor, "n_seen n d_model"]
) -> Float[Tensor, "n_seen n d_model"]:
    """Carry gradients from ``resid_post`` to ``resid_mid`` past the features."""
    config, frozen = context.transcoder.config, context.frozen
    if not config.skip_connection:
        return gradient
    vectors = gradient @ context.transcoder.W_skip[layer].detach().T
    positions = torch.arange(len(gradient))[:, None]
    return gradient + frozen.back_from_read_point(layer, vectors, positions, config.read_point)
