"""Direct effects: gradients carried back through the frozen model, contracted with the sources.

The frozen model is linear, so one pass back gives a target's effects from every source at once.
Targets go back in batches, those of higher layers first: the targets of a layer join the others
when these have come down to it. Positions to the right of all targets are never visited. All
sources at one position are slots of one matrix per layer, so that their effects are one matrix
product, added up in place over the layers that a source writes to.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.attribution.sources import Sources
from circuitscope_core.language_model import Spread, scatter
from circuitscope_core.prompt_pass import PromptPass
from circuitscope_core.values import one_line


@one_line
@dataclass(frozen=True)
class Rows:
    """Some targets' direct effects and constants."""

    effects: Float[Tensor, "n n_columns"]
    bias: Float[Tensor, " n"]
    rest: Float[Tensor, "n n_rest"]
    """Direct effects of the features that are no nodes, for each layer and position; no column
    where all are nodes."""

    @classmethod
    def joined(cls, parts: Sequence["Rows"]) -> "Rows":
        """Return the rows of several passes as those of one."""
        return cls(
            torch.cat([part.effects for part in parts]),
            torch.cat([part.bias for part in parts]),
            torch.cat([part.rest for part in parts]),
        )


@one_line
@dataclass(frozen=True)
class Reads:
    """Vectors that read one layer, each at a position: their products are the targets' values."""

    layer: int
    """The layer whose read point it is; the number of layers: the final norm's output."""
    positions: Int[Tensor, " n"]
    vectors: Float[Tensor, "n d_model"]
    biases: Float[Tensor, " n"]
    """Added to the products."""

    def __len__(self) -> int:
        return len(self.positions)

    def split(self, n: int) -> list["Reads"]:
        """Return the vectors in at most ``n`` parts of about the same size."""
        parts = zip(
            self.positions.chunk(n), self.vectors.chunk(n), self.biases.chunk(n), strict=True
        )
        return [Reads(self.layer, *part) for part in parts]


@dataclass(frozen=True)
class Start:
    """The gradients of one layer's targets, where they join those of higher layers."""

    below: int
    """The layer after which they are at the stream; -1: before the lowest."""
    columns: Spread


def rows_of(clean: PromptPass, sources: Sources, reads: Sequence[Reads]) -> Rows:
    """Return the rows of vectors that read some layers, in one pass back from the highest.

    Args:
        clean: The prompt's clean pass.
        sources: From ``lay_out_sources``.
        reads: One for each layer, from the lowest up. The rows are in the same order.
    """
    n_seen = clean.frozen.n_seen(torch.cat([read.positions for read in reads]))
    effects = clean.activations.new_zeros(sources.n_rows, sum(map(len, reads)))
    starts, n_done, n_lowest = [], 0, 0
    for read in reads:
        start = start_vectors(clean, read.layer, read.positions, read.vectors)
        if in_place := len(sources.tokens) > read.layer:
            found = tokens_in_place(start, read.positions, sources.tokens[read.layer])
            add_tokens(sources, effects[:, n_done : n_done + len(read)], found)
        n_done += len(read)
        if in_place and read.layer == 0:
            n_lowest = n_done
        else:
            starts.append(start_of(clean, read.layer, read.positions, start, n_seen))
    if starts:
        carry_back(clean, sources, starts, effects[:, n_lowest:])
    return collect_rows(sources, effects, torch.cat([silent_values(clean, read) for read in reads]))


def stream_rows(
    clean: PromptPass,
    sources: Sources,
    layer: int,
    position: int,
    vectors: Float[Tensor, "n d_model"],
    biases: Float[Tensor, " n"],
) -> Rows:
    """Return the rows of vectors' products with the stream before a layer, plus biases.

    ``sources`` must be such that targets are carried down to the tokens.
    """
    positions = torch.full((len(vectors),), position, device=vectors.device)
    effects = vectors.new_zeros(sources.n_rows, len(vectors))
    columns = clean.frozen.at_positions(vectors, positions, clean.frozen.n_seen(positions))
    carry_back(clean, sources, [Start(layer - 1, columns)], effects)
    silent = vectors @ clean.silenced.streams[layer, position]
    return collect_rows(sources, effects, silent + biases)


def silent_values(clean: PromptPass, read: Reads) -> Float[Tensor, " n"]:
    """Return the values of targets with every node at 0."""
    last = read.layer == clean.frozen.n_layers
    silent = clean.silenced.final if last else clean.silenced.reads[read.layer]
    return (read.vectors * silent[read.positions]).sum(dim=1) + read.biases


def collect_rows(
    sources: Sources, effects: Float[Tensor, "n_rows n"], bias: Float[Tensor, " n"]
) -> Rows:
    """Put effects into the graph's order."""
    picked = effects.index_select(0, sources.columns)
    rest = effects.index_select(0, sources.rest_columns)
    return Rows(picked.T, bias, rest.T)


def start_vectors(
    clean: PromptPass, layer: int, positions: Tensor, vectors: Tensor
) -> Float[Tensor, "n d_model"]:
    """Carry vectors from a layer's read point, or the final norm's output, to the stream."""
    if layer == clean.frozen.n_layers:
        return clean.frozen.back_from_final_norm(vectors, positions)
    return clean.frozen.back_from_read_point(layer, vectors, positions)


def start_of(clean: PromptPass, layer: int, positions: Tensor, start: Tensor, n_seen: int) -> Start:
    """Return targets of a layer as gradients of the stream before it.

    Where the layer's encoder reads behind attention, they are carried through that.
    """
    frozen = clean.frozen
    if layer == frozen.n_layers or frozen.starts_before_attention(layer):
        return Start(layer - 1, frozen.at_positions(start, positions, n_seen))
    return Start(layer - 1, frozen.back_from_query(layer, start, positions, n_seen))


def scatter_targets(
    clean: PromptPass, start: Float[Tensor, "n d_model"], positions: Int[Tensor, " n"]
) -> Float[Tensor, "n_seen n d_model"]:
    """Return gradients that are 0 but at each target's own position."""
    return scatter(start, positions, clean.frozen.n_seen(positions))


def carry_back(
    clean: PromptPass, sources: Sources, starts: Sequence[Start], effects: Float[Tensor, "n_rows n"]
) -> None:
    """Carry gradients down to the lowest layer, and add up ``effects``.

    Args:
        clean: The prompt's clean pass.
        sources: From ``lay_out_sources``.
        starts: From the lowest layer up, which is the order of the columns.
        effects: Added to.
    """
    n_seen, n_all = starts[0].columns.weights.shape[1], effects.shape[1]
    gradient = effects.new_empty(n_seen, 0, clean.error_vectors.shape[2])
    waiting = list(starts)
    lowest = 1 if sources.tokens else 0
    for layer in range(starts[-1].below, lowest - 2, -1):
        if n := gradient.shape[1]:
            own = effects[:, n_all - n :]
            contract(sources, gradient, layer + 1, sources.vectors[layer + 1], own)
            gradient = back_through_layer(clean, sources, layer + 1, gradient, own)
        if waiting and waiting[-1].below == layer:
            joined = waiting.pop().columns.full()
            gradient = torch.cat([joined, gradient], dim=1) if n else joined
    if sources.tokens:
        contract(sources, gradient, 0, sources.vectors[0], effects)
    else:
        tokens = clean.frozen.record.token_vectors[:n_seen, :, None]
        found = effects[sources.n_rows - sources.n_pos :][:n_seen]
        found += torch.bmm(gradient, tokens)[..., 0]


def back_through_layer(
    clean: PromptPass,
    sources: Sources,
    layer: int,
    gradient: Float[Tensor, "n_seen n d_model"],
    effects: Float[Tensor, "n_rows n"],
) -> Float[Tensor, "n_seen n d_model"]:
    """Carry gradients of the stream after a layer to the stream before it; they are overwritten.

    At layer 1, where tokens were carried up to it, their effects and those of layer 0 through
    attention are added: the gradient then stays behind attention.
    """
    frozen = clean.frozen
    before_attention = frozen.starts_before_attention(layer)
    skipped = back_through_skip(clean, layer, gradient)
    gradient = frozen.back_from_end_norm(layer, gradient)
    if skipped is not None and not before_attention:
        gradient += skipped
    at_tokens = layer == 1 and len(sources.tokens) > 0
    if at_tokens and not before_attention:
        add_tokens(sources, effects, contract_tokens(gradient, sources.tokens[1]))
    gradient = frozen.back_from_mid_norm(layer, gradient)
    values = frozen.back_to_values(layer, gradient)
    if at_tokens and not before_attention:
        contract(sources, values, 0, sources.values, effects)
        return gradient
    frozen.back_from_values(layer, gradient, values)
    if skipped is not None and before_attention:
        gradient += skipped
    if at_tokens:
        add_tokens(sources, effects, contract_tokens(gradient, sources.tokens[1]))
    return gradient


def contract(
    sources: Sources,
    gradient: Float[Tensor, "n_seen n d"],
    layer: int,
    vectors: Sequence[Float[Tensor, "_ _ d"]],
    effects: Float[Tensor, "n_rows n"],
) -> None:
    """Add every slot's product with the gradient at its position to ``effects``.

    Args:
        sources: Say where the rows of a block's slots are.
        gradient: At the first ``n_seen`` positions.
        layer: The layer whose slots these are.
        vectors: Their vectors, in blocks of positions.
        effects: Added to.
    """
    parts = gradient.mT.split(len(vectors[0]))
    for part, block, rows in zip(parts, vectors, sources.block_rows, strict=False):
        found = effects[rows.first : rows.end].unflatten(0, (len(block), -1))
        first = rows.offsets[layer]
        here = found[: len(part), first : first + block.shape[1]]
        here.baddbmm_(block[: len(part)], part)


def tokens_in_place(
    vectors: Float[Tensor, "n d_model"],
    positions: Int[Tensor, " n"],
    tokens: Float[Tensor, "n_pos d_model n_tokens"],
) -> Float[Tensor, "n_tokens n"]:
    """Return the tokens' products with vectors that are each at one position."""
    places, counts = positions.unique_consecutive(return_counts=True)
    parts = zip(places.tolist(), vectors.split(counts.tolist()), strict=True)
    return torch.cat([part @ tokens[place] for place, part in parts]).T


def contract_tokens(
    gradient: Float[Tensor, "n_seen n d_model"], tokens: Float[Tensor, "n_pos d_model n_tokens"]
) -> Float[Tensor, "n_tokens n"]:
    """Return the tokens' products with the gradient, added up over positions."""
    by_target = gradient.transpose(0, 1).flatten(start_dim=1)
    return tokens[: len(gradient)].flatten(end_dim=1).T @ by_target.T


def add_tokens(
    sources: Sources, effects: Float[Tensor, "n_rows n"], found: Float[Tensor, "n_tokens n"]
) -> None:
    """Add the effects of tokens, which have the last rows."""
    effects[sources.n_rows - sources.n_pos :] += found


def back_through_skip(
    clean: PromptPass, layer: int, gradient: Float[Tensor, "n_seen n d_model"]
) -> Float[Tensor, "n_seen n d_model"] | None:
    """Carry gradients of the stream after a layer past the features to the stream it reads.

    None where nothing goes past the features.
    """
    features, frozen = clean.replacement.transcoder, clean.frozen
    if not features.shape.skip_connection:
        return None
    written = frozen.back_from_write_point(layer, gradient)
    vectors = features.back_through_skip(layer, written)
    positions = torch.arange(len(gradient), device=gradient.device)[:, None]
    return frozen.back_from_read_point(layer, vectors, positions)
