"""A graph file's links as effects, and scores that follow from the file alone."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.circuit import Circuit
from circuitscope_core.graph import NodeKind
from circuitscope_core.graph_file import GraphFile, circuit_of_file, circuit_scores
from circuitscope_core.pruning import GraphScores, propagate_edges


@dataclass(frozen=True)
class FileFlow:
    """A file's circuit, explained from some outputs; links that the file lacks are 0."""

    circuit: Circuit
    weights: Float[Tensor, " n"]
    """Weight of each output, 0 elsewhere."""

    @cached_property
    def influence(self) -> Float[Tensor, " n"]:
        """Each node's share in the outputs over every path: as ``compute_node_influence``."""
        edges = self.circuit.edges
        return propagate_edges(
            self.circuit.layers, self.weights, edges.sources, edges.targets, edges.weights
        )

    @cached_property
    def edge_influence(self) -> Float[Tensor, " n_edges"]:
        """Flow along each edge: its share of the target's input times all that reaches that."""
        edges = self.circuit.edges
        return edges.shares.abs() * (self.influence + self.weights)[edges.targets]

    def scores(self) -> GraphScores:
        """Return replacement and completeness of the file's contents.

        The part that pruning left out is in no file: compare files that were pruned alike.
        """
        scores = circuit_scores(replace(self.circuit, worth=self.weights))
        assert scores is not None  # some output has a weight
        return scores


def file_flow(file: GraphFile, output: int | None = None) -> FileFlow:
    """Return a file's effects.

    Outputs without a probability in the file get equal weights, all of them.

    Args:
        file: The file.
        output: A node: the one output that is explained; None: all, by their probabilities.
    """
    circuit = circuit_of_file(file)
    weights = torch.zeros(len(file.nodes), device="cpu", dtype=torch.float32)
    places = [at for at, node in enumerate(file.nodes) if node.node.kind is NodeKind.LOGIT]
    given = [file.nodes[at].probability for at in places]
    known = [value for value in given if value is not None]
    if output is not None:
        weights[output] = 1
    elif len(known) == len(given) and sum(known) > 0:
        weights = circuit.worth
    else:
        weights[places] = 1 / len(places)
    return FileFlow(circuit, weights)
