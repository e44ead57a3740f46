"""Tokens that might have come in the place of a graph's outputs."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.values import one_line


@one_line
@dataclass(frozen=True)
class Alternatives:
    """Likely tokens beside those that a graph explains, with the direct effects on their logits.

    They are no nodes. A node that lifts an output and its alternatives alike changes no probability
    and so tells nothing of why the output came.
    """

    token_ids: Int[Tensor, " n"]
    probabilities: Float[Tensor, " n"]
    positions: Int[Tensor, " n"]
    """The position whose output each might have been."""
    effects: Float[Tensor, "n n_nodes"]
    """Direct effect of every node on each logit less the mean logit: rows as in ``adjacency``."""

    def __len__(self) -> int:
        return len(self.token_ids)
