"""One target's effects, split by the routes that they took through attention heads.

The frozen model is a sum over routes. Here a hop through a head also names the position whose query
it served, which says whose attention the effect hangs on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.attribution.effects import back_through_skip
from circuitscope_core.errors import CircuitError
from circuitscope_core.evals.known_circuits.component_edges import EMBED, POSITIONS, mlp_name
from circuitscope_core.prompt_pass import PromptPass

MAX_ROUTES = 4_096
"""More are not followed: compiled programs have few heads and short inputs."""


@dataclass(frozen=True, order=True)
class Hop:
    """One passage through a head."""

    layer: int
    head: int
    query: int
    """Position that the head wrote to."""


Route = tuple[Hop, ...]
"""The hops from the source on; empty: it stayed in place."""


@dataclass(frozen=True)
class AllSources:
    """Every source of a prompt: features, errors, tokens, at each position the part of the
    embedding that all tokens have, which is then no token's, and position embeddings."""

    components: tuple[str, ...]
    """Whose writes each source's are: a feature's, those of the MLP that it reads for."""
    positions: Int[Tensor, " n_sources"]
    written: Float[Tensor, "n_layers n_written d_model"]
    """The vectors that features and errors write to each MLP output."""
    embedded: Float[Tensor, "n_embedded d_model"]
    """The vectors of tokens and position embeddings in the first stream."""


@dataclass(frozen=True)
class RoutedRow:
    """One target's effects from every source, by route."""

    routes: tuple[Route, ...]
    effects: Float[Tensor, "n_routes n_sources"]


def gather_sources(clean: PromptPass) -> AllSources:
    """Return the sources of a prompt; the first ones are the graph's columns, in its order."""
    n_layers, n_pos, d_model = clean.error_vectors.shape
    record = clean.frozen.record
    layers, places, _ = clean.features.T
    written = clean.error_vectors.new_zeros(n_layers, len(layers) + n_layers * n_pos, d_model)
    for layer in range(n_layers):
        at = (layers == layer).nonzero()[:, 0]
        vectors = clean.replacement.transcoder.decoder_vectors(layer, clean.features[at, 2])
        written[:, at] = (vectors * clean.activations[at, None, None]).transpose(0, 1)
        first = len(layers) + layer * n_pos
        written[layer, first : first + n_pos] = clean.error_vectors[layer]
    every = torch.arange(n_pos, device=places.device)
    shared = shared_by_tokens(clean).expand(n_pos, -1)
    components = [mlp_name(layer) for layer in layers.tolist()]
    components += [mlp_name(layer) for layer in range(n_layers) for _ in range(n_pos)]
    components += [EMBED] * (2 * n_pos) + [POSITIONS] * n_pos
    embedded = torch.cat([record.token_vectors - shared, shared, record.position_vectors])
    positions = torch.cat([places, every.repeat(n_layers), every, every, every])
    return AllSources(tuple(components), positions, written, embedded)


def shared_by_tokens(clean: PromptPass) -> Float[Tensor, " d_model"]:
    """Return the coordinates that are alike in all tokens' embeddings, 0 in the others.

    A compiler writes the constant 1 there. An effect of this constant is none of the token's,
    and may be the opposite of the token's own: as one source the two would cancel. Tokens that
    have no embedding, such as those of outputs, do not count. A trained model has no such
    coordinates.
    """
    record = clean.frozen.record
    if record.embedding_norm is not None:  # what reaches the stream hangs on the whole vector
        return record.token_vectors.new_zeros(record.token_vectors.shape[1])
    model = clean.replacement.model
    every = model.token_vectors(torch.arange(model.shape.d_vocab, device=clean.features.device))
    embedded = every[every.any(dim=1)]
    alike = (embedded == embedded[:1]).all(dim=0)
    return torch.where(alike, record.token_vectors[0], torch.zeros_like(record.token_vectors[0]))


def routed_row(
    clean: PromptPass,
    sources: AllSources,
    start: Float[Tensor, "n_seen 1 d_model"],
    layer: int,
    *,
    own_heads: bool,
) -> RoutedRow:
    """Follow every route from a target back to the sources.

    Args:
        clean: The prompt's clean pass.
        sources: From ``gather_sources``.
        start: The target's gradient at ``resid_mid`` of a layer, or at the final stream for
            ``n_layers``; at ``resid_pre`` of the layer without ``own_heads``.
        layer: That layer.
        own_heads: Whether the layer's own heads lie between the sources and the target.

    Raises:
        CircuitError: If there are more than ``MAX_ROUTES`` routes.
    """
    n_layers, n_written = clean.frozen.n_layers, sources.written.shape[1]
    routes: list[Route] = [()]
    gradient = start
    found: dict[Route, Tensor] = {}
    for below in range(layer, -1, -1):
        if below < layer:
            _collect(found, routes, gradient, sources, sources.written[below], 0)
            skipped = back_through_skip(clean, below, gradient)
            gradient = gradient if skipped is None else gradient + skipped
        if below < n_layers and (below < layer or own_heads):
            routes, gradient = _through_heads(clean, below, routes, gradient)
    _collect(found, routes, gradient, sources, sources.embedded, n_written)
    return RoutedRow(tuple(found), torch.stack(list(found.values())))


def _through_heads(
    clean: PromptPass,
    layer: int,
    routes: Sequence[Route],
    gradient: Float[Tensor, "n_seen n_routes d_model"],
) -> tuple[list[Route], Float[Tensor, "n_seen n_longer d_model"]]:
    """Return the routes that stay in place at a layer and those through each of its heads."""
    queries, columns = gradient.any(dim=2).nonzero().T
    n_longer = len(routes) + clean.frozen.n_heads * len(queries)
    if n_longer > MAX_ROUTES:  # said before memory is taken for them
        raise CircuitError(
            f"There are up to {n_longer:,} routes through the heads; at most {MAX_ROUTES:,} are "
            "followed. Known circuits are looked for in small models and short inputs."
        )
    every = torch.arange(len(queries))
    alone = gradient.new_zeros(len(gradient), len(queries), gradient.shape[2])
    alone[queries, every] = gradient[queries, columns]
    through = clean.frozen.back_through_heads(layer, alone)
    longer, carried = list(routes), [gradient]
    for head, part in enumerate(through):
        used = part.any(dim=2).any(dim=0)
        carried.append(part[:, used])
        for index in every[used].tolist():
            hop = Hop(layer, head, int(queries[index]))
            longer.append((hop, *routes[int(columns[index])]))
    return longer, torch.cat(carried, dim=1)


def _collect(
    found: dict[Route, Tensor],
    routes: Sequence[Route],
    gradient: Float[Tensor, "n_seen n_routes d_model"],
    sources: AllSources,
    vectors: Float[Tensor, "n_here d_model"],
    first: int,
) -> None:
    """Add what arrives at some sources, ``first`` being the first one's number."""
    positions = sources.positions[first : first + len(vectors)]
    seen = (positions < len(gradient)).nonzero()[:, 0]
    parts = torch.einsum("sd,srd->rs", vectors[seen], gradient[positions[seen]])
    for route, part in zip(routes, parts, strict=True):
        if route not in found:
            found[route] = part.new_zeros(len(sources.components))
        found[route][first + seen] += part
