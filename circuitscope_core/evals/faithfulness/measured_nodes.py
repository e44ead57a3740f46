"""Do influential features matter? Influence against what the model does without each feature."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuitscope_core.evals.faithfulness.figures import kl_bits, spearman
from circuitscope_core.evals.faithfulness.gradients import explained_directions, gradient_effects
from circuitscope_core.evals.faithfulness.totals import total_effects
from circuitscope_core.evals.faithfulness.traced import TracedPrompt
from circuitscope_core.interventions import intervene_many
from circuitscope_core.pruning import compute_node_influence


def measure_nodes(traced: TracedPrompt) -> dict[tuple[str, str], float]:
    """Return rank correlations of a feature's rank and effect by figure and method.

    Every active feature is ablated alone under constrained patching. Its effect is ``KL(clean ||
    ablated)`` of the next token in bits; or ``sum_k p_k |change of logit k less the mean logit|``
    over the explained logits.

    Held against them: influence; ``score``, what pruning ranks nodes by; ``replacement``, the same
    divergence when the feature is ablated in the local replacement model, of kept features alone;
    ``linear``, what the graph says each logit loses over all paths,
    signs kept, as absolute values weighted by probability; ``divergence``, the same losses as the
    divergence they make (see ``as_divergence``); gradient times input in these two forms; and
    influence with shuffled decoders.
    """
    graph = traced.graph
    influence = traced.pruned.node_influence[graph.feature_nodes]
    weights = graph.logit_probabilities
    totals = total_effects(graph, torch.zeros(graph.n_nodes, device="cpu", dtype=torch.float32))
    slopes = gradient_effects(traced, explained_directions(traced))
    by_method = {
        "graph": influence,
        "score": traced.pruned.node_score[graph.feature_nodes],
        "linear": weights @ totals.abs(),
        "divergence": as_divergence(traced, totals),
        "gradient": weights @ slopes.abs(),
        "gradient divergence": as_divergence(traced, slopes),
        "shuffled": compute_node_influence(traced.control_graph)[graph.feature_nodes],
    }
    by_bits, by_logits = measure_effects(traced)
    reaching, others = influence > 0, traced.kept_by_influence
    groups: dict[str, Bool[Tensor, " n"]] = {
        "kept": traced.kept,
        "reaching": reaching,
        "all": torch.ones_like(reaching),
    }
    found = {}
    for name, at in (("nodes.kept", traced.kept), ("nodes.kept.influence", others)):
        found[name, "replacement"] = spearman(traced.ablated[at], by_bits[at])
    for method, ours in by_method.items():
        for group, at in groups.items():
            found[f"nodes.{group}", method] = spearman(ours[at], by_bits[at])
            found[f"nodes.logits.{group}", method] = spearman(ours[at], by_logits[at])
        found["nodes.kept.influence", method] = spearman(ours[others], by_bits[others])
        found["nodes.place", method] = within_places(traced, ours, by_bits)
    return found


def as_divergence(
    traced: TracedPrompt, losses: Float[Tensor, "n_logits n_features"]
) -> Float[Tensor, " n_features"]:
    """Return the divergence, in bits, that losses of the explained logits make.

    All other tokens are one outcome more, whose logit moves as the mean logit does. A soft cap of
    the model's lies between losses and probabilities.
    """
    logits, capped = traced.clean.logits, traced.clean.replacement.model.shape.capped
    explained, losses = traced.graph.logit_token_ids.to(logits.device), losses.to(logits.device)
    rest = capped(logits).index_fill(0, explained, float("-inf")).logsumexp(dim=0, keepdim=True)
    # where no token is left the outcome has no mass, but a number
    rest = rest.clamp(min=-1e4)
    before = torch.cat([capped(logits[explained]), rest])
    lowered = capped(logits[explained] - losses.T)
    after = torch.cat([lowered, rest.expand(len(lowered), 1)], dim=1)
    return kl_bits(before, after).float().cpu()


def measure_effects(
    traced: TracedPrompt,
) -> tuple[Float[Tensor, " n_features"], Float[Tensor, " n_features"]]:
    """Return what ablating each feature does, in bits and in logits."""
    graph = traced.graph
    sets = [traced.ablation(node) for node in range(graph.n_features)]
    results = intervene_many(traced.clean, (), sets, mode="constrained")
    directions = explained_directions(traced).cpu()
    moved = (results.logits_after - results.logits_before) @ directions.T
    capped = traced.clean.replacement.model.shape.capped
    by_bits = kl_bits(capped(results.logits_before), capped(results.logits_after))
    return by_bits.float(), moved.abs() @ graph.logit_probabilities


def within_places(
    traced: TracedPrompt, ours: Float[Tensor, " n_features"], measured: Float[Tensor, " n_features"]
) -> float:
    """Return the rank correlation among features of one layer and position, averaged.

    The worth of a position or a layer as a whole cannot help here. Places count by the number of
    their features; those whose features all have the same effect, or fewer than three, are left
    out.
    """
    layers, positions, _ = traced.graph.features.T
    places = layers * traced.graph.n_pos + positions
    total, weight = 0.0, 0
    for place in places.unique().tolist():
        at = places == place
        value = spearman(ours[at], measured[at])
        if value == value:
            total += value * int(at.sum())
            weight += int(at.sum())
    return total / weight if weight else float("nan")
