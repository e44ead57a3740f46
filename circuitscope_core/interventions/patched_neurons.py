"""A model's own neurons, given the activations of another prompt."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.attribution.contrast import Contrast
from circuitscope_core.attribution.neuron_choice import NeuronEffects, measure_effects
from circuitscope_core.attribution.targets import LogitTargets
from circuitscope_core.graph import AttributionGraph, GraphTargets
from circuitscope_core.interventions.changes import Change
from circuitscope_core.interventions.patch_sets import Patching, changes_to
from circuitscope_core.neuron_dictionary import NeuronDictionary
from circuitscope_core.prompt_pass import PromptPass
from circuitscope_core.replacement import ReplacementModel


def unchosen(clean: PromptPass) -> PromptPass:
    """Return a prompt's pass with all of the model's neurons alike, past which nothing goes."""
    model, tokenizer = clean.replacement.model, clean.replacement.tokenizer
    return replace(clean, replacement=ReplacementModel(model, NeuronDictionary(model), tokenizer))


def patch_neurons(
    own: PromptPass,
    contrast: Contrast,
    chosen: LogitTargets,
    nodes: Int[Tensor, "n 3"],
    seed: int,
) -> Patching:
    """Return neurons with their activations in another prompt, and as many drawn by chance.

    Args:
        own: The prompt's pass, from ``unchosen``.
        contrast: The other prompt beside it.
        chosen: What is explained.
        nodes: Layer, position and number of the neurons.
        seed: Of the drawing.
    """
    found = measure_effects(own, chosen, contrast)
    strongest = by_effect(found, nodes.to(own.logits.device))
    drawn = draw_by_chance(found, len(nodes), seed)
    places = tuple(strongest.T)
    activations = torch.stack([layer.activations for layer in found.linear])
    return Patching(
        strongest,
        activations[places],
        found.other_activations[places],
        found.effects[places],
        _changes(contrast, strongest),
        _changes(contrast, drawn),
    )


def targets_of(
    own: PromptPass, graph: AttributionGraph, targets: GraphTargets, ranks: Sequence[int]
) -> LogitTargets:
    """Return some outputs of a graph, which is a value of the host's, as what is explained."""
    rows, like = list(ranks), own.inputs
    tokens = graph.logit_token_ids[rows].to(like.device)
    return LogitTargets(
        tokens,
        graph.logit_probabilities[rows].to(like.device),
        targets.directions[rows].to(like),
        like.new_zeros(len(rows)),
        targets.layers[rows].to(like.device),
        targets.positions[rows].to(like.device),
        tokens,
        tokens,
        tuple(graph.logit_texts[rank] for rank in rows),
    )


def by_effect(found: NeuronEffects, nodes: Int[Tensor, "n 3"]) -> Int[Tensor, "n 3"]:
    """Order neurons by how much their difference favours the answer, best first."""
    return nodes[found.effects[tuple(nodes.T)].argsort(descending=True)]


def draw_by_chance(found: NeuronEffects, n: int, seed: int) -> Int[Tensor, "_ 3"]:
    """Draw neurons whose activations differ between the prompts, all alike likely."""
    differing = found.effects.flatten().nonzero()[:, 0]
    generator = torch.Generator("cpu").manual_seed(seed)
    order = torch.randperm(len(differing), generator=generator, device="cpu")[:n]
    return found.places(differing[order.to(differing.device)])


def patches(contrast: Contrast, nodes: Int[Tensor, "n 3"]) -> tuple[Change, ...]:
    """Return the changes that give neurons their activations in the other prompt.

    Those at positions that nothing stands for in the other prompt keep their own.
    """
    return tuple(change for change in _changes(contrast, nodes) if change is not None)


def _changes(contrast: Contrast, nodes: Int[Tensor, "n 3"]) -> tuple[Change | None, ...]:
    layers, positions, numbers = nodes.T
    there = contrast.positions.to(positions.device)[positions]
    values: Float[Tensor, " n"] = contrast.other.dense_activations[
        layers, there.clamp(min=0), numbers
    ]
    return changes_to(nodes, values, there >= 0)
