"""Can a graph say which few features, taken away, change the model's answer?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.attribution import TokenDifference, attribute
from circuitscope_core.evals.faithfulness.gradients import gradient_effects
from circuitscope_core.evals.faithfulness.totals import total_effects
from circuitscope_core.evals.faithfulness.traced import TracedPrompt
from circuitscope_core.graph import AttributionGraph
from circuitscope_core.interventions import (
    Change,
    change_nodes,
    intervene_many,
    predict_total,
)
from circuitscope_core.interventions.changes import deltas_of
from circuitscope_core.interventions.runs import run_iterative
from circuitscope_core.prompt_pass import PromptPass
from circuitscope_core.replacement import ReplacementModel

MOST_FEATURES = 5
OVERSHOOT = 1.25
"""The multiple of the margin that a set must be predicted to take, so that it is no close call."""


@dataclass(frozen=True)
class PredictedFlip:
    """Features without which a graph says that the runner-up comes out on top."""

    nodes: tuple[int, ...]
    margin: float
    """Predicted logit of the first token less that of the second, without them; below 0."""


def measure_flips(traced: TracedPrompt, generator: torch.Generator) -> dict[tuple[str, str], float]:
    """Ablate the sets that are predicted to turn the top token into the runner-up.

    ``flips.predicted`` is 1 where a set was found and 0 where not; ``flips.happened`` 1 where the
    model, constrained up to the set's highest layer, then says the runner-up; ``flips.passed`` 1
    where the runner-up's logit passes the top token's, whatever else comes up; ``flips.size`` the
    features of the set; ``flips.ratio`` what the margin lost, as a share of what it was said to
    lose. ``flips.local`` and ``flips.local.ratio`` are the same of the local replacement model
    (features encoded again, errors and patterns frozen): what fails there as well is the fault of
    the linear prediction, the rest of the replacement. ``flips.overshoot`` is ``happened`` of sets
    that are predicted to take a quarter more than the margin: those are no close calls. Only
    prompts with a set count in all but the first. Methods: the graph; the graph, where the local
    replacement model confirms what it predicts; gradient times input, whose slopes are added up;
    the graph of shuffled decoders; and as many kept features at random.
    """
    logits = traced.clean.logits
    # ids that pad a vocabulary have no text, and are no token to explain
    named = logits[: traced.clean.replacement.tokenizer.d_vocab]
    top, second = named.topk(2).indices.tolist()
    margin = float(logits[top] - logits[second])
    graph = contrast_graph(traced.clean.replacement, traced, top, second)
    control = contrast_graph(traced.control, traced, top, second)
    direction = logits.new_zeros(1, len(logits))
    direction[0, top], direction[0, second] = 1, -1
    flips = {
        "graph": predict_flip(graph, margin, traced.thresholds),
        "confirmed": confirmed_flip(traced, graph, margin, second),
        "gradient": flip_by_sum(gradient_effects(traced, direction)[0], margin),
        "shuffled": predict_flip(control, margin, traced.thresholds),
    }
    if flips["graph"] is not None:
        kept = traced.kept.nonzero()[:, 0]
        drawn = torch.randperm(len(kept), generator=generator)[: len(flips["graph"].nodes)]
        nodes = tuple(kept[drawn].tolist())
        flips["random"] = PredictedFlip(nodes, flips["graph"].margin)
    found = overshot_flips(traced, graph, margin, second)
    for method, flip in flips.items():
        if method != "random":  # it predicts nothing
            found["flips.predicted", method] = float(flip is not None)
        if flip is None:
            continue
        changes = change_nodes(graph, flip.nodes)
        after = intervene_many(traced.clean, (), [changes], mode="constrained").logits_after[0]
        found["flips.happened", method] = float(int(after.argmax()) == second)
        found["flips.passed", method] = float(after[top] < after[second])
        if method == "random":
            continue
        predicted = margin - flip.margin
        found["flips.size", method] = float(len(flip.nodes))
        found["flips.ratio", method] = (margin - float(after[top] - after[second])) / predicted
        if method == "graph":
            local = local_logits(traced.clean, changes)
            lost = margin - float(local[top] - local[second])
            found["flips.local", method] = float(int(local.argmax()) == second)
            found["flips.local.ratio", method] = lost / predicted
    return found


def confirmed_flip(
    traced: TracedPrompt, graph: AttributionGraph, margin: float, second: int
) -> PredictedFlip | None:
    """Return the first predicted set without which the local replacement model flips as well.

    The graph's prediction is linear; running the replacement on the set costs one short pass, and
    nothing is asked of the model.
    """
    for flip in predicted_flips(graph, margin, traced.thresholds):
        local = local_logits(traced.clean, change_nodes(graph, flip.nodes))
        if int(local.argmax()) == second:
            return flip
    return None


def overshot_flips(
    traced: TracedPrompt, graph: AttributionGraph, margin: float, second: int
) -> dict[tuple[str, str], float]:
    """Return whether a set exists that is predicted to overshoot the margin, and flips the answer.

    Args:
        traced: The prompt.
        graph: Its contrast graph.
        margin: Logit of the top token less that of the runner-up.
        second: The runner-up.
    """
    flip = predict_flip(graph, OVERSHOOT * margin, traced.thresholds)
    found = {("flips.overshoot.predicted", "graph"): float(flip is not None)}
    if flip is not None:
        changes = change_nodes(graph, flip.nodes)
        after = intervene_many(traced.clean, (), [changes], mode="constrained").logits_after[0]
        found["flips.overshoot", "graph"] = float(int(after.argmax()) == second)
    return found


def local_logits(clean: PromptPass, changes: Sequence[Change]) -> Float[Tensor, " d_vocab"]:
    """Return the local replacement model's next logits under an intervention."""
    with torch.no_grad():
        deltas = deltas_of(clean, [changes])
        record = run_iterative(clean, [changes], deltas, freeze_patterns=True)
        return record.logits[0, clean.asked]


def contrast_graph(
    replacement: ReplacementModel, traced: TracedPrompt, top: int, second: int
) -> AttributionGraph:
    """Return the graph whose output is the difference of two tokens' logits."""
    return attribute(replacement, traced.clean.token_ids, targets=[TokenDifference(top, second)])


def predict_flip(
    graph: AttributionGraph, margin: float, thresholds: Float[Tensor, " n_features"]
) -> PredictedFlip | None:
    """Return the first set that is predicted to bring a contrast graph's output below 0.

    Returns:
        The set; None if more than ``MOST_FEATURES`` would be needed.
    """
    return next(predicted_flips(graph, margin, thresholds), None)


def predicted_flips(
    graph: AttributionGraph, margin: float, thresholds: Float[Tensor, " n_features"]
) -> Iterator[PredictedFlip]:
    """Yield sets that are predicted to bring a contrast graph's output below 0, each a part of the
    next one.

    Greedy: the feature whose loss takes most from the output, all paths counted, then the next one
    with those before it gone, and after each the whole set is predicted by ``predict_total``.
    """
    losses = torch.zeros(graph.n_nodes, device="cpu", dtype=torch.float32)
    nodes: list[int] = []
    while len(nodes) < min(MOST_FEATURES, graph.n_features):
        effects = total_effects(graph, losses)[0]
        effects[nodes] = float("-inf")
        best = int(effects.argmax())
        if effects[best] <= 0:
            return
        nodes.append(best)
        losses[best] = 1
        change = predict_total(graph, losses, thresholds).changes[graph.logit_nodes]
        if margin + float(change[0]) < 0:
            yield PredictedFlip(tuple(nodes), margin + float(change[0]))


def flip_by_sum(effects: Float[Tensor, " n_features"], margin: float) -> PredictedFlip | None:
    """Return the fewest features whose effects add up to more than a margin, if they are few."""
    values, nodes = effects.topk(min(MOST_FEATURES, len(effects)))
    left = margin - values.cumsum(0)
    enough = (left < 0).nonzero()[:, 0]
    if not len(enough):
        return None
    last = int(enough[0])
    return PredictedFlip(tuple(nodes[: last + 1].tolist()), float(left[last]))
