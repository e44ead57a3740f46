"""A model's own neurons set by hand while it runs: exact, since they exist in the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.interventions.changes import Change, ErrorIntervention, Intervention
from circuitscope_core.language_model import LinearNeurons, MlpCall, Record
from circuitscope_core.prompt_pass import PromptPass


@dataclass(frozen=True)
class NeuronValues:
    """The activations that some neurons of one layer are given."""

    runs: Int[Tensor, " n"]
    """The run that each is set in."""
    positions: Int[Tensor, " n"]
    numbers: Int[Tensor, " n"]
    values: Float[Tensor, " n"]


@dataclass(frozen=True)
class SetNeurons:
    """An edit that runs each MLP and gives some of its neurons other activations."""

    clean: PromptPass
    values: Mapping[int, NeuronValues]
    """The values by layer."""
    added: Float[Tensor, "n_runs n_layers n_pos d_model"] | None
    """Added to MLP outputs besides."""

    @classmethod
    def of(
        cls, clean: PromptPass, sets: Sequence[Sequence[Change]], added: Tensor | None = None
    ) -> "SetNeurons":
        """Return the edit of some checked changes in each run; those of tokens are no part of it.

        The neurons of one layer and position that are no nodes change by what they wrote in the
        clean pass.
        """
        items = [
            (run, item)
            for run, changes in enumerate(sets)
            for item in changes
            if isinstance(item, Intervention)
        ]
        layers = sorted({item.layer for _, item in items})
        values = {
            n: _values_of(clean, [(run, item) for run, item in items if item.layer == n])
            for n in layers
        }
        scaled = [
            (run, item)
            for run, changes in enumerate(sets)
            for item in changes
            if isinstance(item, ErrorIntervention)
        ]
        if scaled:
            like = clean.error_vectors
            added = like.new_zeros(len(sets), *like.shape) if added is None else added.clone()
            for run, item in scaled:
                rest = like[item.layer, item.position]
                added[run, item.layer, item.position] += (item.scale - 1) * rest
        return cls(clean, values, added)

    def __call__(self, call: MlpCall) -> Float[Tensor, "n_runs n_rows d_model"]:
        """Return the MLP's output with the neurons set."""
        rows = call.positions
        if rows is None:
            rows = torch.arange(call.mlp_in.shape[1], device=call.mlp_in.device)
        out = call.mlp_out().clone()
        if self.added is not None:
            out += self.added[:, call.layer, rows]
        given = self.values.get(call.layer)
        if given is None:
            return out
        first, last = int(rows[0]), int(rows[-1])  # rows are neighbours
        seen = (given.positions >= first) & (given.positions <= last)
        places = given.runs[seen], given.positions[seen] - first
        numbers = given.numbers[seen]
        neurons = self.clean.replacement.model.neurons(call.layer)
        change = given.values[seen] - neurons.at(numbers, call.mlp_in[places]).activations
        written = change[:, None] * neurons.W_out[numbers].to(out.dtype)
        return out.index_put_(places, written, accumulate=True)


def _values_of(clean: PromptPass, items: Sequence[tuple[int, Intervention]]) -> NeuronValues:
    index = clean.features.new_tensor
    return NeuronValues(
        index([run for run, _ in items]),
        index([item.position for _, item in items]),
        index([item.feature for _, item in items]),
        clean.error_vectors.new_tensor([item.value for _, item in items]),
    )


def linear_activations(
    clean: PromptPass, changed: Record
) -> Float[Tensor, "n_layers n_pos n_neurons"]:
    """Return activations in a changed pass as the rows of a graph have them.

    Each is the clean activation, plus the product of the neuron's frozen vector with the change of
    what it reads.
    """
    model, inputs = clean.replacement.model, clean.inputs
    moved = changed.inputs(clean.replacement.transcoder.shape.read_point)[:, 0] - inputs
    found = []
    for layer, (read, change) in enumerate(zip(inputs, moved, strict=True)):
        linear = LinearNeurons.of(model.neurons(layer), read)
        found.append(linear.activations + linear.through(change))
    return torch.stack(found)
