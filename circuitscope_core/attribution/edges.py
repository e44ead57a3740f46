"""Inside one edge: which attention heads carried it, exactly.

The frozen model is a sum over routes from a source to a target: at every layer in between, the
signal stays in the residual stream of its position or goes through one of the heads. An edge is
the sum of its routes. They are followed back from the target, all at once.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.attribution.effects import (
    back_through_skip,
    scatter_targets,
    start_vectors,
)
from circuitscope_core.attribution.neuron_choice import with_nodes
from circuitscope_core.errors import GraphError
from circuitscope_core.graph import AttributionGraph, GraphTargets, Node, NodeKind
from circuitscope_core.prompt_pass import PromptPass, run_prompt
from circuitscope_core.replacement import Explainable
from circuitscope_core.values import one_line

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


@one_line
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
    """The part of the edge that the listed paths leave out: rounding where ``complete``."""
    complete: bool
    """Whether every route was followed to its end."""


@dataclass(frozen=True)
class _Source:
    """One source's vectors, and all that they become further up."""

    position: int
    first_layer: int
    """The layer of its first MLP output; -1 for a token."""
    written: Float[Tensor, "n_layers d_model"]
    token: Float[Tensor, " d_model"]
    before: Float[Tensor, "n_layers n_pos d_model"]
    """The vector that the source adds to the stream before each layer, over all routes so far."""


@checked
def explain_edge(
    bundle: Explainable | PromptPass,
    graph: AttributionGraph,
    source: int,
    target: int,
    *,
    max_routes: int = MAX_ROUTES,
) -> EdgeExplanation:
    """Split an edge by the attention heads that carried it.

    Args:
        bundle: The bundle or replacement model that the graph was made with; or the prompt's pass,
            which saves a run of the model.
        graph: From ``attribute``.
        source: Node index of a feature, an error or a token.
        target: Node index of a feature or a logit.
        max_routes: With three layers and four heads there are at most 125 routes, all are
            followed. In deeper models the strongest are, and the remainder is given as ``rest``.

    Raises:
        GraphError: If the graph was not made by ``attribute``, or the nodes cannot have an edge.
    """
    if max_routes < 1:
        raise GraphError(f"max_routes is {max_routes}; follow at least one route.")
    clean, targets = pass_of(bundle, graph)
    ends = graph.node(source), graph.node(target)
    if ends[0].kind is NodeKind.LOGIT or ends[1].kind not in (NodeKind.FEATURE, NodeKind.LOGIT):
        raise GraphError(
            f"An edge leads from a feature, error or token to a feature or logit, not from a "
            f"{ends[0].kind} to a {ends[1].kind}."
        )
    with torch.no_grad():
        start, layer = _start(graph, clean, targets, target)
        given = _follow_up(clean, ends[0])
        weights, complete = _follow_back(clean, given, start, layer, max_routes)
    paths = [EdgePath(heads, weight) for heads, weight in weights.items() if weight != 0]
    paths.sort(key=lambda path: -abs(path.weight))
    weight = float(graph.adjacency[target, source])
    rest = weight - sum(path.weight for path in paths)
    return EdgeExplanation(*ends, weight, tuple(paths), rest, complete)


def pass_of(
    bundle: Explainable | PromptPass, graph: AttributionGraph
) -> tuple[PromptPass, GraphTargets]:
    """Return the clean pass of a graph's prompt, and the vectors of its logit nodes.

    Raises:
        GraphError: If the graph was not made by ``attribute``, or the pass is another prompt's.
    """
    if graph.targets is None:
        raise GraphError("This graph does not know its targets; make it with attribute().")
    clean = run_prompt(bundle, graph.token_ids.tolist())
    if clean.token_ids != tuple(graph.token_ids.tolist()):
        raise GraphError(
            f"The pass is that of {clean.prompt!r}, the graph that of {graph.prompt!r}; give both "
            "of one prompt."
        )
    if graph.choice is not None and not torch.equal(clean.features.cpu(), graph.features):
        nodes = graph.features.to(clean.features.device)
        clean = with_nodes(clean, nodes, folded=graph.choice.folded)
    return clean, graph.targets


def _start(
    graph: AttributionGraph, clean: PromptPass, targets: GraphTargets, target: int
) -> tuple[Float[Tensor, "n_seen 1 d_model"], int]:
    """Return the target's gradient and the layer whose stream it is at."""
    node = graph.node(target)
    if node.kind is NodeKind.FEATURE:
        layer, position = node.layer, node.position
        read = clean.inputs[layer, position][None]
        number = clean.features.new_tensor([node.feature])
        vector = clean.replacement.transcoder.encoder_vectors(layer, number, read)[0]
    else:
        index = target - graph.logit_nodes.start
        vector = targets.directions[index][None].to(clean.inputs)
        layer, position = int(targets.layers[index]), int(targets.positions[index])
    positions = clean.features.new_tensor([position])
    start = start_vectors(clean, layer, positions, vector)
    return scatter_targets(clean, start, positions), layer


def _follow_up(clean: PromptPass, node: Node) -> _Source:
    """Return a source's vectors and what they become before each layer."""
    frozen, features = clean.frozen, clean.replacement.transcoder
    n_layers, n_pos, d_model = clean.error_vectors.shape
    written = torch.zeros_like(clean.error_vectors[:, 0])
    token = torch.zeros_like(written[0])
    if node.kind is NodeKind.TOKEN:
        token = frozen.record.token_vectors[node.position]
    elif node.kind is NodeKind.ERROR:
        written[node.layer] = clean.error_vectors[node.layer, node.position]
    else:
        place = clean.features.new_tensor([node.layer, node.position, node.feature])
        activation = clean.activations[(clean.features == place).all(dim=1)]
        written = features.decoder_vectors(node.layer, place[2:])[0] * activation
    at = clean.features.new_tensor([node.position])
    written = torch.cat(
        [frozen.through_write_point(layer, part[None], at) for layer, part in enumerate(written)]
    )
    stream = written.new_zeros(n_pos, d_model)
    stream[node.position] = token
    every = torch.arange(n_pos, device=at.device)
    before = []
    for layer in range(n_layers):
        before.append(stream)
        middle = frozen.through_attention(layer, stream)
        source = stream if frozen.starts_before_attention(layer) else middle
        read = frozen.through_read_point(layer, source)
        past = frozen.through_write_point(layer, features.skip(layer, read), every)
        stream = frozen.through_end_norm(layer, middle) + past
        stream[node.position] += written[layer]
    return _Source(node.position, node.layer, written, token, torch.stack(before))


Routes = dict[tuple[tuple[int, int], ...], float]


def _follow_back(
    clean: PromptPass,
    source: _Source,
    gradient: Float[Tensor, "n_seen 1 d_model"],
    layer: int,
    max_routes: int,
) -> tuple[Routes, bool]:
    """Follow every route from a target down to a source; return each one's weight."""
    frozen = clean.frozen
    weights: Routes = {}
    routes: list[tuple[tuple[int, int], ...]] = [()]
    complete = True
    if source.position >= len(gradient):
        return weights, complete
    in_own_layer = frozen.starts_before_attention(layer)
    for below in range(layer, max(source.first_layer, 0) - 1, -1):
        skipped = None
        if below < layer:
            _collect(weights, routes, gradient[source.position] @ source.written[below])
            skipped = back_through_skip(clean, below, gradient)
            gradient = frozen.back_from_end_norm(below, gradient)
        before = below < frozen.n_layers and frozen.starts_before_attention(below)
        if skipped is not None and not before:
            gradient = gradient + skipped
        attends = below < frozen.n_layers and below > source.first_layer
        if attends and not (below == layer and in_own_layer):
            gradient = frozen.back_from_mid_norm(below, gradient)
            heads = frozen.back_through_heads(below, gradient)
            names = [(below, head) for head in range(len(heads))]
            if skipped is not None and before:  # it stayed in place, beside attention
                gradient = gradient + skipped
            routes = routes + [(name, *route) for name in names for route in routes]
            gradient = torch.cat([gradient, *heads], dim=1)
            if len(routes) > max_routes:
                complete = False
                through = source.before[below, : len(gradient)]
                flow = torch.einsum("pnd,pd->n", gradient, through).abs()
                kept = flow.topk(max_routes).indices
                routes = [routes[index] for index in kept.tolist()]
                gradient = gradient[:, kept]
    if source.first_layer < 0:
        _collect(weights, routes, gradient[source.position] @ source.token)
    return weights, complete


def _collect(weights: Routes, routes: list[tuple[tuple[int, int], ...]], found: Tensor) -> None:
    """Add what arrives at the source along each route."""
    for route, weight in zip(routes, found.tolist(), strict=True):
        weights[route] = weights.get(route, 0.0) + weight
