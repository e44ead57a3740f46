"""The features that become nodes where a graph has a budget."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.attribution.alternatives import OtherTokens
from circuitscope_core.attribution.carry_through import total_feature_effects
from circuitscope_core.attribution.effects import Reads
from circuitscope_core.attribution.sources import cores_for
from circuitscope_core.attribution.targets import LogitTargets
from circuitscope_core.cores import map_on_cores
from circuitscope_core.graph import Alternatives, outcomes_between
from circuitscope_core.prompt_pass import PromptPass


def choose_features(
    clean: PromptPass, chosen: LogitTargets, others: OtherTokens | None, budget: int
) -> Int[Tensor, " n_chosen"]:
    """Return the features that do most to what is explained, over all paths.

    One pass back through the frozen model and its features gives every feature's effect on every
    target: work and memory grow with the features, not with their pairs.

    Args:
        clean: The prompt's clean pass.
        chosen: The targets.
        others: Likely tokens that the targets are told from; None: there are none.
        budget: How many features, at most.

    Returns:
        Rows of ``clean.features``, rising.
    """
    n = min(budget, len(clean.features))
    scores = score_features(clean, chosen, others)
    return scores.topk(n).indices.sort().values.to(clean.features.device)


def score_features(
    clean: PromptPass, chosen: LogitTargets, others: OtherTokens | None
) -> Float[Tensor, " n_features"]:
    """Return how much each active feature does to what is explained, in the host's memory.

    Where outputs are tokens, the standard deviation of a feature's effects on the tokens that may
    come, the part of ``answer_score`` whose paths are added up with their signs; else the sum of
    its absolute effects on the targets, by their weights.
    """
    given, cores = reads_of(chosen), cores_for(clean, len(clean.features))
    asked = [reads for _, reads in given]
    asked += [] if others is None else others.reads.split(cores)
    effects = map_on_cores(lambda reads: total_feature_effects(clean, reads).T.cpu(), asked, cores)
    shape = (len(chosen.layers), len(clean.features))
    found = torch.zeros(shape, dtype=clean.activations.dtype, device="cpu")
    for (at, _), own_effects in zip(given, effects, strict=False):
        found[at.cpu()] = own_effects
    own = (chosen.token_ids.cpu(), chosen.probabilities.cpu(), chosen.positions.cpu())
    outputs = Alternatives(*own, found)
    beside = None if others is None else others.with_effects(torch.cat(list(effects)))
    outcomes = outcomes_between(outputs, beside)
    if outcomes is None:
        return chosen.weights.cpu().to(found) @ found.abs()
    squares = torch.stack([item.weights @ item.rows.square() for item in outcomes])
    return squares.sum(dim=0).sqrt()


def reads_of(chosen: LogitTargets) -> list[tuple[Int[Tensor, " n"], Reads]]:
    """Return the targets as reads, one for each layer that they read, with their places."""
    found = []
    for layer in chosen.layers.unique().tolist():
        at = (chosen.layers == layer).nonzero()[:, 0]
        parts = (chosen.positions[at], chosen.directions[at], chosen.biases[at])
        found.append((at, Reads(layer, *parts)))
    return found
