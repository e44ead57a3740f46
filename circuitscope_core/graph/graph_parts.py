"""The parts of an attribution graph's value: nodes, lists of edges, targets, choices."""

from dataclasses import dataclass
from enum import StrEnum

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.values import one_line


class NodeKind(StrEnum):
    """The kind of a node: feature, error, token or output."""

    FEATURE = "feature"
    ERROR = "error"
    TOKEN = "token"
    LOGIT = "logit"


@dataclass(frozen=True)
class Node:
    """One node. ``layer`` is -1 for tokens and ``n_layers`` for logits.

    ``feature`` is the feature's number in its layer, the token id of tokens and logits, and -1
    for errors and for targets that are no token.
    """

    kind: NodeKind
    layer: int
    position: int
    feature: int


@dataclass(frozen=True)
class GraphEdges:
    """Direct effects as a list, by rising target and source."""

    targets: Int[Tensor, " n_edges"]
    sources: Int[Tensor, " n_edges"]
    weights: Float[Tensor, " n_edges"]

    def __len__(self) -> int:
        return len(self.weights)

    def __repr__(self) -> str:
        return f"GraphEdges({len(self):,} edges)"


@one_line
@dataclass(frozen=True)
class GraphTargets:
    """The vectors that a graph's logit nodes are made with: enough to look inside their edges."""

    directions: Float[Tensor, "n_logits d_model"]
    """Each logit node's value is, a constant aside, the product of this with what it reads."""
    layers: Int[Tensor, " n_logits"]
    """The layer whose read point that is; ``n_layers``: the final norm's output."""
    positions: Int[Tensor, " n_logits"]
    tokens: Int[Tensor, "n_logits 2"] | None = None
    """The token of each, and for a difference the one it is compared with; -1 where there is none.
    None in graphs that were saved before this was."""


@dataclass(frozen=True)
class NeuronChoice:
    """How the nodes of a graph of a model's own neurons were chosen."""

    n_candidates: int
    """Neurons, each at a position, with an effect on what is explained."""
    share_of_squares: float
    """Share of the sum of all their squared effects that the chosen ones have, 0 to 1."""
    folded: bool
    """True where other neurons are let through; False where they are one node of each layer and
    position, in the places that errors of a transcoder have."""
    against: tuple[int, ...]
    """Token ids of the second prompt whose activations were compared; empty without one."""
    effects: Float[Tensor, " n_features"]
    """Effect of each node on what is explained, over all paths and all neurons, above 0; against a
    second prompt that of the difference in activation."""
    other_activations: Float[Tensor, " n_features"]
    """Activation of each node in the second prompt; 0 without one, or where nothing stands for its
    position."""

    def telling(self, activations: Float[Tensor, " n_features"]) -> Float[Tensor, " n_features"]:
        """Return, of each node's two activations, the one that is further from 0.

        A node may matter by its silence: what it would do is then seen in the other prompt.
        """
        other = self.other_activations.to(activations)
        return torch.where(activations.abs() >= other.abs(), activations, other)
