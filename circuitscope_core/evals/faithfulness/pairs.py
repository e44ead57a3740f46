"""Do features act on each other as the graph says?"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.evals.faithfulness.figures import mean_of_defined, spearman
from circuitscope_core.evals.faithfulness.gradients import slopes_at_features
from circuitscope_core.evals.faithfulness.traced import TracedPrompt
from circuitscope_core.graph import AttributionGraph, normalize_rows
from circuitscope_core.interventions.changes import deltas_of
from circuitscope_core.interventions.runs import run_clamped


def measure_pairs(
    traced: TracedPrompt, n_sources: int, generator: torch.Generator
) -> dict[tuple[str, str], float]:
    """Return rank correlations of influence and change over targets, averaged over sources.

    Sources are a sample of the kept features below the last layer, each ablated alone under
    constrained patching; what is measured is the absolute change of each target's activation,
    JumpReLU included. Targets are the features of higher layers that the source has a path to:
    those that are kept, or all.
    """
    sources = traced.sample(n_sources, generator)
    influence = path_influence(traced.graph, sources)
    control = path_influence(traced.control_graph, sources)
    values: dict[tuple[str, str], list[float]] = {}
    row = 0
    for layer, some in traced.by_layer(sources):
        measured = activation_changes(traced, layer, some)
        slopes = slopes_at_features(traced, layer, some).abs()
        for number, change in enumerate(measured):
            reached = influence[row] > 0
            for group, at in (("kept", reached & traced.kept), ("reached", reached)):
                ours = (influence[row], slopes[number], control[row])
                for method, one in zip(("graph", "gradient", "shuffled"), ours, strict=True):
                    key = (f"pairs.{group}", method)
                    values.setdefault(key, []).append(spearman(one[at], change[at]))
            row += 1
    return {key: mean_of_defined(found) for key, found in values.items()}


def path_influence(
    graph: AttributionGraph, sources: Int[Tensor, " n"]
) -> Float[Tensor, "n n_features"]:
    """Return each source's influence on every feature of a higher layer, over all paths.

    Effects are first shares of all that a target gets, in absolute values; a path is worth the
    product of its shares, and the sum over paths times the sum of the target's absolute effects is
    the influence, in units of the target's pre-activation. 0 for features of the source's layer and
    below.
    """
    n, layers = graph.n_features, graph.features[:, 0]
    reach = torch.zeros(n, len(sources), device="cpu", dtype=torch.float32)
    reach[sources, torch.arange(len(sources))] = 1
    for layer in range(1, graph.n_layers):
        here, below = layers == layer, layers < layer
        rows = graph.adjacency[:n][here]
        reach[here] += normalize_rows(rows)[:, :n][:, below] @ reach[below]
    reach[sources, torch.arange(len(sources))] = 0
    return (reach * graph.adjacency[:n].abs().sum(dim=1)[:, None]).T


def activation_changes(
    traced: TracedPrompt, layer: int, nodes: Int[Tensor, " n"]
) -> Float[Tensor, "n n_features"]:
    """Return how far each feature's activation moves when one of a layer's is ablated."""
    sets = [(), *(traced.ablation(int(node)) for node in nodes)]
    with torch.no_grad():
        deltas = deltas_of(traced.clean, sets)
        run = run_clamped(traced.clean, deltas, layer, freeze_norms=False)
        values = traced.feature_values(run).cpu()
    activations = values * (values > traced.thresholds)
    return (activations[1:] - activations[0]).abs()
