"""Inside one edge: which attention heads carried it, exactly.

The frozen model is a sum over routes from a source to a target: at every layer in between, the
signal stays in the residual stream of its position or goes through one of the heads. An edge is
the sum of its routes. They are followed back from the target, all at once.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.attribution.context import AttributionContext, make_context
from circuitscope_core.attribution.effects import (
    back_through_skip,
    place_targets,
    start_vectors,
)
from circuitscope_core.errors import GraphError
from circuitscope_core.graph import AttributionGraph, Node, NodeKind

MAX_ROUTES = 1024
"""Routes followed at a time; beyond, those through which least of the edge goes are left out."""


@dataclass(frozen=True)
class EdgePath:
    """One way from source to target."""

    heads: tuple[tuple[int, int], ...]
    """Layer and number of each head passed, from the source on; empty: it stayed in place."""
    weight: float

    @property
    def text(self) -> str:
        """The heads as ``layer.head``, in order."""
        if not self.heads:
            return "stayed in place"
        return " → ".join(f"{layer}.{head}" for layer, head in self.heads)


@dataclass(frozen=True)
class EdgeExplanation:
    """An edge as the sum of its paths."""

    source: Node
    target: Node
    weight: float
    """The edge in the graph."""
    paths: tuple[EdgePath, ...]
    """Strongest first."""
    rest: float
    """What the paths listed do not account for: rounding where ``complete``."""
    complete: bool
    """Whether every route was followed to its end."""


@dataclass(frozen=True)
class _Source:
    """One source's vectors, and all that they become further up."""

    position: int
    first_layer: int
    """Of its first MLP output; -1 for a token."""
    written: Float[Tensor, "n_layers d_model"]
    token: Float[Tensor, " d_model"]
    before: Float[Tensor, "n_layers n_pos d_model"]
    """What the source adds to the stream before each layer, over all routes so far."""


def explain_edge(
    graph: AttributionGraph, source: int, target: int, *, max_routes: int = MAX_ROUTES
) -> EdgeExplanation:
    """Split an edge by the attention heads that carried it.

    Args:
        graph: From ``attribute``.
        source: Node index of a feature, an error or a token.
        target: Node index of a feature or a logit.
        max_routes: With three layers and four heads there are at most 125 routes, all are
            followed. In deeper models the strongest are, and the remainder is given as ``rest``.

    Raises:
        GraphError: If the graph was not made by ``attribute``, or the nodes cannot have an edge.
    """
    if graph.origin is None:
        raise GraphError("This graph does not know its model; make it with attribute().")
    ends = graph.node(source), graph.node(target)
    if ends[0].kind is NodeKind.LOGIT or ends[1].kind not in (NodeKind.FEATURE, NodeKind.LOGIT):
        raise GraphError(
            f"An edge leads from a feature, error or token to a feature or logit, not from a "
            f"{ends[0].kind} to a {ends[1].kind}."
        )
    context = make_context(graph.origin.replacement, graph.token_ids.tolist())
    with torch.no_grad():
        start, layer = _start(graph, context, target)
        given = _follow_up(context, ends[0])
        weights, complete = _follow_back(context, given, start, layer, max_routes)
    paths = [EdgePath(heads, weight) for heads, weight in weights.items() if weight != 0]
    paths.sort(key=lambda path: -abs(path.weight))
    weight = float(graph.adjacency[target, source])
    rest = weight - sum(path.weight for path in paths)
    return EdgeExplanation(*ends, weight, tuple(paths), rest, complete)


def _start(
    graph: AttributionGraph, context: AttributionContext, target: int
) -> tuple[Float[Tensor, "n_seen d_model 1"], int]:
    """Return the target's gradient and the layer whose ``resid_mid`` it is at."""
    origin, transcoder = graph.origin, context.transcoder
    assert origin is not None
    node = graph.node(target)
    if node.kind is NodeKind.FEATURE:
        vector = transcoder.W_enc[node.layer, node.feature].detach()
        layer, position = node.layer, node.position
    else:
        index = target - graph.logit_nodes.start
        vector = origin.target_directions[index]
        layer = int(origin.target_layers[index])
        position = int(origin.target_positions[index])
    positions = torch.tensor([position])
    start, _ = start_vectors(context, layer, positions, vector[None])
    return place_targets(context, start, positions), layer


def _follow_up(context: AttributionContext, node: Node) -> _Source:
    """Return a source's vectors and what they become before each layer."""
    frozen, transcoder = context.frozen, context.transcoder
    n_layers, n_pos, d_model = context.error_vectors.shape
    written, token = torch.zeros(n_layers, d_model), torch.zeros(d_model)
    if node.kind is NodeKind.TOKEN:
        token = frozen.token_vectors()[node.position]
    elif node.kind is NodeKind.ERROR:
        written[node.layer] = context.error_vectors[node.layer, node.position]
    else:
        place = torch.tensor([node.layer, node.position, node.feature])
        activation = context.activations[(context.features == place).all(dim=1)]
        vectors = transcoder.decoder_vectors(node.layer, place[2:])[0]
        written = vectors * activation
    stream = torch.zeros(n_pos, d_model)
    stream[node.position] = token
    before = []
    for layer in range(n_layers):
        before.append(stream)
        middle = frozen.through_attention(layer, stream)
        read = frozen.through_read_point(layer, middle, transcoder.config.read_point)
        stream = middle + transcoder.skip(layer, read)
        stream[node.position] += written[layer]
    return _Source(node.position, node.layer, written, token, torch.stack(before))


Routes = dict[tuple[tuple[int, int], ...], float]


def _follow_back(
    context: AttributionContext,
    source: _Source,
    gradient: Float[Tensor, "n_seen d_model 1"],
    layer: int,
    max_routes: int,
) -> tuple[Routes, bool]:
    """Follow every route from a target down to a source; return each one's weight."""
    frozen = context.frozen
    weights: Routes = {}
    routes: list[tuple[tuple[int, int], ...]] = [()]
    complete = True
    if source.position >= len(gradient):
        return weights, complete
    for below in range(layer, max(source.first_layer, 0) - 1, -1):
        if below < layer:
            _collect(weights, routes, source.written[below] @ gradient[source.position])
            gradient = back_through_skip(context, below, gradient)
        if below < frozen.n_layers and below > source.first_layer:
            heads = frozen.back_through_heads(below, gradient)
            names = [(below, head) for head in range(len(heads))]
            routes = routes + [(name, *route) for name in names for route in routes]
            gradient = torch.cat([gradient, *heads], dim=2)
            if len(routes) > max_routes:
                complete = False
                through = source.before[below, : len(gradient)]
                flow = torch.einsum("pdn,pd->n", gradient, through).abs()
                kept = flow.topk(max_routes).indices
                routes = [routes[index] for index in kept.tolist()]
                gradient = gradient[..., kept]
    if source.first_layer < 0:
        _collect(weights, routes, source.token @ gradient[source.position])
    return weights, complete


def _collect(weights: Routes, routes: list[tuple[tuple[int, int], ...]], found: Tensor) -> None:
    """Add what arrives at the source along each route."""
    for route, weight in zip(routes, found.tolist(), strict=True):
        weights[route] = weights.get(route, 0.0) + weight
