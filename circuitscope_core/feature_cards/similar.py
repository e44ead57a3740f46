"""Features that write like another one, and what a feature does on a text of one's own."""

from dataclasses import dataclass

import torch

from circuitscope_core.errors import GraphError
from circuitscope_core.feature_cards.cards import FeatureCards
from circuitscope_core.replacement import Explainable, replacement_of
from circuitscope_core.tokenizer import token_label


@dataclass(frozen=True)
class SimilarFeature:
    """A feature whose decoder vectors point the way another's do."""

    similarity: float
    """Cosine over the layers that both write to, -1 to 1."""
    label: str
    layer: int
    feature: int
    frequency: float
    """Share of tokens on which it fires."""


@dataclass(frozen=True)
class Trial:
    """A feature's activation on every token of a text."""

    tokens: tuple[str, ...]
    activations: tuple[float, ...]
    """0 where the feature is silent; the first token, never explained, is left out."""


@torch.no_grad()
def similar_features(
    bundle: Explainable, cards: FeatureCards, layer: int, feature: int, n: int = 8
) -> tuple[SimilarFeature, ...]:
    """Return the features that write most like one, the most similar first.

    Raises:
        GraphError: If there is no such feature.
    """
    transcoder = replacement_of(bundle).transcoder
    shape = transcoder.shape
    if not (0 <= layer < shape.n_layers and 0 <= feature < shape.n_features):
        raise GraphError(
            f"There is no feature {feature} in layer {layer}; the transcoder has "
            f"{shape.n_layers} layers of {shape.n_features}."
        )
    every = replacement_of(bundle).model.tokens(range(shape.n_features))[0]
    own = transcoder.decoder_vectors(layer, every[feature : feature + 1])[0]
    rows = []
    for other in range(shape.n_layers):
        shared = slice(max(layer, other), None)
        theirs = transcoder.decoder_vectors(other, every)[:, shared].flatten(start_dim=1)
        cosine = torch.cosine_similarity(theirs, own[shared].flatten()[None], dim=1)
        if other == layer:
            cosine[feature] = -2.0  # below every other: it is no neighbour of its own
        best = cosine.topk(min(n + 1, shape.n_features))
        rows += [
            (value, other, number)
            for value, number in zip(best.values.tolist(), best.indices.tolist(), strict=True)
            if value > -2.0
        ]
    rows.sort(key=lambda row: (-row[0], row[1], row[2]))
    return tuple(
        SimilarFeature(value, card.label, other, number, card.frequency)
        for value, other, number in rows[:n]
        for card in (cards.card(other, number),)
    )


@torch.no_grad()
def try_feature(bundle: Explainable, layer: int, feature: int, text: str) -> Trial:
    """Return what a feature does on a text.

    Raises:
        PromptError: If the text is empty or too long for the model.
    """
    replacement = replacement_of(bundle)
    token_ids = replacement.encode(text)
    transcoder, opening = replacement.transcoder, replacement.explained(len(token_ids)).start
    site = replacement.model.mlp_pass(replacement.model.tokens(token_ids)).sites[layer]
    read = site.read(transcoder.shape.read_point)[0]
    activations = transcoder.encode(layer, read)[opening:, feature]
    texts = (token_label(replacement.token_text(token)) for token in token_ids[opening:])
    return Trial(tuple(texts), tuple(activations.tolist()))
