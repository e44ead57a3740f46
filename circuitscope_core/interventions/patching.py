"""The test of a graph of neurons: give its nodes the activations of another prompt, and look.

If the nodes make the answer, it becomes the other prompt's; if they do not, nothing happens. The
model runs as it is, with nothing frozen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.attribution.contrast import Contrast, align
from circuitscope_core.attribution.edges import pass_of
from circuitscope_core.attribution.neuron_choice import NeuronEffects, measure_effects
from circuitscope_core.attribution.targets import LogitTargets
from circuitscope_core.errors import GraphError
from circuitscope_core.graph import AttributionGraph, GraphTargets
from circuitscope_core.interventions.changes import Change, Intervention
from circuitscope_core.interventions.many import intervene_many
from circuitscope_core.neuron_dictionary import NeuronDictionary
from circuitscope_core.prompt_pass import PromptPass, run_prompt
from circuitscope_core.replacement import Explainable, ReplacementModel
from circuitscope_core.values import one_line

SIZES = (1, 3, 10, 30, 100, 300)
"""Numbers of neurons that are patched together."""
RUNS_AT_ONCE = 4
"""Sets of neurons that run as one batch: each holds the model's logits and streams."""


@one_line
@dataclass(frozen=True)
class PatchingCurve:
    """What becomes of an answer while more and more of a graph's neurons are patched.

    An answer's value is its logit less that of the token it is compared with, or less the mean of
    all logits where there is none.
    """

    answer: str
    """The target that was looked at."""
    clean: float
    """Its value after the prompt."""
    other: float
    """Its value after the second prompt."""
    sizes: tuple[int, ...]
    """Neurons patched together: the strongest of the graph."""
    patched: tuple[float, ...]
    """The value with so many of them patched."""
    random: tuple[float, ...]
    """The value with as many neurons patched that were drawn by chance; empty if not asked for."""

    @property
    def left(self) -> tuple[float, ...]:
        """Share of the difference between the prompts that is left: 1 at first, 0 as the other."""
        return tuple(self._share(value) for value in self.patched)

    @property
    def left_by_chance(self) -> tuple[float, ...]:
        """The same with neurons drawn by chance."""
        return tuple(self._share(value) for value in self.random)

    def _share(self, value: float) -> float:
        between = self.clean - self.other
        return (value - self.other) / between if between else float("nan")

    @property
    def flips_at(self) -> int | None:
        """The smallest number of neurons with which the value changes its sign; None if none."""
        sign = self.clean > 0
        flipped = (n for n, v in zip(self.sizes, self.patched, strict=True) if (v > 0) != sign)
        return next(flipped, None)


@checked
def verify_by_patching(
    bundle: Explainable | PromptPass,
    graph: AttributionGraph,
    against: str | Sequence[int] | None = None,
    *,
    sizes: Sequence[int] = SIZES,
    by_chance: bool = True,
    seed: int = 0,
) -> PatchingCurve:
    """Give a graph's neurons the activations of a second prompt, more and more of them.

    Args:
        bundle: The bundle or replacement model that the graph was made with, or the prompt's pass.
        graph: Of a model's own neurons, whose first target is a token or a difference of tokens.
        against: The second prompt; the graph's own where None.
        sizes: Numbers of neurons to patch; those above the graph's number are left out, and all of
            them are patched last.
        by_chance: True also patches as many neurons that are drawn by chance from all that differ.
        seed: Of the drawing.

    Raises:
        GraphError: If the features are no neurons, the first target is no token, or there is no
            second prompt.

    Example:
        >>> import circuitscope_core as cs
        >>> demo = cs.load_bundle("models/demo")
        >>> bundle = cs.make_bundle(demo.model, tokenizer=demo.tokenizer)
        >>> trace = cs.trace(bundle, "The cats", against="The dogs")
        >>> curve = cs.verify_by_patching(bundle, trace.graph, sizes=[10])
        >>> curve.sizes
        (10, 200)
    """
    clean, targets = pass_of(bundle, graph)
    if graph.choice is None:
        raise GraphError("Only graphs of a model's own neurons can be tested by patching.")
    other_prompt = against if against is not None else graph.choice.against
    if not other_prompt:
        raise GraphError("Patching needs a second prompt, which leads to another answer; give one.")
    own = unchosen(clean)
    contrast = align(own, run_prompt(own.replacement, other_prompt))
    token, minus = _tokens_of(targets)
    found = measure_effects(own, _first_target(graph, targets), contrast)
    n_nodes = graph.n_features
    wanted = sorted({size for size in sizes if 0 < size < n_nodes} | {n_nodes})
    strongest = by_effect(found, graph.features.to(clean.features.device))
    sets = [patches(contrast, strongest[:size]) for size in wanted]
    drawn = draw_by_chance(found, n_nodes, seed) if by_chance else strongest[:0]
    chance = [patches(contrast, drawn[:size]) for size in wanted] if by_chance else []
    logits = torch.cat(
        [
            intervene_many(
                own, (), [*sets, *chance][start : start + RUNS_AT_ONCE], mode="iterative"
            ).logits_after
            for start in range(0, len(sets) + len(chance), RUNS_AT_ONCE)
        ]
    )
    values = _values(logits, token, minus).tolist()
    return PatchingCurve(
        graph.logit_texts[0],
        float(_values(own.logits, token, minus)),
        float(_values(contrast.other.logits, token, minus)),
        tuple(wanted),
        tuple(values[: len(sets)]),
        tuple(values[len(sets) :]),
    )


def unchosen(clean: PromptPass) -> PromptPass:
    """Return a prompt's pass with all of the model's neurons alike, past which nothing goes."""
    model, tokenizer = clean.replacement.model, clean.replacement.tokenizer
    return replace(clean, replacement=ReplacementModel(model, NeuronDictionary(model), tokenizer))


def by_effect(found: NeuronEffects, nodes: Int[Tensor, "n 3"]) -> Int[Tensor, "n 3"]:
    """Order neurons by how much their difference favours the answer, best first."""
    return nodes[found.effects[tuple(nodes.T)].argsort(descending=True)]


def draw_by_chance(found: NeuronEffects, n: int, seed: int) -> Int[Tensor, "_ 3"]:
    """Draw neurons whose activations differ between the prompts, all alike likely."""
    differing = found.effects.flatten().nonzero()[:, 0]
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(differing), generator=generator)[:n]
    return found.places(differing[order.to(differing.device)])


def patches(contrast: Contrast, nodes: Int[Tensor, "n 3"]) -> tuple[Change, ...]:
    """Return the changes that give neurons their activations in the other prompt.

    Those at positions that nothing stands for in the other prompt keep their own.
    """
    layers, positions, numbers = nodes.T
    there = contrast.positions[positions]
    kept = there >= 0
    values = contrast.other.dense_activations[layers[kept], there[kept], numbers[kept]]
    return tuple(
        Intervention(layer, position, number, value)
        for (layer, position, number), value in zip(
            nodes[kept].tolist(), values.tolist(), strict=True
        )
    )


def _tokens_of(targets: GraphTargets) -> tuple[int, int]:
    """Return the first target's token and the one it is compared with, -1 for none."""
    token, minus = (-1, -1) if targets.tokens is None else targets.tokens[0].tolist()
    if token < 0:
        raise GraphError(
            "The graph's first target is no token and no difference of two; build a graph for one."
        )
    return token, minus


def _first_target(graph: AttributionGraph, targets: GraphTargets) -> LogitTargets:
    tokens = graph.logit_token_ids[:1]
    return LogitTargets(
        tokens,
        graph.logit_probabilities[:1],
        targets.directions[:1],
        targets.directions.new_zeros(1),
        targets.layers[:1],
        targets.positions[:1],
        tokens,
        tokens,
        graph.logit_texts[:1],
    )


def _values(logits: Float[Tensor, "*n d_vocab"], token: int, minus: int) -> Float[Tensor, "*n"]:
    against = logits.mean(dim=-1) if minus < 0 else logits[..., minus]
    return logits[..., token] - against
