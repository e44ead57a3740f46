"""A graph file as a matrix of direct effects, and what can be scored from the file alone."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuitscope_core.graph import NodeKind, normalize_rows
from circuitscope_core.graph_file import GraphFile
from circuitscope_core.pruning import GraphScores, matrix_scores, propagate


@dataclass(frozen=True)
class FileMatrix:
    """Nodes in the file's order; effects that the file does not list are 0."""

    layers: Int[Tensor, " n"]
    """-1 for tokens."""
    weights: Float[Tensor, " n"]
    """Probability at outputs, 0 elsewhere."""
    adjacency: Float[Tensor, "n n"]
    """Row: target, column: source."""
    kinds: tuple[NodeKind, ...]

    def are(self, kind: NodeKind) -> Bool[Tensor, " n"]:
        """Return which nodes are of a kind."""
        return torch.tensor([found is kind for found in self.kinds])

    @cached_property
    def influence(self) -> Float[Tensor, " n"]:
        """Each node's share in the outputs over every path: as ``compute_node_influence``."""
        return propagate(self.layers, self.weights, self.adjacency)

    @cached_property
    def edge_influence(self) -> Float[Tensor, "n n"]:
        """What flows along each edge: its share of the target's input times what reaches that."""
        return normalize_rows(self.adjacency) * (self.influence + self.weights)[:, None]

    def scores(self) -> GraphScores:
        """Return replacement and completeness of what the file holds.

        What pruning left out is in no file: compare files that were pruned alike.
        """
        errors, tokens = self.are(NodeKind.ERROR), self.are(NodeKind.TOKEN)
        return matrix_scores(self.layers, self.weights, self.adjacency, errors, tokens)


def file_matrix(file: GraphFile, output: int | None = None) -> FileMatrix:
    """Return a file's matrix.

    Outputs without a probability in the file get equal weights, all of them.

    Args:
        file: The file.
        output: A node: the one output that is explained; None: all, by their probabilities.
    """
    weights = torch.zeros(len(file.nodes))
    places = [at for at, node in enumerate(file.nodes) if node.node.kind is NodeKind.LOGIT]
    given = [file.nodes[at].probability for at in places]
    known = [value for value in given if value is not None]
    if output is not None:
        weights[output] = 1
    elif len(known) == len(given) and sum(known) > 0:
        weights[places] = torch.tensor(known)
    else:
        weights[places] = 1 / len(places)
    adjacency = torch.zeros(len(file.nodes), len(file.nodes))
    if file.links:
        targets = torch.tensor([link.target for link in file.links])
        sources = torch.tensor([link.source for link in file.links])
        effects = torch.tensor([link.weight for link in file.links])
        adjacency.index_put_((targets, sources), effects, accumulate=True)
    return FileMatrix(
        layers=torch.tensor([node.node.layer for node in file.nodes]),
        weights=weights,
        adjacency=adjacency,
        kinds=tuple(node.node.kind for node in file.nodes),
    )
