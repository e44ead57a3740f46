"""Turns an attribution graph into edges between components.

A component is the embedding, the position embedding, a head, an MLP or the output. The graph's
nodes stand for what components write (a token: the embedding; a feature or an error: its layer's
MLP), its edges for what flows between them, and an edge's routes name the heads on the way. Two
things are not in the graph's matrix and are computed by the same frozen algebra: what position
embeddings give (they are part of ``bias``), and what makes a head attend, its query and its key.
"""

from collections import defaultdict
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.attribution.edges import pass_of
from circuitscope_core.attribution.effects import scatter_targets, start_vectors
from circuitscope_core.errors import CircuitError
from circuitscope_core.evals.known_circuits.component_edges import (
    OUTPUT,
    ComponentEdge,
    head_name,
    mlp_name,
)
from circuitscope_core.evals.known_circuits.routes import (
    AllSources,
    Hop,
    RoutedRow,
    gather_sources,
    routed_row,
)
from circuitscope_core.graph import AttributionGraph, GraphTargets
from circuitscope_core.language_model import HeadSide
from circuitscope_core.prompt_pass import PromptPass
from circuitscope_core.replacement import Explainable

NOISE = 1e-6
"""Share below which an effect is rounding: of the graph's largest, and of what a target could get
at most, which is the product of the lengths of its vector and of what it reads."""
AGREEMENT = 1e-4
"""The largest error of a row's routes against the graph's row, as a share of its largest effect."""


@dataclass
class _Walk:
    """The flows and edges that were found so far, from the output down."""

    graph: AttributionGraph
    clean: PromptPass
    targets: GraphTargets
    sources: AllSources
    noise: float
    real: Float[Tensor, " n_sources"]
    """1, and 0 for features that rounding alone has switched on."""
    features: Float[Tensor, " n_features"]
    """Flow that reached each feature."""
    heads: dict[Hop, float] = field(default_factory=lambda: defaultdict(float))
    flows: dict[ComponentEdge, float] = field(default_factory=lambda: defaultdict(float))


@checked
def component_flows(
    bundle: Explainable | PromptPass, graph: AttributionGraph
) -> dict[ComponentEdge, float]:
    """Return every component edge behind a graph's outputs, with the flow that it carries.

    A flow starts at the outputs with their probabilities, scaled to a sum of 1. The flow that
    reaches a node is handed on along its incoming effects, as shares of the sum of their absolute
    values, by route: the influence of ``pruning`` with heads as stations, and with position
    embeddings among the sources. The flow through a head is handed on once to its values, once to
    the sources of its queries and once to those of its keys, as shares of the absolute
    contributions to the scores of all keys that the query sees. The part of an embedding that all
    tokens have alike is a source of its own. Effects below ``NOISE`` are rounding, and no edges.

    Raises:
        CircuitError: If the graph was not made by ``attribute``, is cut by a budget, or its edges
            are not the sums of their routes.
    """
    if graph.targets is None:
        raise CircuitError("This graph does not know its targets; make it with attribute().")
    if graph.n_features < graph.n_active_features:
        raise CircuitError(
            f"The graph holds {graph.n_features} of {graph.n_active_features} active features; "
            "make it without max_feature_nodes."
        )
    with torch.no_grad():
        walk = _begin(bundle, graph)
        weights = graph.logit_weights
        total = float(weights.sum()) or 1.0
        for node in graph.every_node[graph.logit_nodes].tolist():
            _spread_node(walk, node, float(weights[node]) / total)
        layers = graph.features[:, 0]
        for layer in range(graph.n_layers - 1, -1, -1):
            for node in (layers == layer).nonzero()[:, 0].tolist():
                _spread_node(walk, node, float(walk.features[node]))
            for hop in sorted(hop for hop in walk.heads if hop.layer == layer):
                _spread_scores(walk, hop, walk.heads[hop])
    return dict(walk.flows)


def _begin(bundle: Explainable | PromptPass, graph: AttributionGraph) -> _Walk:
    clean, targets = pass_of(bundle, graph)
    largest = float(graph.adjacency.abs().max()) if graph.n_nodes else 0.0
    sources, none = (
        gather_sources(clean),
        torch.zeros(graph.n_features, device="cpu", dtype=torch.float32),
    )
    real = none.new_ones(len(sources.components))
    real[: graph.n_features] = (clean.activations.abs() > _rounding(clean)).to(real)
    return _Walk(graph, clean, targets, sources, NOISE * largest, real, none)


def _rounding(clean: PromptPass) -> Float[Tensor, " n_features"]:
    """Return how large an activation rounding may make, for each active feature."""
    bounds = torch.zeros_like(clean.activations)
    for layer in clean.features[:, 0].unique().tolist():
        nodes = (clean.features[:, 0] == layer).nonzero()[:, 0]
        read = clean.inputs[layer, clean.features[nodes, 1]]
        bounds[nodes] = NOISE * clean.vectors_of(nodes)[0].norm(dim=1) * read.norm(dim=1)
    return bounds


def _spread_node(walk: _Walk, node: int, flow: float) -> None:
    """Hand a logit's or a feature's flow on to what it reads."""
    if flow <= 0:
        return
    graph, clean, targets = walk.graph, walk.clean, walk.targets
    if node < graph.n_features:
        layer, position, _ = graph.features[node].tolist()
        vector = clean.vectors_of(clean.features.new_tensor([node]))[0][0]
    else:
        index = node - graph.logit_nodes.start
        layer, position = int(targets.layers[index]), int(targets.positions[index])
        vector = targets.directions[index]
    at = torch.tensor([position])
    gradient = scatter_targets(clean, start_vectors(clean, layer, at, vector[None]), at)
    row = routed_row(clean, walk.sources, gradient, layer, own_heads=True)
    ours = graph.adjacency[node, : graph.logit_nodes.start]
    summed = row.effects.sum(dim=0)
    tokens = slice(len(ours) - graph.n_pos, len(ours))
    shared = summed[len(ours) : len(ours) + graph.n_pos]
    summed[tokens] += shared  # a token's own part, and that of all tokens
    summed = summed[: len(ours)]
    largest = max(float(row.effects.abs().max()), walk.noise)
    if float((summed - ours).abs().max()) > AGREEMENT * largest:
        raise CircuitError(
            f"The edges into node {node} differ from the sums of their routes by "
            f"{float((summed - ours).abs().max()):.3g}; the graph does not belong to its model."
        )
    read = torch.cat([clean.inputs, clean.record.final])[layer, position]
    noise = max(walk.noise, NOISE * float(vector.norm() * read.norm()))
    kept = row.effects.abs() * walk.real
    kept = kept * (kept > noise)
    ends = (OUTPUT, "unembed") if layer == graph.n_layers else (mlp_name(layer), "mlp_in")
    _hand_on(walk, row, kept * (flow / float(kept.sum().clamp(min=1e-30))), *ends)


def _spread_scores(walk: _Walk, hop: Hop, flow: float) -> None:
    """Hand a head's flow on to what made its query and the keys that the query sees."""
    clean, frozen = walk.clean, walk.clean.frozen
    name = head_name(hop.layer, hop.head)
    query_read, query = _read(walk, hop, hop.query, "query")
    keys = range(hop.query + 1 if frozen.causal else frozen.n_pos)
    sides: dict[str, list[RoutedRow]] = {"q": [], "k": []}
    stream, most = clean.record.streams[hop.layer][0], 0.0
    for position in keys:
        key_read, key = _read(walk, hop, position, "key")
        scale = len(key) ** -0.5
        read = largest_gain(query_read) * largest_gain(key_read)
        lengths = stream[hop.query].norm() * stream[position].norm()
        most = max(most, scale * read * float(lengths))
        for slot, vector, place in (
            ("q", key @ query_read * scale, hop.query),
            ("k", query @ key_read * scale, position),
        ):
            gradient = scatter_targets(clean, vector[None], torch.tensor([place]))
            row = routed_row(clean, walk.sources, gradient, hop.layer, own_heads=False)
            sides[slot].append(row)
    for slot, rows in sides.items():
        largest = max(most, *(float(row.effects.abs().max()) for row in rows))
        parts = [row.effects.abs() * walk.real for row in rows]
        parts = [part * (part > NOISE * largest) for part in parts]
        total = sum(float(part.sum()) for part in parts)
        for row, part in zip(rows, parts, strict=True):
            _hand_on(walk, row, part * (flow / max(total, 1e-30)), name, slot)


def largest_gain(matrix: Float[Tensor, "rows cols"]) -> float:
    """Return by how much a matrix makes a vector longer at most."""
    return float(torch.linalg.matrix_norm(matrix, ord=2))


def _read(walk: _Walk, hop: Hop, position: int, side: HeadSide) -> tuple[Tensor, Tensor]:
    """Return what a head's query or key reads at a position, and what it is there."""
    record = walk.clean.record
    directions, biases = walk.clean.replacement.model.head_reads(
        record, hop.layer, hop.head, position, side
    )
    return directions, directions @ record.streams[hop.layer][0, position] + biases


def _hand_on(
    walk: _Walk, row: RoutedRow, flows: Float[Tensor, "n_routes n_sources"], dst: str, slot: str
) -> None:
    """Add flows to the component edges, heads and features on their routes."""
    n_features = walk.graph.n_features
    walk.features += flows[:, :n_features].sum(dim=0)
    for number, source in flows.nonzero().tolist():
        flow, route = float(flows[number, source]), row.routes[number]
        stations = [head_name(hop.layer, hop.head) for hop in route]
        names = [walk.sources.components[source], *stations, dst]
        slots = ["v"] * len(stations) + [slot]
        for src, end, where in zip(names, names[1:], slots, strict=False):
            walk.flows[ComponentEdge(src, end, where)] += flow
        for hop in route:
            walk.heads[hop] += flow
