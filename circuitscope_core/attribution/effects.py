"""Direct effects: gradients carried back through the frozen model, contracted with the sources.

The frozen model is linear, so one pass back gives a target's effects from every source at once.
Targets of one layer go back together; positions to the right of them are never visited. All
sources at one position are slots of one matrix per layer, so that their effects are one matrix
product, added up in place over the layers that a source writes to.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.attribution.context import AttributionContext
from circuitscope_core.attribution.pages import lazy_zeros
from circuitscope_core.transformer import Spread, place

MIN_TARGETS_AT_ONCE = 96
"""Fewer rows than this are not worth a pass back through the model."""

NUMBERS_AT_ONCE = 2**19 * 3 // 2
"""As many rows go back together as have gradients of this size: bounds memory, fits the cache."""

MIN_POSITIONS_AT_ONCE = 8
"""Positions whose sources are contracted together, padded to the fullest of them; more in a narrow
model, in which the call costs more than its work."""


def targets_at_once(n_pos: int, d_model: int) -> int:
    """Return how many rows are computed in one pass back through the model."""
    return max(MIN_TARGETS_AT_ONCE, NUMBERS_AT_ONCE // (n_pos * d_model))


def positions_at_once(d_model: int) -> int:
    """Return how many positions' sources are one block."""
    return max(MIN_POSITIONS_AT_ONCE, 2048 // d_model)


@dataclass(frozen=True)
class Sources:
    """All source nodes, laid out by position.

    Slots of a position: what is constant, then for each layer from the lowest up its error and its
    features. So the slots in use at a layer are the first ones. All positions' slots after one
    another, then all tokens: these are the rows that effects are computed in.
    """

    vectors: tuple[tuple[Float[Tensor, "_ _ d_model"], ...], ...]
    """For each layer, what each slot in use adds to its MLP output; 0 for padding. In blocks of
    positions, each as wide as its fullest position: few features are active at most positions,
    many at some."""
    values: tuple[Float[Tensor, "_ _ d_heads"], ...]
    """What layer 1's heads read of ``vectors[0]``: saves targets the last product on their way."""
    embedded: tuple[Float[Tensor, "n_pos d_model n_pos_plus_1"], ...]
    """What position embeddings, and each token, are at ``resid_mid`` of the two lowest layers:
    there are so few of these that carrying them up is less work than carrying targets down."""
    columns: Int[Tensor, " n_columns"]
    """The row of effects that is every graph column's."""
    constants: Int[Tensor, " n_pos"]
    """The rows of effects that belong to no node."""
    attention_constants: tuple[Float[Tensor, "n_pos d_model"], ...]
    """What each layer's attention writes whatever it reads."""

    @property
    def n_columns(self) -> int:
        """Features, errors and tokens."""
        return len(self.columns)

    @property
    def n_rows(self) -> int:
        """Slots of all positions, padding included, and tokens."""
        slots = sum(block.shape[0] * block.shape[1] for block in self.vectors[-1])
        return slots + len(self.constants)


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
    counts = torch.bincount(layers * n_pos + positions, minlength=n_layers * n_pos)
    starts = counts.cumsum(0) - counts  # features are ordered by layer, then position
    counts, starts = counts.view(n_layers, n_pos), starts.view(n_layers, n_pos)
    up_to = counts.cumsum(0)
    error_slots = 1 + torch.arange(n_layers)[:, None] + up_to - counts
    in_order = torch.arange(len(layers)) - starts[layers, positions]
    slots = error_slots[layers, positions] + 1 + in_order
    used = 2 + torch.arange(n_layers)[:, None] + up_to
    attention = tuple(frozen.attention_constant(layer) for layer in range(n_layers))
    constants = torch.stack(
        [_constant_at_output(context, layer, attention[layer]) for layer in range(n_layers)]
    )
    at_once = positions_at_once(d_model)
    blocks = _room_for_blocks(used.split(at_once, dim=1), d_model)
    for block, found in zip(torch.arange(n_pos).split(at_once), blocks, strict=True):
        for layer, room in enumerate(found):
            room[:, 0] = constants[layer, block]
            errors = context.error_vectors[layer, block]
            room[torch.arange(len(block)), error_slots[layer, block]] = errors
            first = int(starts[layer, block[0]])
            features = slice(first, first + int(counts[layer, block].sum()))
            places = positions[features] - block[0], slots[features]
            _add_decoders(found[layer:], context, features, places)
    widths = torch.cat([torch.full((len(found[-1]),), found[-1].shape[1]) for found in blocks])
    first_rows = widths.cumsum(0) - widths
    tokens = int(widths.sum()) + torch.arange(n_pos)
    columns = torch.cat([first_rows[positions] + slots, (first_rows + error_slots).ravel(), tokens])
    vectors = tuple(zip(*blocks, strict=True))
    values = tuple(frozen.to_values(1, found[0]) for found in blocks) if n_layers > 1 else ()
    embedded = tuple(_carry_up_tokens(context))
    return Sources(vectors, values, embedded, columns, first_rows, attention)


def _room_for_blocks(
    blocks: Sequence[Int[Tensor, "n_layers _"]], d_model: int
) -> list[list[Tensor]]:
    """Return zeros ``[_, used, d_model]`` for every layer of blocks of slots in use.

    One piece of memory: many of different sizes would leave gaps between them.
    """
    shapes = [(block.shape[1], int(width.max()), d_model) for block in blocks for width in block]
    room = lazy_zeros(sum(math.prod(shape) for shape in shapes))
    pieces = room.split([math.prod(shape) for shape in shapes])
    views = [piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)]
    n_layers = len(blocks[0])
    return [views[first : first + n_layers] for first in range(0, len(views), n_layers)]


def _carry_up_tokens(context: AttributionContext) -> Iterator[Tensor]:
    """Yield what the embeddings are at ``resid_mid`` of the two lowest layers."""
    frozen, transcoder = context.frozen, context.transcoder
    constant = frozen.through_attention(0, frozen.position_vectors())[None]
    lowest = torch.cat([constant, frozen.spread_by_attention(0, frozen.token_vectors())])
    yield lowest.permute(1, 2, 0).contiguous()
    if frozen.n_layers > 1:
        read = frozen.through_read_point(0, lowest, transcoder.config.read_point)
        middle = frozen.through_attention(1, lowest + transcoder.skip(0, read))
        yield middle.permute(1, 2, 0).contiguous()


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
    found: Sequence[Tensor],
    context: AttributionContext,
    features: slice,
    places: tuple[Tensor, Tensor],
) -> None:
    """Put what features of one layer, in one block, write to it and those above into ``places``."""
    if features.start == features.stop:
        return
    layers, _, numbers = context.features[features].T
    written = context.transcoder.decoder_rows(int(layers[0]), numbers)
    written = written * context.activations[features, None, None]
    for vectors, part in zip(found, written.unbind(dim=1), strict=False):  # perhaps one layer only
        vectors[places] = part


def feature_rows(
    context: AttributionContext, sources: Sources, targets: Int[Tensor, " n"]
) -> Iterator[tuple[Tensor, Rows]]:
    """Yield the rows of feature nodes, a batch at a time, with the batch's node indices.

    Args:
        context: The prompt's clean pass.
        sources: From ``lay_out_sources``.
        targets: Feature nodes, in graph order; their rows come in the same.
    """
    transcoder = context.transcoder
    layers = context.features[targets, 0]
    at_once = targets_at_once(context.frozen.n_pos, transcoder.config.d_model)
    for layer in layers.unique().tolist():
        for nodes in targets[layers == layer].split(at_once):
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
    effects = start.new_zeros(sources.n_rows, len(start))
    if layer < frozen.n_layers:
        constant += (start * sources.attention_constants[layer][positions]).sum(dim=1)
    if layer < min(2, frozen.n_layers):
        add_embedded(effects, embedded_in_place(start, positions, sources.embedded[layer]))
    if layer == frozen.n_layers:
        gradient = place_targets(context, start, positions)
        carry_back(context, sources, gradient, layer, effects)
    elif layer > 0:
        spread = frozen.back_from_query(layer, start, positions)
        carry_back(context, sources, spread, layer, effects, tokens=layer > 1)
    return collect_rows(sources, effects, constant)


def stream_rows(
    context: AttributionContext,
    sources: Sources,
    layer: int,
    position: int,
    vectors: Float[Tensor, "n d_model"],
    biases: Float[Tensor, " n"],
) -> Rows:
    """Return the rows of vectors' products with the stream before a layer, plus biases."""
    frozen = context.frozen
    effects = vectors.new_zeros(sources.n_rows, len(vectors))
    if layer == 0:
        effects[0] = vectors @ frozen.position_vectors()[position]
        effects[position - frozen.n_pos] = vectors @ frozen.token_vectors()[position]
    else:
        positions = torch.full((len(vectors),), position)
        gradient = place_targets(context, vectors, positions)
        carry_back(context, sources, gradient, layer, effects)
    return collect_rows(sources, effects, biases)


def collect_rows(
    sources: Sources, effects: Float[Tensor, "n_rows n"], constant: Float[Tensor, " n"]
) -> Rows:
    """Put effects into the graph's order."""
    bias = constant + effects.index_select(0, sources.constants).sum(dim=0)
    return Rows(effects.index_select(0, sources.columns).T, bias)


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


def place_targets(
    context: AttributionContext, start: Float[Tensor, "n d_model"], positions: Int[Tensor, " n"]
) -> Float[Tensor, "n_seen d_model n"]:
    """Return gradients that are 0 but at each target's own position."""
    frozen = context.frozen
    return place(start, positions, int(positions.max()) + 1 if frozen.causal else frozen.n_pos)


def carry_back(
    context: AttributionContext,
    sources: Sources,
    start: Float[Tensor, "n_seen d_model n"] | Spread,
    layer: int,
    effects: Float[Tensor, "n_rows n"],
    *,
    tokens: bool = True,
) -> None:
    """Carry gradients at ``resid_pre`` of a layer above 0 down, and add up ``effects``.

    Args:
        context: The prompt's clean pass.
        sources: From ``lay_out_sources``.
        start: The gradients; overwritten.
        layer: May be the number of layers: then they are at the final residual stream.
        effects: What is added to.
        tokens: Whether those of tokens and position embeddings are added, too.
    """
    frozen, skips = context.frozen, context.transcoder.config.skip_connection
    gradient = start.full() if isinstance(start, Spread) else start
    for below in range(layer - 1, 0, -1):
        contract(sources, gradient, sources.vectors[below], effects)
        gradient = back_through_skip(context, below, gradient)
        is_spread = below == layer - 1 and not skips  # what skips differs between positions
        values = frozen.back_to_values(below, start if is_spread else gradient)
        if below > 1:
            frozen.back_from_values(below, gradient, values)
        else:
            contract(sources, values, sources.values, effects)
            add_embedded(effects, contract_embedded(gradient, sources.embedded[below]))
    contract(sources, gradient, sources.vectors[0], effects)
    if layer == 1 and tokens:
        gradient = back_through_skip(context, 0, gradient)
        add_embedded(effects, contract_embedded(gradient, sources.embedded[0]))


def contract(
    sources: Sources,
    gradient: Float[Tensor, "n_seen d n"],
    vectors: Sequence[Float[Tensor, "_ _ d"]],
    effects: Float[Tensor, "n_rows n"],
) -> None:
    """Add every slot's product with the gradient at its position to ``effects``."""
    position = row = 0
    for block, widest in zip(vectors, sources.vectors[-1], strict=True):
        part = gradient[position : position + len(block)]
        end = row + widest.shape[0] * widest.shape[1]
        found = effects[row:end].view(len(block), -1, effects.shape[1])
        found[: len(part), : block.shape[1]] += torch.bmm(block[: len(part)], part)
        position, row = position + len(block), end
        if position >= len(gradient):
            break


def embedded_in_place(
    vectors: Float[Tensor, "n d_model"],
    positions: Int[Tensor, " n"],
    embedded: Float[Tensor, "n_pos d_model n_pos_plus_1"],
) -> Float[Tensor, "n_pos_plus_1 n"]:
    """Return the embeddings' products with vectors that are each at one position."""
    places, counts = positions.unique_consecutive(return_counts=True)
    parts = zip(places.tolist(), vectors.split(counts.tolist()), strict=True)
    return torch.cat([part @ embedded[place] for place, part in parts]).T


def contract_embedded(
    gradient: Float[Tensor, "n_seen d_model n"],
    embedded: Float[Tensor, "n_pos d_model n_pos_plus_1"],
) -> Float[Tensor, "n_pos_plus_1 n"]:
    """Return the embeddings' products with the gradient, added up over positions."""
    return embedded[: len(gradient)].flatten(end_dim=1).T @ gradient.flatten(end_dim=1)


def add_embedded(
    effects: Float[Tensor, "n_rows n"], found: Float[Tensor, "n_pos_plus_1 n"]
) -> None:
    """Put the effects of position embeddings and tokens into their rows."""
    effects[0] += found[0]
    effects[1 - len(found) :] = found[1:]


def back_through_skip(
    context: AttributionContext, layer: int, gradient: Float[Tensor, "n_seen d_model n"]
) -> Float[Tensor, "n_seen d_model n"]:
    """Carry gradients from ``resid_post`` to ``resid_mid`` past the features."""
    config, frozen = context.transcoder.config, context.frozen
    if not config.skip_connection:
        return gradient
    vectors = (context.transcoder.W_skip[layer].detach() @ gradient).mT
    positions = torch.arange(len(gradient))[:, None]
    return gradient + frozen.back_from_read_point(layer, vectors, positions, config.read_point).mT
