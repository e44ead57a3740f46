"""The test of a graph: give its nodes the activations of another prompt, and look.

If the nodes make the answer, it becomes the other prompt's; if they do not, nothing happens. The
model runs with nothing frozen: what is not patched follows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.attribution.contrast import Contrast, align
from circuitscope_core.attribution.edges import pass_of
from circuitscope_core.errors import GraphError
from circuitscope_core.graph import AttributionGraph
from circuitscope_core.interventions.changes import Change
from circuitscope_core.interventions.curve import Asked, PatchedRest, PatchingCurve, asked_of
from circuitscope_core.interventions.many import RUNS_AT_ONCE, logits_at
from circuitscope_core.interventions.outputs import places_of_outputs
from circuitscope_core.interventions.patch_sets import Patching
from circuitscope_core.interventions.patched_features import PromptPair, effects_on_answer
from circuitscope_core.interventions.patched_neurons import patch_neurons, targets_of, unchosen
from circuitscope_core.prompt_pass import PromptPass, run_prompt
from circuitscope_core.pruning import PrunedGraph
from circuitscope_core.replacement import Explainable

SIZES = (1, 3, 10, 30, 100, 300)
"""Numbers of nodes that are patched together."""


@runtime_checkable
class HasPruned(Protocol):
    """A value with a graph and the kept part of it, such as a trace."""

    @property
    def graph(self) -> AttributionGraph:
        """The whole graph."""

    @property
    def pruned(self) -> PrunedGraph:
        """The kept part."""


Patchable: TypeAlias = AttributionGraph | PrunedGraph | HasPruned
"""A graph all of whose features are patched, or what is kept of one."""


@checked
def verify_by_patching(
    bundle: Explainable | PromptPass,
    graph: Patchable,
    against: str | Sequence[int] | Patchable | None = None,
    *,
    sizes: Sequence[int] = SIZES,
    by_chance: bool = True,
    seed: int = 0,
) -> PatchingCurve:
    """Give a graph's nodes the activations of a second prompt, more and more of them.

    It says why the model answers so here and not there: the share of the change of the answer, from
    one prompt to the other, that the nodes carry.

    Features of a transcoder are set while all others are encoded again on the stream that follows,
    with the errors of the first prompt. A single token as target is then compared with the
    likeliest one after the second prompt, where that is another.

    Args:
        bundle: The bundle or replacement model that the graph was made with, or the prompt's pass.
        graph: Its first target is a token or a difference of tokens, or its targets are an answer.
            The kept features of a pruned graph or a trace are patched.
        against: The second prompt, of a transcoder with as many tokens as the first; or a graph of
            that prompt, whose features are patched as well. None: of neurons, the prompt that they
            were chosen against. Where an answer is explained, it is read after the second prompt
            too.
        sizes: Numbers of nodes to patch; those above the graph's number are left out, and all of
            them are patched last.
        by_chance: True also patches as many that are drawn by chance from all that differ.
        seed: Of the drawing.

    Raises:
        GraphError: If the first target is no token, there is no second prompt, the second prompt of
            a transcoder has another number of tokens, or none of the features differs.
        PromptError: If the second prompt is too long, or has unknown ids.

    Example:
        >>> import circuitscope_core as cs
        >>> bundle = cs.load_bundle("models/demo")
        >>> trace = cs.trace(bundle, "The cats")
        >>> curve = cs.verify_by_patching(bundle, trace, "The men", sizes=[10])
        >>> len(curve.carried) == len(curve.sizes), curve.rest is not None
        (True, True)
    """
    whole = graph_of(graph)
    clean, targets = pass_of(bundle, whole)
    asked = asked_of(whole)
    own = clean if whole.choice is None else unchosen(clean)
    pair = _Pair.of(own, whole, asked, against)
    rest: PatchedRest | None = None
    nodes = features_of(graph)
    if whole.choice is not None:
        chosen = targets_of(own, whole, targets, asked.ranks)
        patching = patch_neurons(own, pair.contrast, chosen, whole.features[nodes], seed)
    else:
        both = PromptPair(clean, pair.contrast.other)
        asked = both.compared(asked)
        here, there = effects_on_answer(whole, nodes, asked.ranks), None
        if isinstance(against, Patchable):
            theirs = graph_of(against)
            there = effects_on_answer(theirs, features_of(against), asked_of(theirs).ranks)
        patching, rest = both.patching(here, there, seed), both.rest(asked)
    n_nodes = len(patching.places)
    wanted = sorted({size for size in sizes if 0 < size < n_nodes} | {n_nodes})
    values, random = _run(own, asked, patching, wanted, by_chance=by_chance)
    before, after = pair.values(own, asked)
    curve = (tuple(wanted), values, random)
    return PatchingCurve(asked.text, before, after, *curve, patching.nodes, rest)


@dataclass(frozen=True)
class _Pair:
    """The second prompt beside the first."""

    contrast: Contrast

    @classmethod
    def of(
        cls,
        own: PromptPass,
        graph: AttributionGraph,
        asked: Asked,
        against: str | Sequence[int] | Patchable | None,
    ) -> "_Pair":
        token_ids = second_tokens(own, graph, asked, against)
        other = run_prompt(own.replacement, token_ids)
        n_read = 1 if graph.answer is None else graph.n_pos - min(asked.positions)
        return cls(align(own, other, n_read))

    def values(self, own: PromptPass, asked: Asked) -> tuple[float, float]:
        """Return the answer's value after the prompt and after the second one."""
        here = list(asked.positions)
        there = self.contrast.positions[here].tolist()
        logits = (own.record.logits[0, here], self.contrast.other.record.logits[0, there])
        before, after = (float(asked.value(each)) for each in logits)
        return before, after


def graph_of(graph: Patchable) -> AttributionGraph:
    """Return the whole graph of what is kept of one."""
    return graph if isinstance(graph, AttributionGraph) else graph.graph


def features_of(graph: Patchable) -> Int[Tensor, " n"]:
    """Return the features of a graph, or those that are kept of it."""
    whole = graph_of(graph)
    if isinstance(graph, AttributionGraph):
        return whole.every_node[whole.feature_nodes]
    kept = (graph if isinstance(graph, PrunedGraph) else graph.pruned).kept_nodes
    return kept[kept < whole.n_features]


def second_tokens(
    clean: PromptPass,
    graph: AttributionGraph,
    asked: Asked,
    against: str | Sequence[int] | Patchable | None,
) -> list[int]:
    """Return the tokens of the second prompt, with those of an answer that are read behind it.

    Raises:
        GraphError: If there is no second prompt.
        PromptError: If it cannot be read.
    """
    if against is None and graph.choice is not None and graph.choice.against:
        return list(graph.choice.against)
    if against is None or (not isinstance(against, Patchable) and not len(against)):
        raise GraphError("Patching needs a second prompt, which leads to another answer; give one.")
    if isinstance(against, Patchable):
        there = graph_of(against)
        places = places_of_outputs(there)
        end = min(places) + 1 if there.answer is not None else there.n_pos
        own: list[int] = there.token_ids[:end].tolist()
    else:
        own = clean.replacement.encode(against)
    read = [] if graph.answer is None else graph.token_ids[min(asked.positions) + 1 :].tolist()
    return [*own, *read]


def _run(
    own: PromptPass, asked: Asked, patching: Patching, sizes: Sequence[int], *, by_chance: bool
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the answer's value with the strongest nodes patched, and with as many by chance."""
    sets = patching.sets(sizes)
    chance = patching.chance_sets(sizes) if by_chance else []
    values = asked.value(_logits(own, [*sets, *chance], asked.positions)).tolist()
    return tuple(values[: len(sets)]), tuple(values[len(sets) :])


def _logits(
    own: PromptPass, sets: Sequence[Sequence[Change]], positions: Sequence[int]
) -> Float[Tensor, "n_sets n_asked d_vocab"]:
    parts = [
        logits_at(own, sets[start : start + RUNS_AT_ONCE], positions, "iterative")
        for start in range(0, len(sets), RUNS_AT_ONCE)
    ]
    return torch.cat(parts)
