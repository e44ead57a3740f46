"""Lists beside a graph: likely next tokens, and the features that are kept."""

from dataclasses import dataclass

import torch

from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.pruning import PrunedGraph
from circuitscope_core.replacement import ReplacementModel
from circuitscope_core.tokenizer import encode_prompt
from circuitscope_core.view.text import card_of, node_label, token_label


@dataclass(frozen=True)
class NextToken:
    """A token that may come next."""

    text: str
    probability: float


@dataclass(frozen=True)
class FeatureRow:
    """One kept feature at one token."""

    influence: float
    label: str
    layer: int
    feature: int
    token: str
    position: int
    activation: float
    percentile: float | None
    """Share of its own activations below this one; None without cards."""
    frequency: float | None
    """Share of tokens on which it fires; None without cards."""


def next_tokens(bundle: ReplacementModel, prompt: str, n: int = 8) -> tuple[NextToken, ...]:
    """Return the model's most likely next tokens, best first.

    Raises:
        PromptError: If the prompt is empty or too long.
    """
    token_ids = encode_prompt(bundle.tokenizer, prompt, bundle.model.config.n_ctx)
    with torch.no_grad():
        logits = bundle.model(torch.tensor([token_ids]))[0, -1]
    top = logits.softmax(dim=0).topk(min(n, len(logits)))
    pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    return tuple(
        NextToken(token_label(bundle.tokenizer.token_text(token)), probability)
        for token, probability in pairs
    )


def feature_rows(pruned: PrunedGraph, cards: FeatureCards | None = None) -> tuple[FeatureRow, ...]:
    """Return the kept features, the most influential first."""
    graph = pruned.graph
    kept = pruned.node_mask[graph.feature_nodes].nonzero()[:, 0].tolist()
    rows = []
    for index in sorted(kept, key=lambda index: -float(pruned.node_influence[index])):
        layer, position, feature = graph.features[index].tolist()
        card = card_of(graph, index, cards)
        activation = float(graph.activations[index])
        rows.append(
            FeatureRow(
                influence=float(pruned.node_influence[index]),
                label=node_label(graph, index, cards),
                layer=layer,
                feature=feature,
                token=token_label(graph.token_texts[position]),
                position=position,
                activation=activation,
                percentile=card.percentile(activation) if card else None,
                frequency=card.frequency if card else None,
            )
        )
    return tuple(rows)
