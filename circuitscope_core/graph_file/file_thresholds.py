"""A file's circuit pruned further, and scored: from its own links, by the rules of our graphs."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.circuit import Circuit, CircuitEdges
from circuitscope_core.config import PruneConfig
from circuitscope_core.errors import GraphFileError
from circuitscope_core.graph import NodeKind
from circuitscope_core.pruning import GraphScores, edge_scores, prune_edges


@checked
def prune_circuit(circuit: Circuit, node_threshold: float, edge_threshold: float) -> Circuit:
    """Return the part of a circuit that carries a given share of its influence.

    The rules are those of ``prune_graph`` with ``score="influence"``, on the circuit's edges and
    the probabilities of its outputs. Tokens and outputs always stay.

    Args:
        circuit: The circuit, for example of a file; not changed.
        node_threshold: Share of the nodes' influence to keep, 0 to 1.
        edge_threshold: Share of the edge influence to keep, 0 to 1. With both at 1 the whole
            circuit is returned.

    Returns:
        A circuit whose rows keep their numbers (``index``). ``influence`` stays that of the whole,
        shares are of the input that is left, and ``dropped`` says how much went.

    Raises:
        ConfigError: If a threshold is outside 0 to 1.
        GraphFileError: If the outputs have no probabilities, so that nothing can be ranked.

    Example:
        >>> import circuitscope_core as cs
        >>> from circuitscope_core.circuit import circuit_of
        >>> from circuitscope_core.graph_file import prune_circuit
        >>> graph = cs.attribute(cs.load_bundle("models/demo"), "The National Digital Group (N")
        >>> wide = circuit_of(cs.prune_graph(graph, 0.99, 1.0))
        >>> len(prune_circuit(wide, 0.5, 0.9)) < len(wide)
        True
    """
    config = PruneConfig(node_threshold, edge_threshold, "influence")
    if node_threshold == edge_threshold == 1:
        return circuit
    if not bool(circuit.worth.any()):
        raise GraphFileError(
            "The file gives its outputs no probabilities (token_prob), so its nodes cannot be "
            "ranked. Leave both thresholds at 1."
        )
    edges = circuit.edges
    nodes, kept = prune_edges(
        circuit.layers,
        circuit.worth,
        (edges.sources, edges.targets, edges.weights),
        circuit.are(NodeKind.FEATURE),
        circuit.are(NodeKind.ERROR),
        config,
    )
    return _part_of(circuit, nodes.nonzero()[:, 0], kept.nonzero()[:, 0])


def _part_of(circuit: Circuit, rows: Tensor, edges: Tensor) -> Circuit:
    """Return some rows and some of the edges between them as a circuit."""
    n, chosen = len(circuit), rows.tolist()
    columns: dict[str, Any] = {}
    for field in fields(circuit):
        value = getattr(circuit, field.name)
        if isinstance(value, Tensor):
            columns[field.name] = value[rows]
    texts = ("ids", "labels", "names")
    columns |= {name: tuple(getattr(circuit, name)[row] for row in chosen) for name in texts}
    place = torch.full((n,), -1, dtype=torch.int64)
    place[rows] = torch.arange(len(rows))
    old = circuit.edges
    sources, targets = old.sources[edges], old.targets[edges]
    weights = old.weights[edges]
    left = CircuitEdges.of(place[sources], place[targets], weights, len(rows))
    held = torch.zeros(n, device="cpu", dtype=torch.float32).index_add_(
        0, targets, old.shares[edges].abs()
    )
    has_inputs = torch.zeros(n, dtype=torch.bool)
    has_inputs[old.targets] = True
    dropped = torch.where(has_inputs, 1 - held * (1 - circuit.dropped), circuit.dropped)
    return replace(circuit, **{**columns, "dropped": dropped[rows].clamp(0, 1), "edges": left})


def circuit_scores(circuit: Circuit, features: Sequence[str] | None = None) -> GraphScores | None:
    """Return the scores of what a circuit holds, whatever was pruned before left out.

    Args:
        circuit: The circuit, for example of a file.
        features: Ids of features that explain; others then count as errors. None: all of them.

    Returns:
        The scores; None where the outputs have no probabilities.
    """
    if not bool(circuit.worth.any()):
        return None
    errors = circuit.are(NodeKind.ERROR)
    if features is not None:
        chosen = torch.zeros_like(errors)
        chosen[[circuit.rows[name] for name in features if name in circuit.rows]] = True
        errors = errors | (circuit.are(NodeKind.FEATURE) & ~chosen)
    edges = circuit.edges
    links = (edges.sources, edges.targets, edges.weights)
    tokens = circuit.are(NodeKind.TOKEN)
    return edge_scores(circuit.layers, circuit.worth, links, errors, tokens)
