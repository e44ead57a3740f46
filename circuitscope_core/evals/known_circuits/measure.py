"""Are the edges of a program's graphs the true ones? Precision, recall, ranking."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from circuitscope_core.attribution import attribute
from circuitscope_core.config import PruneConfig
from circuitscope_core.evals.known_circuits.component_edges import (
    EMBED,
    OUTPUT,
    POSITIONS,
    ComponentEdge,
    head_name,
    mlp_name,
)
from circuitscope_core.evals.known_circuits.components import component_flows
from circuitscope_core.evals.known_circuits.program import CompiledProgram, ProgramExample
from circuitscope_core.evals.known_circuits.truth import live_edges
from circuitscope_core.pruning import graph_scores
from circuitscope_core.replacement import ReplacementModel
from circuitscope_core.values import one_line

Flows = Mapping[ComponentEdge, float]


@dataclass(frozen=True)
class FoundEdges:
    """Edges that a graph has, against the true ones, added up over inputs."""

    found: int
    """Edges that the graphs have."""
    true: int
    """Edges that are true and live."""
    right: int
    """Edges that are both."""

    @property
    def precision(self) -> float:
        """Share of the graphs' edges that are true; 1 where they have none."""
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """Share of the true edges that the graphs have; 1 where there are none."""
        return self.right / self.true if self.true else 1.0


@one_line
@dataclass(frozen=True)
class CircuitScore:
    """How well the graphs of a program show its circuit."""

    program: str
    n: int
    """Inputs."""
    n_compiled: int
    """Edges that the compiler made, once for each input; those that carry nothing included."""
    every: FoundEdges
    """All edges above rounding."""
    strongest: FoundEdges
    """The strongest ones, to the share of the flow that pruning keeps."""
    exact: float
    """Share of the inputs whose edges above rounding are exactly the true ones."""
    average_precision: float
    """The average precision of edges ranked by flow, over the inputs that have true edges; true
    edges that are not found count as 0."""
    chance: float
    """The value of a random order of all possible edges, about: the share that is true."""
    replacement: float
    """Mean replacement score of the graphs."""
    completeness: float
    """Mean completeness score of the graphs."""

    def to_json(self) -> dict[str, float | int | str]:
        """Return the figures as JSON-able data."""
        return {
            "program": self.program,
            "inputs": self.n,
            "compiled_edges": self.n_compiled,
            "true_edges": self.every.true,
            "found_edges": self.every.found,
            "precision": self.every.precision,
            "recall": self.every.recall,
            "exact": self.exact,
            "strongest_edges": self.strongest.found,
            "strongest_precision": self.strongest.precision,
            "strongest_recall": self.strongest.recall,
            "average_precision": self.average_precision,
            "chance": self.chance,
            "replacement": self.replacement,
            "completeness": self.completeness,
        }


def measure_circuit(
    program: CompiledProgram,
    replacement: ReplacementModel,
    examples: Sequence[ProgramExample] | None = None,
    find: Callable[[ReplacementModel, tuple[int, ...], int], Flows] | None = None,
) -> CircuitScore:
    """Trace the program's own output at the last position of each input, and compare the edges.

    Args:
        program: Whose circuit is known.
        replacement: Its model with any transcoder.
        examples: Inputs; None: the program's own.
        find: What gives the component edges and their strengths for token ids and a target; None:
            ``component_flows`` of our graph. The scores of graphs are then 0.

    Raises:
        CircuitError: If the edges cannot be looked for.
    """
    inputs = program.examples if examples is None else tuple(examples)
    rows = [_measure_input(program, replacement, item.token_ids, find) for item in inputs]
    ranked = [row.average_precision for row in rows if row.truth]
    n = max(1, len(rows))
    return CircuitScore(
        program=program.name,
        n=len(rows),
        n_compiled=len(program.true_edges) * len(rows),
        every=_add_up((row.flows.keys(), row.truth) for row in rows),
        strongest=_add_up((strongest_edges(row.flows), row.truth) for row in rows),
        exact=sum(set(row.flows) == row.truth for row in rows) / n,
        average_precision=sum(ranked) / max(1, len(ranked)),
        chance=sum(len(row.truth) for row in rows) / (n * len(possible_edges(program))),
        replacement=sum(row.scores[0] for row in rows) / n,
        completeness=sum(row.scores[1] for row in rows) / n,
    )


@dataclass(frozen=True)
class _Input:
    flows: Flows
    truth: frozenset[ComponentEdge]
    average_precision: float
    scores: tuple[float, float]


def _measure_input(
    program: CompiledProgram,
    replacement: ReplacementModel,
    token_ids: tuple[int, ...],
    find: Callable[[ReplacementModel, tuple[int, ...], int], Flows] | None,
) -> _Input:
    target = output_target(program, replacement, token_ids)
    truth = live_edges(program, token_ids)
    scores = 0.0, 0.0
    if find is None:
        graph = attribute(replacement, token_ids, targets=[target])
        flows: Flows = component_flows(replacement, graph)
        found = graph_scores(graph)
        scores = found.replacement, found.completeness
    else:
        flows = find(replacement, token_ids, target)
    return _Input(flows, truth, average_precision(flows, truth), scores)


def output_target(
    program: CompiledProgram, replacement: ReplacementModel, token_ids: Sequence[int]
) -> int:
    """Return the id of the output token that the program gives at the last position."""
    with torch.no_grad():
        logits = replacement.model(replacement.model.tokens(token_ids))[0, -1]
    first = len(program.tokens)
    return first + int(logits[first:].argmax())


def strongest_edges(flows: Flows, share: float | None = None) -> set[ComponentEdge]:
    """Return the strongest edges until they carry a share of all flow; pruning's, if not given."""
    keep = PruneConfig().edge_threshold if share is None else share
    total, reached = sum(flows.values()), 0.0
    kept: set[ComponentEdge] = set()
    for edge, flow in sorted(flows.items(), key=lambda item: (-item[1], item[0])):
        if reached >= keep * total:
            break
        kept.add(edge)
        reached += flow
    return kept


def average_precision(flows: Flows, truth: frozenset[ComponentEdge]) -> float:
    """Return the mean, over the true edges, of the precision down to each; 0 for those not found.

    Edges of equal flow are taken together, so that their order does not matter.
    """
    right, seen, total = 0, 0, 0.0
    for flow in sorted(set(flows.values()), reverse=True):
        tied = [edge for edge, value in flows.items() if value == flow]
        hits = sum(edge in truth for edge in tied)
        seen, right = seen + len(tied), right + hits
        total += hits * right / seen
    return total / len(truth) if truth else 1.0


def possible_edges(program: CompiledProgram) -> frozenset[ComponentEdge]:
    """Return every component edge that an architecture of the program's size allows."""
    written = [EMBED, POSITIONS]
    edges: set[ComponentEdge] = set()
    for layer in range(program.n_layers):
        heads = [head_name(layer, head) for head in range(program.n_heads)]
        edges |= {
            ComponentEdge(src, dst, slot) for src in written for dst in heads for slot in "qkv"
        }
        written += heads
        edges |= {ComponentEdge(src, mlp_name(layer), "mlp_in") for src in written}
        written.append(mlp_name(layer))
    return frozenset(edges | {ComponentEdge(src, OUTPUT, "unembed") for src in written})


def _add_up(
    pairs: Iterable[tuple[Iterable[ComponentEdge], frozenset[ComponentEdge]]],
) -> FoundEdges:
    n_found, n_true, n_right = 0, 0, 0
    for edges, truth in pairs:
        found = set(edges)
        n_found, n_true = n_found + len(found), n_true + len(truth)
        n_right += len(found & truth)
    return FoundEdges(n_found, n_true, n_right)
