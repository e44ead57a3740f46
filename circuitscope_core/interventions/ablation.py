"""The effect of each of a graph's features on the answer, switched off alone in the replacement."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.attribution.edges import pass_of
from circuitscope_core.cores import one_core
from circuitscope_core.errors import GraphError
from circuitscope_core.graph import AttributionGraph
from circuitscope_core.interventions.changes import Change, Intervention, deltas_of
from circuitscope_core.interventions.divergence import kl_bits
from circuitscope_core.interventions.many import logits_with
from circuitscope_core.interventions.outputs import tokens_of
from circuitscope_core.interventions.runs import run_iterative
from circuitscope_core.prompt_pass import PromptPass
from circuitscope_core.replacement import Explainable

MOST_WORK = 3e10
"""Multiplications that ``trace`` spends on ablations unasked: a few seconds of one core."""
WORK_PER_SECOND = 1e10
"""Multiplications of one core in a second, about."""
RUNS_AT_ONCE, RUNS_AT_SEVERAL = 256, 16
"""Runs whose logits are kept together: at one position, and at several."""


@checked
@one_core()
def ablate_in_replacement(
    bundle: Explainable | PromptPass, graph: AttributionGraph, nodes: Sequence[int]
) -> Float[Tensor, " n"]:
    """Switch features off one at a time, and return how far each moves the answer, in bits.

    Each run is of the local replacement model: one feature is 0, all others are encoded again on
    what they then read, reconstruction errors and attention patterns are those of the clean pass,
    and norms follow the stream. The figure is ``KL(clean || without)`` of the tokens at the
    position that is explained; of a difference, between its two tokens alone; several positions or
    differences add up.

    A model's own neurons are set in the model itself, with its attention patterns: there is nothing
    that replaces it. In a graph against a second prompt they get their activation there.

    Args:
        bundle: The bundle or replacement model that the graph was made with, or the prompt's pass.
        graph: A graph whose outputs are tokens or differences of tokens.
        nodes: Numbers of features in the graph.

    Returns:
        Bits, ``[len(nodes)]``, in the order of the nodes.

    Raises:
        GraphError: If a node is no feature, or an output is no token and no difference of two.

    Example:
        >>> import circuitscope_core as cs
        >>> bundle = cs.load_bundle("models/demo")
        >>> graph = cs.attribute(bundle, "The National Digital Group (N")
        >>> bits = cs.ablate_in_replacement(bundle, graph, [0, 1])
        >>> bool((bits >= 0).all())
        True
    """
    if not all(0 <= node < graph.n_features for node in nodes):
        raise GraphError(
            f"Only features can be switched off; give numbers from 0 to {graph.n_features - 1}."
        )
    questions = questions_of(graph)
    if not questions:
        raise GraphError(
            "An output of this graph is no token and no difference of tokens, so there is no "
            "answer that could change; build a graph for tokens."
        )
    clean, sets = pass_of(bundle, graph)[0], [_off(graph, node) for node in nodes]
    capped = clean.replacement.model.shape.capped
    before = capped(clean.record.logits[0])
    bits = graph.bias.new_zeros(len(sets), dtype=torch.float64)
    for start, after in _answers(clean, sets, {question.position for question in questions}):
        for question in questions:
            new = question.pick(capped(after[question.position]))
            found = kl_bits(question.pick(before[question.position]), new)
            bits[start : start + len(new)] += found.cpu()
    return bits.float()


def ablation_seconds(clean: PromptPass, n: int) -> float:
    """Return how long it takes one core to switch ``n`` features off, roughly."""
    return _work(clean, n) / WORK_PER_SECOND


def is_quick(clean: PromptPass, n: int) -> bool:
    """Return whether ``n`` features are switched off in a few seconds at most."""
    return _work(clean, n) <= MOST_WORK


def _work(clean: PromptPass, n: int) -> float:
    """Return multiplications of ``n`` runs: of the model and, on top of it, of the encoders."""
    model, features = clean.replacement.model, clean.replacement.transcoder.shape
    encoders = 0 if features.exact else features.n_layers * features.d_model * features.n_features
    return float(n) * clean.n_pos * (model.n_parameters + encoders)


@dataclass(frozen=True)
class Question:
    """A distribution that a graph explains."""

    position: int
    tokens: tuple[int, int] | None
    """The two tokens of a difference; None for all tokens."""

    def pick(self, logits: Float[Tensor, "*n d_vocab"]) -> Float[Tensor, "*n n_tokens"]:
        """Return the logits of the tokens that are told apart."""
        return logits if self.tokens is None else logits[..., list(self.tokens)]


def questions_of(graph: AttributionGraph) -> tuple[Question, ...]:
    """Return the distributions that a graph explains, each once; none if an output is no token."""
    pairs = zip(tokens_of(graph), graph.target_positions.tolist(), strict=True)
    found = {
        Question(position, (token, minus) if minus >= 0 else None): token
        for (token, minus), position in pairs
    }
    return tuple(found) if all(token >= 0 for token in found.values()) else ()


def _off(graph: AttributionGraph, node: int) -> tuple[Change, ...]:
    """Return what takes a feature away; of a neuron, what makes it as in the second prompt."""
    layer, position, number = graph.features[node].tolist()
    value = 0.0 if graph.choice is None else float(graph.choice.other_activations[node])
    return (Intervention(layer, position, number, value),)


def _answers(
    clean: PromptPass, sets: Sequence[tuple[Change, ...]], positions: set[int]
) -> Iterator[tuple[int, dict[int, Float[Tensor, "n d_vocab"]]]]:
    """Yield the number of a first run, and the logits by position of it and some that follow."""
    alone = positions == {clean.asked}
    at_once = RUNS_AT_ONCE if alone else RUNS_AT_SEVERAL
    for start in range(0, len(sets), at_once):
        some = sets[start : start + at_once]
        if alone:
            after = logits_with(clean, some, mode="iterative", freeze_patterns=True)
            yield start, {clean.asked: after}
            continue
        with torch.no_grad():
            deltas = deltas_of(clean, some)
            logits = run_iterative(clean, some, deltas, freeze_patterns=True).logits
        yield start, {position: logits[:, position] for position in positions}
