"""A prompt with its clean pass, its graph and the control's: what all measures begin with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from circuitscope_core.attribution import attribute
from circuitscope_core.graph import AttributionGraph
from circuitscope_core.interventions import Intervention, ablate_in_replacement
from circuitscope_core.language_model import Record
from circuitscope_core.prompt_pass import PromptPass, run_prompt
from circuitscope_core.pruning import PrunedGraph, prune_graph
from circuitscope_core.replacement import ReplacementModel, transcoder_of
from circuitscope_core.transcoder import CrossLayerTranscoder

BATCH = 48
"""Runs of the model that are made together."""


@dataclass(frozen=True)
class TracedPrompt:
    """A prompt, taken apart."""

    clean: PromptPass
    graph: AttributionGraph
    control: ReplacementModel
    """The same with decoders shuffled; see ``shuffle_decoders``."""

    @cached_property
    def pruned(self) -> PrunedGraph:
        """The graph's important part, at the default thresholds."""
        return prune_graph(self.graph)

    @cached_property
    def ablated(self) -> Float[Tensor, " n_features"]:
        """Bits by which the replacement's answer moves without each feature that any of the two
        prunings keeps; NaN for the others."""
        bits = torch.full_like(self.graph.activations, float("nan"))
        nodes = (self.kept | self.kept_by_influence).nonzero()[:, 0]
        bits[nodes] = ablate_in_replacement(self.clean, self.graph, nodes.tolist()).to(bits)
        return bits

    @cached_property
    def control_graph(self) -> AttributionGraph:
        """The graph of the shuffled decoders. Features are active as before: what is encoded is
        the model's own stream.
        """
        return attribute(self.control, self.clean.token_ids)

    @cached_property
    def control_pass(self) -> PromptPass:
        """The same clean pass with the shuffled decoders' errors."""
        return run_prompt(self.control, self.clean.token_ids)

    @property
    def kept(self) -> Bool[Tensor, " n_features"]:
        """Which features are kept by pruning."""
        return self.pruned.node_mask[self.graph.feature_nodes]

    @cached_property
    def kept_by_influence(self) -> Bool[Tensor, " n_features"]:
        """Which features are kept by pruning that ranks by influence, as circuit-tracer does."""
        pruned = prune_graph(self.graph, score="influence")
        return pruned.node_mask[self.graph.feature_nodes]

    @cached_property
    def thresholds(self) -> Float[Tensor, " n_features"]:
        """Each feature's threshold."""
        features = self.graph.features.to(self.clean.logits.device)
        return self.clean.replacement.transcoder.thresholds(features).cpu()

    def ablation(self, node: int) -> tuple[Intervention, ...]:
        """Return what takes a feature away."""
        layer, position, feature = self.graph.features[node].tolist()
        return (Intervention(layer, position, feature, 0.0),)

    def feature_values(self, record: Record) -> Float[Tensor, "batch n_features"]:
        """Return the pre-activations of the graph's features in recorded runs, as they lie."""
        features = self.clean.replacement.transcoder
        layers, positions, numbers = self.graph.features.T.to(record.logits.device)
        values = record.logits.new_zeros(len(record.logits), len(layers))
        for site in record.sites:
            at = layers == site.layer
            read = site.read(features.shape.read_point)[:, positions[at]]
            was = self.clean.inputs[site.layer, positions[at]]
            vectors, biases = features.encoder_vectors(site.layer, numbers[at], was)
            values[:, at] = (read * vectors).sum(dim=-1) + biases
        return values

    def sample(self, n: int, generator: torch.Generator) -> Int[Tensor, " n_sampled"]:
        """Draw at most ``n`` kept features of all layers but the last, sorted by layer."""
        layers = self.graph.features[:, 0]
        nodes = (self.kept & (layers < self.graph.n_layers - 1)).nonzero()[:, 0]
        chosen = torch.randperm(len(nodes), generator=generator)[:n]
        return nodes[chosen].sort().values

    def by_layer(self, nodes: Int[Tensor, " n"]) -> Iterator[tuple[int, Int[Tensor, " n_here"]]]:
        """Yield features of one layer, as many as are run together."""
        layers = self.graph.features[nodes, 0]
        for layer in layers.unique().tolist():
            for some in nodes[layers == layer].split(BATCH):
                yield layer, some


def trace(
    replacement: ReplacementModel, control: ReplacementModel, token_ids: Sequence[int] | str
) -> TracedPrompt:
    """Run a prompt and build its graph.

    Raises:
        PromptError: If the prompt is empty, too long, or has unknown ids.
    """
    clean = run_prompt(replacement, token_ids)
    return TracedPrompt(clean, attribute(replacement, clean.token_ids), control)


def shuffle_decoders(replacement: ReplacementModel, seed: int) -> ReplacementModel:
    """Return the same with each layer's decoder vectors dealt out again among its features.

    Which features fire stays, and so do sizes and directions of what a layer writes: only the
    tie between what a feature reads and what it writes is lost.
    """
    plain, generator = transcoder_of(replacement), torch.Generator().manual_seed(seed)
    transcoder = CrossLayerTranscoder(plain.config).to(plain.b_dec.device, plain.b_dec.dtype)
    transcoder.load_state_dict(plain.state_dict(), strict=False)
    decoders = [
        decoder.detach()[torch.randperm(len(decoder), generator=generator).to(decoder.device)]
        for decoder in plain.W_dec
    ]
    transcoder.W_dec = nn.ParameterList(decoders)
    return replace(replacement, transcoder=transcoder.requires_grad_(False))
