"""Made-up graphs and cards: valid in every respect, and the same on every machine."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import torch
from torch import Tensor

from circuitscope_core.feature_cards import Example, FeatureCard, FeatureCards
from circuitscope_core.global_weights import COLUMNS, GlobalWeights
from circuitscope_core.graph import AttributionGraph
from circuitscope_core.tokenizer import ByteTokenizer

HOSTILE = "</script><img src=x onerror=alert(1)>"
D_TRANSCODER = 32
D_MODEL = 8
TOKENIZER = ByteTokenizer()


@dataclass(frozen=True)
class Decoders:
    """Stands in for a transcoder where features are grouped."""

    seed: int = 0

    def decoder_vectors(self, layer: int, features: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        families = torch.randn(4, 3, D_MODEL, generator=generator)
        vectors = families[features % 4].clone()
        vectors[:, :layer] = 0
        return vectors


@dataclass(frozen=True)
class SampleBundle:
    """Stands in for a bundle where a page is exported."""

    tokenizer: ByteTokenizer
    feature_cards: FeatureCards
    global_weights: GlobalWeights


def sample_graph(
    prompt: str = "cat (N", n_layers: int = 3, features_per_cell: int = 2, seed: int = 0
) -> AttributionGraph:
    """Return a graph with random effects from lower layers and earlier positions."""
    generator = torch.Generator().manual_seed(seed)
    token_ids = [TOKENIZER.separator_id, *TOKENIZER.encode(prompt)]
    n_pos = len(token_ids)
    features = sample_features(n_layers, n_pos, features_per_cell, generator)
    logits = [ord(character) for character in 'DA"\n<']
    probabilities = torch.tensor([0.62, 0.14, 0.08, 0.05, 0.03])
    n_nodes = len(features) + n_layers * n_pos + n_pos + len(logits)
    empty = AttributionGraph(
        adjacency=torch.zeros(n_nodes, n_nodes),
        features=features,
        activations=torch.rand(len(features), generator=generator) * 4 + 0.1,
        error_vectors=torch.zeros(n_layers, n_pos, D_MODEL),
        token_ids=torch.tensor(token_ids),
        logit_token_ids=torch.tensor(logits),
        logit_probabilities=probabilities,
        bias=torch.zeros(n_nodes),
        pre_activations=torch.zeros(n_nodes),
        token_texts=tuple(TOKENIZER.token_text(token) for token in token_ids),
        logit_texts=tuple(TOKENIZER.token_text(token) for token in logits),
        prompt=prompt,
        n_active_features=len(features),
    )
    adjacency = sample_effects(empty, generator)
    pre_activations = adjacency.sum(dim=1)
    return AttributionGraph(
        **{**vars(empty), "adjacency": adjacency, "pre_activations": pre_activations}
    )


def sample_features(n_layers: int, n_pos: int, per_cell: int, generator: torch.Generator) -> Tensor:
    rows = []
    for layer in range(n_layers):
        for position in range(1, n_pos):
            numbers = torch.randperm(D_TRANSCODER, generator=generator)[:per_cell].sort().values
            rows += [[layer, position, int(number)] for number in numbers]
    return torch.tensor(rows)


def sample_effects(graph: AttributionGraph, generator: torch.Generator) -> Tensor:
    layers, positions = graph.node_layers, graph.node_positions
    allowed = layers[:, None] > layers[None, :]
    allowed &= positions[:, None] >= positions[None, :]
    allowed[graph.error_nodes] = False
    allowed[graph.token_nodes] = False
    distance = (positions[:, None] - positions[None, :]).clamp(min=0)
    shape = (graph.n_nodes, graph.n_nodes)
    effects = torch.randn(shape, generator=generator).pow(3) * 0.8 ** distance.float()
    effects[:, graph.error_nodes] *= 0.3
    return effects * allowed


def sample_cards(n_layers: int = 3, text: str = "group (NDAG) of data") -> FeatureCards:
    """Return a card for every feature, each with the same text in its examples."""
    cards = [
        sample_card(layer, feature, TOKENIZER.encode(text))
        for layer in range(n_layers)
        for feature in range(D_TRANSCODER)
    ]
    return FeatureCards.of(cards, D_TRANSCODER)


def sample_card(layer: int, feature: int, token_ids: Sequence[int]) -> FeatureCard:
    peak = (7 * feature + layer) % len(token_ids)
    activations = tuple(
        3.0 if place == peak else 1.5 if place == peak - 1 else 0.0
        for place in range(len(token_ids))
    )
    kinds = ("top", "top", "middle", "low")
    examples = tuple(Example(kind, "sample", tuple(token_ids), activations, peak) for kind in kinds)
    peak_text = TOKENIZER.token_text(token_ids[peak])
    return FeatureCard(
        layer=layer,
        feature=feature,
        label=f"“{peak_text}” → “{chr(65 + feature % 26)}”",
        frequency=0.01 * (feature + 1) / D_TRANSCODER,
        max_activation=4.0,
        histogram=tuple(1000 // (place + 1) for place in range(40)),
        quantiles=tuple(0.04 * percent for percent in range(1, 100)),
        top_tokens=(65 + feature % 26, 10, 32),
        bottom_tokens=(60, 9, 101),
        examples=examples,
    )


def sample_bundle(text: str = "group (NDAG) of data") -> SampleBundle:
    return SampleBundle(TOKENIZER, sample_cards(text=text), sample_weights())


def sample_weights(n_layers: int = 3) -> GlobalWeights:
    """Return weights from each feature to those of its number modulo 4 in every higher layer."""
    rows = [
        (target_layer, target, source_layer, source, 1.0, 0.1, 0.01 * (target + 1) * (-1) ** source)
        for target_layer in range(n_layers)
        for source_layer in range(target_layer)
        for target in range(D_TRANSCODER)
        for source in range(target % 4, D_TRANSCODER, 4)
    ]
    columns = dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))
    return GlobalWeights(pa.table(columns), n_tokens=1000)
