"""The sources of a prompt's graph, laid out so that their effects are few matrix products."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.attribution.rest import Rest
from circuitscope_core.cores import map_on_cores, n_cores, one_core
from circuitscope_core.graph.lazy_memory import lazy_zeros
from circuitscope_core.prompt_pass import PromptPass
from circuitscope_core.values import one_line

MOST_TOKEN_BYTES = 128 * 2**20
"""Memory in which tokens are carried up to the lowest layers; beyond, targets are carried down."""

MIN_POSITIONS_AT_ONCE = 8
"""Positions whose sources are contracted together, padded to the fullest of them; more in a narrow
model, in which the call costs more than its work."""


NUMBERS_FOR_CORES = 2**26
"""Numbers in all targets' gradients, over all layers, from which on several cores are faster."""


def cores_for(clean: PromptPass, n_targets: int) -> int:
    """Return how many cores compute parts of a graph side by side.

    Another device computes by itself, and small graphs gain nothing from a second core.
    """
    large = n_targets * clean.error_vectors.numel() >= NUMBERS_FOR_CORES
    return n_cores() if large and clean.features.is_cpu else 1


def positions_at_once(d_model: int) -> int:
    """Return how many positions' sources are one block."""
    return max(MIN_POSITIONS_AT_ONCE, 2048 // d_model)


@dataclass(frozen=True)
class BlockRows:
    """The rows of effects that a block of positions has, the slots of a position side by side."""

    first: int
    n_pos: int
    stride: int
    """Slots of one position."""
    offsets: tuple[int, ...]
    """First slot of each layer in use, within a position's slots."""

    @property
    def end(self) -> int:
        """The row after the last."""
        return self.first + self.n_pos * self.stride


@one_line
@dataclass(frozen=True)
class Sources:
    """All source nodes, laid out by position.

    Slots of a position hold, for each layer from the lowest up, its error, the sum of its features
    that are no nodes where there are any, and the features that are. A
    source of a cross-layer dictionary is in use at its own layer and at all above it, so the slots
    in use at a layer are the first ones. A source that writes to its own layer alone is in use
    there only, and each layer has slots of its own. All positions' slots after one another, then
    all tokens: these are the rows that effects are computed in.
    """

    vectors: tuple[tuple[Float[Tensor, "_ _ d_model"], ...], ...]
    """For each layer, what each slot in use adds to the stream after it; 0 for padding. In blocks
    of positions, each as wide as its fullest position: few features are active at most positions,
    many at some."""
    values: tuple[Float[Tensor, "_ _ d_values"], ...]
    """The values that layer 1's heads have of ``vectors[0]``: saves targets the last product on
    their way."""
    tokens: tuple[Float[Tensor, "n_pos d_model n_pos"], ...]
    """Each token in the stream that the two lowest layers' encoders read: while tokens are few,
    carrying them up is less work than carrying targets down. Empty where targets are carried down
    to the tokens."""
    n_pos: int
    block_rows: tuple[BlockRows, ...]
    columns: Int[Tensor, " n_columns"]
    """The row of effects that is every graph column's."""
    rest_columns: Int[Tensor, " n_rest"]
    """The row of effects of the features that are no nodes, one for each layer and position; empty
    where all are nodes."""

    @property
    def n_columns(self) -> int:
        """Features, errors and tokens."""
        return len(self.columns)

    @property
    def n_rows(self) -> int:
        """Slots of all positions, padding included, and tokens."""
        return self.block_rows[-1].end + self.n_pos

    @property
    def n_bytes(self) -> int:
        """Memory of the sources' vectors."""
        return sum(block.nbytes for blocks in self.vectors for block in blocks)


@dataclass(frozen=True)
class _Slots:
    """Where each source of a prompt stands among the slots of its position."""

    starts: Int[Tensor, "n_layers n_pos"]
    """The first feature of each layer and position."""
    counts: Int[Tensor, "n_layers n_pos"]
    """Features of each layer and position."""
    used: Int[Tensor, "n_layers n_pos"]
    """Slots in use at each layer."""
    errors: Int[Tensor, "n_layers n_pos"]
    """The error's slot, counted from the layer's first one; behind it the rest's."""
    features: Int[Tensor, " n_features"]
    """Each feature's slot, likewise."""

    @classmethod
    def of(cls, clean: PromptPass, n_others: int) -> "_Slots":
        """Return the slots of a prompt's sources, ``n_others`` besides features in each layer."""
        n_layers, n_pos, _ = clean.error_vectors.shape
        layers, positions, _ = clean.features.T
        counts = torch.bincount(layers * n_pos + positions, minlength=n_layers * n_pos)
        starts = counts.cumsum(0) - counts  # features are ordered by layer, then position
        counts, starts = counts.view(n_layers, n_pos), starts.view(n_layers, n_pos)
        every = torch.arange(n_layers, device=counts.device)[:, None]
        if clean.replacement.transcoder.shape.cross_layer:
            used = n_others * (1 + every) + counts.cumsum(0)
            errors = used - counts - n_others
        else:
            used, errors = n_others + counts, torch.zeros_like(counts)
        in_order = torch.arange(len(layers), device=counts.device) - starts[layers, positions]
        slots = errors[layers, positions] + n_others + in_order
        return cls(starts, counts, used, errors, slots)


def lay_out_sources(
    clean: PromptPass, rest: Rest | None = None, *, carry_tokens: bool | None = None
) -> Sources:
    """Gather every source's contribution to the stream after each layer.

    Args:
        clean: The prompt's clean pass, whose features are the nodes.
        rest: The active features that are no nodes; None: there are none.
        carry_tokens: Whether tokens are carried up to the lowest layers, or targets down to the
            tokens; None: the one that is less work, in little memory.
    """
    frozen = clean.frozen
    n_layers, n_pos, d_model = clean.error_vectors.shape
    layers, positions, _ = clean.features.T
    slots = _Slots.of(clean, 1 if rest is None else 2)
    places = torch.arange(n_pos, device=positions.device).split(positions_at_once(d_model))
    widths = [tuple(slots.used[:, block].amax(dim=1).tolist()) for block in places]
    blocks = _room_for_blocks(places, widths, d_model, like=clean.error_vectors)

    def fill(number: int) -> None:
        block, found = places[number], blocks[number]
        for layer in range(n_layers):
            _fill_layer(clean, slots, block, layer, found)
            if rest is not None:
                _fill_rest(clean, slots, rest, block, layer, found)

    cores = cores_for(clean, len(clean.features))
    for _ in map_on_cores(fill, range(len(places)), cores):
        pass
    rows = tuple(_rows_of_blocks(clean, places, widths))
    starts = torch.cat([_first_rows(item, positions) for item in rows], dim=1)
    errors = (starts + slots.errors).ravel()
    tokens = rows[-1].end + torch.arange(n_pos, device=positions.device)
    columns = torch.cat([starts[layers, positions] + slots.features, errors, tokens])
    vectors = tuple(zip(*blocks, strict=True))
    if carry_tokens is None:
        carry_tokens = tokens_go_up(clean)
    at_values = carry_tokens and not frozen.starts_before_attention(1)
    lowest = [found[0] for found in blocks] if at_values else []
    values = tuple(map_on_cores(lambda found: frozen.to_values(1, found), lowest, cores))
    with one_core():
        carried = tuple(_carry_up_tokens(clean)) if carry_tokens else ()
    of_rest = columns[:0] if rest is None else errors + 1
    return Sources(vectors, values, carried, n_pos, rows, columns, of_rest)


def tokens_go_up(clean: PromptPass) -> bool:
    """Return whether carrying tokens up is less work than carrying targets down, in little memory.

    A target then has a product with every token at every position, in the place of the lowest
    layer's weights.
    """
    n_layers, n_pos, d_model = clean.error_vectors.shape
    d_heads = clean.frozen.record.layers[0].W_O.shape[:2].numel()
    n_bytes = 2 * n_pos**2 * d_model * clean.error_vectors.itemsize
    return n_layers > 1 and n_pos <= d_heads and n_bytes <= MOST_TOKEN_BYTES


def _first_rows(rows: BlockRows, like: Tensor) -> Int[Tensor, "n_layers n_here"]:
    """Return the row at which each layer's slots begin, for every position of a block."""
    positions = rows.first + rows.stride * torch.arange(rows.n_pos, device=like.device)
    return like.new_tensor(rows.offsets)[:, None] + positions


def _rows_of_blocks(
    clean: PromptPass, places: Sequence[Tensor], widths: Sequence[tuple[int, ...]]
) -> Iterator[BlockRows]:
    """Yield where each block's slots are among the rows of effects."""
    cross_layer = clean.replacement.transcoder.shape.cross_layer
    first = 0
    for block, used in zip(places, widths, strict=True):
        if cross_layer:
            offsets, stride = (0,) * len(used), used[-1]
        else:
            offsets = tuple(sum(used[:layer]) for layer in range(len(used)))
            stride = sum(used)
        yield BlockRows(first, len(block), stride, offsets)
        first += len(block) * stride


def _room_for_blocks(
    places: Sequence[Tensor], widths: Sequence[tuple[int, ...]], d_model: int, like: Tensor
) -> list[list[Tensor]]:
    """Return zeros ``[_, used, d_model]`` for every layer of blocks of slots in use.

    One piece of memory: many of different sizes would leave gaps between them.
    """
    shapes = [
        (len(block), width, d_model)
        for block, used in zip(places, widths, strict=True)
        for width in used
    ]
    room = lazy_zeros(sum(math.prod(shape) for shape in shapes), like=like)
    pieces = room.split([math.prod(shape) for shape in shapes])
    views = [piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)]
    n_layers = len(widths[0])
    return [views[first : first + n_layers] for first in range(0, len(views), n_layers)]


def _fill_layer(
    clean: PromptPass,
    slots: _Slots,
    block: Int[Tensor, " n_here"],
    layer: int,
    found: Sequence[Float[Tensor, "n_here _ d_model"]],
) -> None:
    """Put one layer's errors and features into a block's slots, at every layer they write to."""
    frozen = clean.frozen
    errors = frozen.through_write_point(layer, clean.error_vectors[layer, block], block)
    here = torch.arange(len(block), device=block.device)
    found[layer][here, slots.errors[layer, block]] = errors
    first = int(slots.starts[layer, block[0]])
    nodes = slice(first, first + int(slots.counts[layer, block].sum()))
    _, positions, numbers = clean.features[nodes].T
    places = positions - block[0], slots.features[nodes]
    written = clean.replacement.transcoder.decoder_rows(layer, numbers)
    written = written * clean.activations[nodes, None, None]
    for step, part in enumerate(written.unbind(dim=1)):
        found[layer + step][places] = frozen.through_write_point(layer + step, part, positions)


def _fill_rest(
    clean: PromptPass,
    slots: _Slots,
    rest: Rest,
    block: Int[Tensor, " n_here"],
    layer: int,
    found: Sequence[Float[Tensor, "n_here _ d_model"]],
) -> None:
    """Put the sum of one layer's features that are no nodes into a block's slots."""
    here = torch.arange(len(block), device=block.device)
    slot = slots.errors[layer, block] + 1
    for step, part in enumerate(rest.written[layer]):
        reached = clean.frozen.through_write_point(layer + step, part[block], block)
        found[layer + step][here, slot] = reached


def _carry_up_tokens(clean: PromptPass) -> Iterator[Tensor]:
    """Yield each token in the stream that the two lowest layers' encoders read."""
    frozen, features = clean.frozen, clean.replacement.transcoder
    vectors = frozen.record.token_vectors
    places = torch.arange(len(vectors), device=vectors.device)
    before = vectors.new_zeros(len(vectors), *vectors.shape)
    before[places, places] = vectors
    after = frozen.spread_by_attention(0, vectors)
    lowest = before if frozen.starts_before_attention(0) else after
    yield lowest.permute(1, 2, 0).contiguous()
    read = frozen.through_read_point(0, lowest)
    skipped = features.skip(0, read)
    skipped = frozen.through_write_point(0, skipped, places)
    middle = frozen.through_end_norm(0, after) + skipped
    if not frozen.starts_before_attention(1):
        middle = frozen.through_attention(1, middle)
    yield middle.permute(1, 2, 0).contiguous()
