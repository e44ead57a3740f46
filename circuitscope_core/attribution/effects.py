"""Direct effects: gradients carried back through the frozen model, contracted with the sources.

The frozen model is linear, so one pass back gives a target's effects from every source at once.
Targets go back in batches; positions to the right of them are never visited. All
sources at one position are slots of one matrix per layer, so that their effects are one matrix
product, added up in place over the layers that a source writes to.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.attribution.sources import Sources
from circuitscope_core.language_model import Spread, scatter
from circuitscope_core.prompt_pass import PromptPass
from circuitscope_core.values import one_line

LOWEST_JOINED = 2
"""The lowest layer whose targets go back together with those of other layers."""


@one_line
@dataclass(frozen=True)
class Rows:
    """Some targets' direct effects and constants."""

    effects: Float[Tensor, "n n_columns"]
    bias: Float[Tensor, " n"]


def feature_rows(
    clean: PromptPass, sources: Sources, targets: Int[Tensor, " n"]
) -> Iterator[tuple[Tensor, Rows]]:
    """Yield the rows of feature nodes, a batch at a time, with the batch's node indices.

    Args:
        clean: The prompt's clean pass.
        sources: From ``lay_out_sources``.
        targets: Feature nodes, in graph order; their rows come in the same.
    """
    layers = clean.features[targets, 0]
    d_model = clean.error_vectors.shape[2]
    at_once = clean.replacement.compute.rows_at_once(clean.n_pos, d_model)
    for nodes in targets.split(batch_sizes(layers, at_once)):
        layer = int(clean.features[nodes[0], 0])
        if layer < int(clean.features[nodes[-1], 0]):
            yield nodes, rows_of_layers(clean, sources, nodes)
            continue
        vectors, biases = clean.vectors_of(nodes)
        positions = clean.features[nodes, 1]
        yield nodes, direction_rows(clean, sources, layer, positions, vectors, biases)


def batch_sizes(layers: Int[Tensor, " n"], at_once: int) -> list[int]:
    """Return how many targets go back together, batch by batch.

    A batch is of one layer where that has targets enough; a few of each layer go together, since a
    pass back takes nearly as long for five targets as for fifty. The lowest two layers, whose
    tokens are looked at in another way, stay alone.

    Args:
        layers: Of the targets, rising.
        at_once: Most targets of a batch.
    """
    sizes: list[int] = []
    joined = 0
    for layer, count in zip(
        *(part.tolist() for part in layers.unique_consecutive(return_counts=True)), strict=True
    ):
        alone = layer < LOWEST_JOINED or count >= at_once // 2
        if joined and (alone or joined + count > at_once):
            sizes.append(joined)
            joined = 0
        if alone:
            sizes += [min(at_once, count - start) for start in range(0, count, at_once)]
        else:
            joined += count
    return [*sizes, joined] if joined else sizes


def rows_of_layers(clean: PromptPass, sources: Sources, nodes: Int[Tensor, " n"]) -> Rows:
    """Return the rows of feature nodes of several layers, in one pass back from the highest.

    Args:
        clean: The prompt's clean pass.
        sources: From ``lay_out_sources``.
        nodes: In graph order, none of the lowest two layers.
    """
    frozen, layers = clean.frozen, clean.features[nodes, 0]
    n_seen = frozen.n_seen(clean.features[nodes, 1])
    joining: dict[int, Tensor] = {}
    biases = []
    for layer in layers.unique().flip(0).tolist():
        own = nodes[layers == layer]
        vectors, own_biases = clean.vectors_of(own)
        positions = clean.features[own, 1]
        start = start_vectors(clean, layer, positions, vectors)
        joining[layer] = scatter(start, positions, n_seen)
        silent = clean.silenced.reads[layer, positions]
        biases.append((vectors * silent).sum(dim=1) + own_biases)
    effects = clean.activations.new_zeros(sources.n_rows, len(nodes))
    carry_layers_back(clean, sources, joining, effects)
    # columns and biases are from the highest layer down; the rows are wanted from the lowest up
    counts = [len(part) for part in biases]
    places = torch.arange(len(nodes), device=nodes.device).split(counts)
    return collect_rows(sources, effects[:, torch.cat(places[::-1])], torch.cat(biases[::-1]))


def carry_layers_back(
    clean: PromptPass,
    sources: Sources,
    joining: Mapping[int, Float[Tensor, "n_seen d_model _"]],
    effects: Float[Tensor, "n_rows n"],
) -> None:
    """Carry gradients of several layers' read points down together, and add up ``effects``.

    Args:
        clean: The prompt's clean pass.
        sources: From ``lay_out_sources``.
        joining: Gradients by the layer that they join at, from the highest down: there they are at
            the stream that the layer's encoder reads.
        effects: Added to; columns in the order of ``joining``.
    """
    frozen, highest = clean.frozen, max(joining)
    gradient = joining[highest][:, :, :0]
    for layer in range(highest, 0, -1):
        if n_joined := gradient.shape[2]:
            contract(sources, gradient, layer, sources.vectors[layer], effects[:, :n_joined])
        skipped = back_through_skip(clean, layer, gradient)
        gradient = frozen.back_from_end_norm(layer, gradient)
        before_attention = frozen.starts_before_attention(layer)
        if skipped is not None and not before_attention:
            gradient = gradient + skipped
        if layer in joining and not before_attention:
            gradient = torch.cat([gradient, joining[layer]], dim=2)
        if layer == 1 and not before_attention:
            add_tokens(effects, contract_tokens(gradient, sources.tokens[1]))
        gradient = frozen.back_from_mid_norm(layer, gradient)
        values = frozen.back_to_values(layer, gradient)
        if layer == 1 and not before_attention:
            contract(sources, values, 0, sources.values, effects)
            break
        frozen.back_from_values(layer, gradient, values)
        if skipped is not None and before_attention:
            gradient = gradient + skipped
        if layer in joining and before_attention:
            gradient = torch.cat([gradient, joining[layer]], dim=2)
        if layer == 1:
            add_tokens(effects, contract_tokens(gradient, sources.tokens[1]))
    contract(sources, gradient, 0, sources.vectors[0], effects)


def direction_rows(
    clean: PromptPass,
    sources: Sources,
    layer: int,
    positions: Int[Tensor, " n"],
    vectors: Float[Tensor, "n d_model"],
    biases: Float[Tensor, " n"],
) -> Rows:
    """Return the rows of vectors' products with what a layer's encoder reads, plus biases.

    ``layer`` may be the number of layers: then they are products with the final norm's output.
    """
    frozen = clean.frozen
    start = start_vectors(clean, layer, positions, vectors)
    silent = clean.silenced.final if layer == frozen.n_layers else clean.silenced.reads[layer]
    effects = start.new_zeros(sources.n_rows, len(start))
    in_place = layer < min(2, frozen.n_layers)
    if in_place:
        add_tokens(effects, tokens_in_place(start, positions, sources.tokens[layer]))
    if layer == frozen.n_layers or frozen.starts_before_attention(layer):
        if layer > 0:
            gradient = scatter_targets(clean, start, positions)
            carry_back(clean, sources, gradient, layer, effects, tokens=not in_place)
    elif layer > 0:
        spread = frozen.back_from_query(layer, start, positions)
        carry_back(clean, sources, spread, layer, effects, tokens=not in_place)
    return collect_rows(sources, effects, (vectors * silent[positions]).sum(dim=1) + biases)


def stream_rows(
    clean: PromptPass,
    sources: Sources,
    layer: int,
    position: int,
    vectors: Float[Tensor, "n d_model"],
    biases: Float[Tensor, " n"],
) -> Rows:
    """Return the rows of vectors' products with the stream before a layer, plus biases."""
    effects = vectors.new_zeros(sources.n_rows, len(vectors))
    if layer == 0:
        token = clean.frozen.record.token_vectors[position]
        effects[position - clean.n_pos] = vectors @ token
    else:
        positions = torch.full((len(vectors),), position, device=vectors.device)
        gradient = scatter_targets(clean, vectors, positions)
        carry_back(clean, sources, gradient, layer, effects)
    silent = vectors @ clean.silenced.streams[layer, position]
    return collect_rows(sources, effects, silent + biases)


def collect_rows(
    sources: Sources, effects: Float[Tensor, "n_rows n"], bias: Float[Tensor, " n"]
) -> Rows:
    """Put effects into the graph's order."""
    return Rows(effects.index_select(0, sources.columns).T, bias)


def start_vectors(
    clean: PromptPass, layer: int, positions: Tensor, vectors: Tensor
) -> Float[Tensor, "n d_model"]:
    """Carry vectors from a layer's read point, or the final norm's output, to the stream."""
    if layer == clean.frozen.n_layers:
        return clean.frozen.back_from_final_norm(vectors, positions)
    return clean.frozen.back_from_read_point(layer, vectors, positions)


def scatter_targets(
    clean: PromptPass, start: Float[Tensor, "n d_model"], positions: Int[Tensor, " n"]
) -> Float[Tensor, "n_seen d_model n"]:
    """Return gradients that are 0 but at each target's own position."""
    return scatter(start, positions, clean.frozen.n_seen(positions))


def carry_back(
    clean: PromptPass,
    sources: Sources,
    start: Float[Tensor, "n_seen d_model n"] | Spread,
    layer: int,
    effects: Float[Tensor, "n_rows n"],
    *,
    tokens: bool = True,
) -> None:
    """Carry gradients of the stream before a layer above 0 down, and add up ``effects``.

    Args:
        clean: The prompt's clean pass.
        sources: From ``lay_out_sources``.
        start: The gradients; overwritten.
        layer: May be the number of layers: then they are at the final residual stream.
        effects: Added to.
        tokens: Whether the effects of tokens are added, too.
    """
    frozen = clean.frozen
    skips = clean.replacement.transcoder.shape.skip_connection
    gradient = start.full() if isinstance(start, Spread) else start
    for below in range(layer - 1, 0, -1):
        contract(sources, gradient, below, sources.vectors[below], effects)
        before_attention = frozen.starts_before_attention(below)
        skipped = back_through_skip(clean, below, gradient)
        gradient = frozen.back_from_end_norm(below, gradient)
        if skipped is not None and not before_attention:
            gradient = gradient + skipped
        if below == 1 and not before_attention:
            add_tokens(effects, contract_tokens(gradient, sources.tokens[1]))
        gradient = frozen.back_from_mid_norm(below, gradient)
        # what skips differs between positions, and so do norms on the stream
        is_spread = below == layer - 1 and not skips and not frozen.norms_stream
        values = frozen.back_to_values(below, start if is_spread else gradient)
        if below == 1 and not before_attention:
            contract(sources, values, 0, sources.values, effects)
            continue
        frozen.back_from_values(below, gradient, values)
        if skipped is not None and before_attention:
            gradient = gradient + skipped
        if below == 1:
            add_tokens(effects, contract_tokens(gradient, sources.tokens[1]))
    contract(sources, gradient, 0, sources.vectors[0], effects)
    if layer == 1 and tokens:
        carry_to_tokens(clean, sources, gradient, effects)


def carry_to_tokens(
    clean: PromptPass,
    sources: Sources,
    gradient: Float[Tensor, "n_seen d_model n"],
    effects: Float[Tensor, "n_rows n"],
) -> None:
    """Add the tokens' effects on gradients of the stream after layer 0."""
    frozen, skipped = clean.frozen, back_through_skip(clean, 0, gradient)
    gradient = frozen.back_from_end_norm(0, gradient)
    if not frozen.starts_before_attention(0):
        gradient = gradient if skipped is None else gradient + skipped
        add_tokens(effects, contract_tokens(gradient, sources.tokens[0]))
        return
    gradient = frozen.back_from_mid_norm(0, gradient)
    before = gradient.clone()
    frozen.back_from_values(0, before, frozen.back_to_values(0, gradient))
    before = before if skipped is None else before + skipped
    add_tokens(effects, contract_tokens(before, sources.tokens[0]))


def contract(
    sources: Sources,
    gradient: Float[Tensor, "n_seen d n"],
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
    position = 0
    for block, rows in zip(vectors, sources.block_rows, strict=True):
        part = gradient[position : position + len(block)]
        found = effects[rows.first : rows.end].view(len(block), -1, effects.shape[1])
        first = rows.offsets[layer]
        here = found[: len(part), first : first + block.shape[1]]
        here += torch.bmm(block[: len(part)], part)
        position += len(block)
        if position >= len(gradient):
            break


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
    gradient: Float[Tensor, "n_seen d_model n"], tokens: Float[Tensor, "n_pos d_model n_tokens"]
) -> Float[Tensor, "n_tokens n"]:
    """Return the tokens' products with the gradient, added up over positions."""
    return tokens[: len(gradient)].flatten(end_dim=1).T @ gradient.flatten(end_dim=1)


def add_tokens(effects: Float[Tensor, "n_rows n"], found: Float[Tensor, "n_tokens n"]) -> None:
    """Add the effects of tokens, which have the last rows."""
    effects[-len(found) :] += found


def back_through_skip(
    clean: PromptPass, layer: int, gradient: Float[Tensor, "n_seen d_model n"]
) -> Float[Tensor, "n_seen d_model n"] | None:
    """Carry gradients of the stream after a layer past the features to the stream it reads.

    None where nothing goes past the features.
    """
    features, frozen = clean.replacement.transcoder, clean.frozen
    if not features.shape.skip_connection:
        return None
    written = frozen.back_from_write_point(layer, gradient)
    vectors = features.back_through_skip(layer, written).mT
    positions = torch.arange(len(gradient), device=gradient.device)[:, None]
    return frozen.back_from_read_point(layer, vectors, positions).mT
