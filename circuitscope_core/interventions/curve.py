"""The value of an answer while nodes are given the activations of another prompt."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from circuitscope_core.errors import GraphError
from circuitscope_core.graph import AttributionGraph
from circuitscope_core.interventions.outputs import tokens_of, value_of
from circuitscope_core.values import one_line


@dataclass(frozen=True)
class PatchedNode:
    """A feature or a neuron that was patched."""

    layer: int
    position: int
    feature: int
    activation: float
    """The activation in the prompt; 0 where the node is not active."""
    other: float
    """The activation in the second prompt."""
    effect: float
    """The graph's effect of its change on the change of the answer, over all paths: above 0 it
    favours this prompt's answer."""


@dataclass(frozen=True)
class PatchedRest:
    """How far one gets in the model with more than the nodes: the answer's value each time."""

    features: float
    """The value with all features patched that differ between the prompts, kept or not."""
    errors: float
    """The value with errors patched as well; the tokens alone are left."""
    tokens: float
    """The value with tokens patched as well: the other prompt itself, with which it must agree."""


@one_line
@dataclass(frozen=True)
class PatchingCurve:
    """The value of an answer while more and more of a graph's nodes are patched.

    An answer's value is its logit less that of the token it is compared with, or less the mean of
    all logits where there is none; of an answer of several tokens the mean over them.
    """

    answer: str
    """The target that was looked at."""
    clean: float
    """The answer's value after the prompt."""
    other: float
    """The answer's value after the second prompt."""
    sizes: tuple[int, ...]
    """Nodes patched together: the strongest of the graph."""
    patched: tuple[float, ...]
    """The value with each of ``sizes`` nodes patched."""
    random: tuple[float, ...]
    """The value with as many patched that were drawn by chance; empty if not asked for."""
    nodes: tuple[PatchedNode, ...] = ()
    """The nodes patched, strongest first."""
    rest: PatchedRest | None = None
    """The rest of a transcoder's features; None for a model's own neurons, which leave nothing."""

    @property
    def left(self) -> tuple[float, ...]:
        """Share of the difference between the prompts that is left: 1 at first, 0 as the other."""
        return tuple(self._share(value) for value in self.patched)

    @property
    def carried(self) -> tuple[float, ...]:
        """Share of the difference between the prompts that the nodes carry: 1 less what is left."""
        return tuple(1 - share for share in self.left)

    @property
    def left_by_chance(self) -> tuple[float, ...]:
        """The same with nodes drawn by chance."""
        return tuple(self._share(value) for value in self.random)

    def share_carried(self, value: float) -> float:
        """Return the share of the difference between the prompts that is gone at a value."""
        return 1 - self._share(value)

    def _share(self, value: float) -> float:
        between = self.clean - self.other
        return (value - self.other) / between if between else float("nan")

    @property
    def flips_at(self) -> int | None:
        """The smallest number of nodes with which the value changes its sign; None if none."""
        sign = self.clean > 0
        flipped = (n for n, v in zip(self.sizes, self.patched, strict=True) if (v > 0) != sign)
        return next(flipped, None)


@dataclass(frozen=True)
class Asked:
    """The answer that is looked at: a token, a difference of two, or each token of an answer."""

    text: str
    positions: tuple[int, ...]
    """The position at which each token is read."""
    tokens: tuple[tuple[int, int], ...]
    """Each token and the one it is compared with; -1: with the mean of all logits."""
    ranks: tuple[int, ...]
    """Their numbers among the outputs of the graph."""

    def value(self, logits: Float[Tensor, "*n n_asked d_vocab"]) -> Float[Tensor, "*n"]:
        """Return the value of the answer, given the logits at its positions."""
        values = [value_of(logits[..., n, :], *pair) for n, pair in enumerate(self.tokens)]
        total: Tensor = sum(values[1:], start=values[0])
        return total / len(values)


def asked_of(graph: AttributionGraph) -> Asked:
    """Return the answer of a graph: its whole answer, or its first target.

    Raises:
        GraphError: If the first target is no token and no difference of two.
    """
    tokens, places = tokens_of(graph), graph.target_positions.tolist()
    ranks, text = [0], graph.logit_texts[0]
    if graph.answer is not None:
        text = graph.answer.text
        ranks = [places.index(place) for place in dict.fromkeys(places)]
    if tokens[0][0] < 0:
        raise GraphError(
            "The graph's first target is no token and no difference of two; build a graph for one."
        )
    chosen = tuple(places[rank] for rank in ranks)
    return Asked(text, chosen, tuple(tokens[rank] for rank in ranks), tuple(ranks))
