"""A model's own neurons in the place of a transcoder's features."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuitscope_core.feature_dictionary import ActiveFeatures, DictionaryShape
from circuitscope_core.language_model import LanguageModel, LinearNeurons, MlpNeurons


@dataclass(frozen=True)
class FoldedLayer:
    """One layer's neurons that are no nodes of a graph: frozen, and let through as they are."""

    linear: LinearNeurons
    folded: Bool[Tensor, "n_pos n_neurons"]
    """True for a neuron that is let through; opening positions are constants and let none."""


@dataclass(frozen=True, eq=False)
class NeuronDictionary:
    """The neurons of a model's MLPs, as features that make MLP outputs without an error.

    A neuron's activation may be of either sign, and nearly all are active; which become nodes of a
    graph depends on what it explains. It reads the MLP's input with a vector that depends on that
    input: see ``MlpNeurons.shares``.
    """

    model: LanguageModel
    folded: tuple[FoldedLayer, ...] = ()
    """One for each layer: the neurons that go past the nodes of one prompt's graph, where these are
    let through instead of being one node of each layer and position."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", self.model.writing_at("raw"))

    def __repr__(self) -> str:
        return f"NeuronDictionary({self.shape.n_features:,} neurons in each layer)"

    def letting_through(self, folded: tuple[FoldedLayer, ...]) -> "NeuronDictionary":
        """Return the dictionary of one graph, past whose nodes other neurons go."""
        return replace(self, folded=folded)

    @cached_property
    def shape(self) -> DictionaryShape:
        """Sizes, and where neurons read and write."""
        sizes = self.model.shape
        return DictionaryShape(
            n_layers=sizes.n_layers,
            d_model=sizes.d_model,
            n_features=self.model.neurons(0).n_neurons,
            read_point="in",
            cross_layer=False,
            skip_connection=bool(self.folded),
            write_point="raw",
            exact=True,
        )

    def describe(self) -> dict[str, Any]:
        """Return the sizes as plain values."""
        return {"kind": "neurons", **vars(self.shape)}

    @property
    def n_parameters(self) -> int:
        """No weights: neurons are the model's own."""
        return 0

    def neurons(self, layer: int, like: Tensor) -> MlpNeurons:
        """Return a layer's neurons in the precision of a tensor."""
        return self.model.neurons(layer).to(like.dtype)

    def active(self, layer: int, read: Float[Tensor, "n d_model"]) -> ActiveFeatures:
        """Return all activations that are not 0: nearly all."""
        acts = self.encode(layer, read)
        tokens, features = acts.nonzero(as_tuple=True)
        return ActiveFeatures(tokens, features, acts[tokens, features])

    def pre_activations(
        self, layer: int, read: Float[Tensor, "*batch d_model"]
    ) -> Float[Tensor, "*batch n_neurons"]:
        """Return the activations: they are what a row of a graph adds up to."""
        return self.encode(layer, read)

    def encode(
        self, layer: int, read: Float[Tensor, "*batch d_model"]
    ) -> Float[Tensor, "*batch n_neurons"]:
        """Return a layer's activations."""
        return self.neurons(layer, read).activations(read).detach()

    def activate(
        self, layer: int, pre_activations: Float[Tensor, "*batch n_neurons"]
    ) -> Float[Tensor, "*batch n_neurons"]:
        """Return the same: a neuron's activation is what its row adds up to."""
        del layer
        return pre_activations

    def encoder_vectors(
        self, layer: int, features: Int[Tensor, " n"], read: Float[Tensor, "n d_model"]
    ) -> tuple[Float[Tensor, "n d_model"], Float[Tensor, " n"]]:
        """Return vectors and biases whose products with the inputs are the activations."""
        reads = self.model.neurons(layer).at(features, read)
        return reads.vectors, reads.biases

    def decoder_rows(self, layer: int, features: Int[Tensor, " n"]) -> Float[Tensor, "n 1 d_model"]:
        """Return what neurons add to the MLP's output for each unit of activation."""
        rows = self.model.neurons(layer).W_out[features]
        return rows.to(self._dtype)[:, None]

    @cached_property
    def _dtype(self) -> torch.dtype:
        (opening,) = self.model.tokens([0])
        return self.model.token_vectors(opening).dtype

    def decoder_vectors(
        self, layer: int, features: Int[Tensor, " n"]
    ) -> Float[Tensor, "n n_layers d_model"]:
        """Return the same for every layer; 0 but for the neuron's own."""
        rows = self.decoder_rows(layer, features)
        found = rows.new_zeros(len(rows), self.shape.n_layers, rows.shape[2])
        found[:, layer] = rows[:, 0]
        return found

    def write(
        self, layer: int, feature_acts: Float[Tensor, "*batch n_neurons"]
    ) -> Float[Tensor, "*batch 1 d_model"]:
        """Return what a layer's activations add to its MLP output."""
        return (feature_acts @ self.neurons(layer, feature_acts).W_out)[..., None, :]

    def output_bias(self, layer: int) -> Float[Tensor, " d_model"]:
        """Return 0: the MLP's own bias is with what neurons leave of its output."""
        return torch.zeros_like(self.model.neurons(layer).b_out[0], dtype=self._dtype)

    def skip(
        self,
        layer: int,
        read: Float[Tensor, "*batch n_rows d_model"],
        rows: Int[Tensor, " n_rows"] | None = None,
    ) -> Float[Tensor, "*batch n_rows d_model"]:
        """Return what neurons that are let through make of changes of the MLP's input."""
        if not self.folded:
            return torch.zeros_like(read)
        own, places = self.folded[layer], slice(None) if rows is None else rows
        moved = own.linear.through(read, places) * own.folded[places]
        return moved @ own.linear.neurons.W_out.to(read.dtype)

    def back_through_skip(
        self, layer: int, gradient: Float[Tensor, "n_seen n d_model"]
    ) -> Float[Tensor, "n_seen n d_model"]:
        """Carry gradients back past the nodes, through the neurons that are let through."""
        own = self.folded[layer]
        return own.linear.back_past(gradient, own.folded)

    def thresholds(self, features: Int[Tensor, "n columns"]) -> Float[Tensor, " n"]:
        """Return minus infinity: nothing switches a neuron off."""
        return torch.full((len(features),), -torch.inf, dtype=self._dtype, device=features.device)
