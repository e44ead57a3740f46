"""The neurons that become nodes of a graph: those with most effect on what it explains.

One pass back through the frozen model, every neuron linearised, gives the effect of every neuron at
every position. The strongest become nodes. All others are let through as they are (folded), or are
one node of each layer and position, as the errors of a transcoder are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuitscope_core.answers import AnsweredPrompt, PromptLike
from circuitscope_core.attribution.carry_through import carry_through
from circuitscope_core.attribution.contrast import Contrast, align
from circuitscope_core.attribution.targets import (
    LogitTargets,
    Target,
    TokenDifference,
    select_targets,
)
from circuitscope_core.config import AttributionConfig
from circuitscope_core.errors import GraphError
from circuitscope_core.graph import NeuronChoice
from circuitscope_core.language_model import LinearNeurons, scatter
from circuitscope_core.neuron_dictionary import FoldedLayer, NeuronDictionary
from circuitscope_core.prompt_pass import PromptPass, run_prompt
from circuitscope_core.replacement import ReplacementModel
from circuitscope_core.values import one_line

DEFAULT_NEURONS = 200
"""Nodes of a graph where none are asked for."""
MOST_FOLDED_WORK = 1e12
"""Multiplications and additions, about, up to which other neurons are folded unless asked
otherwise: ten seconds of one core."""


@one_line
@dataclass(frozen=True)
class ChosenNodes:
    """The targets and the nodes of a graph of a model's own neurons."""

    clean: PromptPass
    """The prompt's pass, its features being the nodes."""
    targets: LogitTargets
    choice: NeuronChoice


def choose_nodes(
    clean: PromptPass,
    targets: Sequence[Target] | None,
    config: AttributionConfig,
    against: PromptLike | None = None,
) -> ChosenNodes:
    """Choose what is explained, and the neurons that favour it most as nodes.

    Args:
        clean: The prompt's clean pass.
        targets: As for ``attribute``; None: the likeliest token less the likeliest after the
            second prompt, or less the next likely one.
        config: How many nodes there are, and what becomes of the other neurons.
        against: A second prompt, which differs in what makes the answer, with the same answer
            behind it where the targets are one.

    Raises:
        GraphError: As ``select_targets``; also if no neuron differs between the prompts.
        PromptError: If the second prompt is empty, too long, or has unknown ids.
    """
    contrast = None
    if against is not None:
        n_read = len(against.answer_ids) if isinstance(against, AnsweredPrompt) else 1
        contrast = align(clean, run_prompt(clean.replacement, against), n_read)
    explained = default_contrast(clean, contrast) if targets is None else targets
    chosen = select_targets(clean, explained, config)
    found = measure_effects(clean, chosen, contrast)
    n_nodes = config.max_feature_nodes
    nodes = found.strongest(DEFAULT_NEURONS if n_nodes is None else n_nodes)
    if contrast is not None and not found.n_candidates:
        raise GraphError(
            "No neuron differs between the two prompts. Give a second prompt that differs from the "
            "first in what makes the answer."
        )
    folded = config.other_neurons == "folded" or (
        config.other_neurons == "auto" and folding_work(clean, len(nodes)) <= MOST_FOLDED_WORK
    )
    focused = with_nodes(clean, nodes, found.linear, folded=folded)
    places = tuple(focused.features.T)
    choice = NeuronChoice(
        found.n_candidates,
        found.share_of_squares(nodes),
        folded,
        () if contrast is None else contrast.other.token_ids,
        found.effects[places].float().cpu(),
        found.other_activations[places].float().cpu(),
    )
    return ChosenNodes(focused, chosen, choice)


def folding_work(clean: PromptPass, n_nodes: int) -> float:
    """Return how many multiplications and additions it takes to fold neurons, at most.

    Three products with a layer's weights for each node, position and layer.
    """
    shape = clean.replacement.transcoder.shape
    weights = shape.n_layers * shape.n_features * shape.d_model
    return 6.0 * n_nodes * clean.n_pos * weights


def default_contrast(clean: PromptPass, contrast: Contrast | None) -> list[Target]:
    """Return the likeliest token less the one it is most often weighed against."""
    named = clean.replacement.tokenizer.d_vocab
    best, second = clean.logits[:named].topk(2).indices.tolist()
    if contrast is not None:
        there = int(contrast.other.logits[:named].argmax())
        second = second if there == best else there
    return [TokenDifference(best, second)]


@one_line
@dataclass(frozen=True)
class NeuronEffects:
    """The effect of every neuron at every position on what a graph explains."""

    linear: tuple[LinearNeurons, ...]
    """Every layer's neurons, frozen at the prompt."""
    coefficients: Float[Tensor, "n_layers n_pos n_neurons"]
    """Effect for each unit of activation, over all paths; 0 at opening positions."""
    effects: Float[Tensor, "n_layers n_pos n_neurons"]
    """Times the activation; where there is a second prompt, times how much it is above that. 0 for
    neurons that are silent."""
    other_activations: Float[Tensor, "n_layers n_pos n_neurons"]
    """Activations in the second prompt; 0 without one."""

    @cached_property
    def n_candidates(self) -> int:
        """Number of neurons with an effect."""
        return int(torch.count_nonzero(self.effects))

    def strongest(self, n: int) -> Int[Tensor, "_ 3"]:
        """Return layer, position and number of the neurons that favour the target most, best first.

        Neurons that work against the target, or do nothing, are not among them.
        """
        best = self.effects.flatten().topk(min(n, self.effects.numel()))
        return self.places(best.indices[best.values > 0])

    def places(self, flat: Int[Tensor, " n"]) -> Int[Tensor, "n 3"]:
        """Return layer, position and number of neurons by their place among all."""
        return torch.stack(torch.unravel_index(flat, self.effects.shape), dim=1)

    def share_of_squares(self, nodes: Int[Tensor, "n 3"]) -> float:
        """Return which share of the sum of all squared effects some neurons have, 0 to 1."""
        chosen, every = self.effects[tuple(nodes.T)], self.effects
        return float(chosen.square().sum() / every.square().sum().clamp(min=1e-30))


def freeze_neurons(clean: PromptPass) -> tuple[LinearNeurons, ...]:
    """Return every layer's neurons as linear reads at a prompt."""
    model = clean.replacement.model
    return tuple(LinearNeurons.of(model.neurons(n), x) for n, x in enumerate(clean.inputs))


@torch.no_grad()
def measure_effects(
    clean: PromptPass, chosen: LogitTargets, contrast: Contrast | None = None
) -> NeuronEffects:
    """Return every neuron's effect on the targets, as much as each of them counts.

    Args:
        clean: The prompt's clean pass.
        chosen: What is explained.
        contrast: A second prompt; effects are then those of the difference in activations.
    """
    linear = freeze_neurons(clean)
    coefficients = carry_through_neurons(clean, linear, chosen)
    coefficients[:, : clean.explained.start] = 0
    acts = torch.stack([layer.activations for layer in linear])
    other = torch.zeros_like(acts) if contrast is None else contrast.activations(acts)
    # a neuron that gives nothing here, such as one of an expert not asked, is no node of this graph
    effects = coefficients * (acts - other) * (acts != 0)
    return NeuronEffects(linear, coefficients, effects, other)


def carry_through_neurons(
    clean: PromptPass, linear: tuple[LinearNeurons, ...], chosen: LogitTargets
) -> Float[Tensor, "n_layers n_pos n_neurons"]:
    """Carry the targets back through everything; return what arrives at each neuron.

    Opening positions are constants: nothing goes back through their neurons.
    """
    found: list[Tensor] = []

    def through(layer: int, at_write: Tensor) -> Tensor:
        at_neurons = linear[layer].back_to_activations(at_write)
        found.append(at_neurons[:, 0].clone())
        at_neurons[: clean.explained.start] = 0
        return linear[layer].back_to_input(at_neurons)

    carry_through(clean, lambda layer: _joining(clean, chosen, layer), through)
    return torch.stack(found[::-1])


def _joining(
    clean: PromptPass, chosen: LogitTargets, layer: int
) -> Float[Tensor, "n_pos 1 d_model"]:
    """Return the sum of the targets that read at a layer, as a gradient of the stream there."""
    at = chosen.layers == layer
    vectors, positions = chosen.directions[at], chosen.positions[at]
    weights = chosen.weights / chosen.weights.sum()
    vectors = vectors * weights[at, None].to(vectors)
    frozen = clean.frozen
    if layer == frozen.n_layers:
        vectors = frozen.back_from_final_norm(vectors, positions)
    else:
        vectors = frozen.back_from_read_point(layer, vectors, positions)
    return scatter(vectors, positions, clean.n_pos).sum(dim=1, keepdim=True)


@torch.no_grad()
def with_nodes(
    clean: PromptPass,
    nodes: Int[Tensor, "n 3"],
    linear: tuple[LinearNeurons, ...] | None = None,
    *,
    folded: bool = True,
) -> PromptPass:
    """Return a prompt's pass in which some neurons are the nodes.

    Args:
        clean: The prompt's clean pass.
        nodes: Layer, position and number of each.
        linear: From ``freeze_neurons``, where it is known.
        folded: True lets all other neurons through as they are; False makes one node of them at
            each layer and position.
    """
    linear = freeze_neurons(clean) if linear is None else linear
    acts = torch.stack([layer.activations for layer in linear])
    rows = in_graph_order(nodes, acts.shape)
    is_node = torch.zeros_like(acts, dtype=torch.bool)
    is_node[tuple(rows.T)] = True
    others = ~is_node
    others[:, : clean.explained.start] = False
    left = clean.outputs - _written_by(linear, is_node)
    features = NeuronDictionary(clean.replacement.model)
    if folded:
        layers = tuple(FoldedLayer(*pair) for pair in zip(linear, others, strict=True))
        features = features.letting_through(layers)
        past = [features.skip(layer, read) for layer, read in enumerate(clean.inputs)]
        errors, constants = torch.zeros_like(left), left - torch.stack(past)
    else:
        errors = _written_by(linear, others)
        constants = left - errors
    replacement = ReplacementModel(clean.replacement.model, features, clean.replacement.tokenizer)
    return replace(
        clean,
        replacement=replacement,
        features=rows,
        activations=acts[tuple(rows.T)],
        error_vectors=errors,
        constant_outputs=constants,
    )


def _written_by(
    linear: tuple[LinearNeurons, ...], some: Bool[Tensor, "n_layers n_pos n_neurons"]
) -> Float[Tensor, "n_layers n_pos d_model"]:
    """Return what some neurons add to each MLP output."""
    return torch.stack(
        [
            (own.activations * keep) @ own.neurons.W_out.to(own.activations.dtype)
            for own, keep in zip(linear, some, strict=True)
        ]
    )


def in_graph_order(nodes: Int[Tensor, "n 3"], shape: tuple[int, ...]) -> Int[Tensor, "n 3"]:
    """Return neurons by rising layer, position and number, as a graph has its features."""
    _, n_pos, n_neurons = shape
    layers, positions, numbers = nodes.T
    order = ((layers * n_pos + positions) * n_neurons + numbers).argsort()
    return nodes[order]
