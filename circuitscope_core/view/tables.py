"""Lists beside a graph: likely next tokens, and the features that are kept."""

from dataclasses import dataclass

import torch

from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.graph import AttributionGraph
from circuitscope_core.pruning import PrunedGraph
from circuitscope_core.replacement import ReplacementModel
from circuitscope_core.view.text import node_id, node_label, token_label


@dataclass(frozen=True)
class NextToken:
    """A token that may come next."""

    text: str
    probability: float


@dataclass(frozen=True)
class FeatureRow:
    """One active feature at one token."""

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
    kept: bool
    """Whether pruning kept it."""
    into: float | None
    """Its direct effect on the node asked about; None where none was."""
    out_of: float | None
    """The direct effect on it of the node asked about; None where none was."""
    id: str
    """The same as in the picture and in the exported JSON."""


def next_tokens(bundle: ReplacementModel, prompt: str, n: int = 8) -> tuple[NextToken, ...]:
    """Return the model's most likely next tokens, best first.

    Raises:
        PromptError: If the prompt is empty or too long.
    """
    token_ids = bundle.encode(prompt)
    with torch.no_grad():
        logits = bundle.model(bundle.model.tokens(token_ids))[0, -1]
    top = logits.softmax(dim=0).topk(min(n, len(logits)))
    pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    return tuple(
        NextToken(token_label(bundle.tokenizer.token_text(token)), probability)
        for token, probability in pairs
    )


def feature_rows(
    pruned: PrunedGraph,
    cards: FeatureCards | None = None,
    *,
    every: bool = False,
    partner: int | None = None,
) -> tuple[FeatureRow, ...]:
    """Return the active features, the most influential first.

    Args:
        pruned: The pruned graph.
        cards: Give the features their labels and figures.
        every: Also those that pruning dropped.
        partner: A node whose direct effects on and from each feature are wanted, kept or not.
    """
    graph = pruned.graph
    shown = torch.ones(graph.n_features, dtype=torch.bool) if every else pruned.node_mask
    indices = shown[: graph.n_features].nonzero()[:, 0]
    order = pruned.node_influence[indices].argsort(descending=True, stable=True)
    into, out_of = _effects(graph, partner)
    return tuple(
        _feature_row(pruned, index, cards, (into, out_of)) for index in indices[order].tolist()
    )


def _effects(
    graph: AttributionGraph, partner: int | None
) -> tuple[list[float] | None, list[float] | None]:
    if partner is None:
        return None, None
    features = graph.feature_nodes
    return graph.adjacency[partner, features].tolist(), graph.adjacency[features, partner].tolist()


def _feature_row(
    pruned: PrunedGraph,
    index: int,
    cards: FeatureCards | None,
    effects: tuple[list[float] | None, list[float] | None],
) -> FeatureRow:
    graph = pruned.graph
    layer, position, feature = graph.features[index].tolist()
    activation = float(graph.activations[index])
    into, out_of = (column[index] if column else None for column in effects)
    return FeatureRow(
        influence=float(pruned.node_influence[index]),
        label=node_label(graph, index, cards),
        layer=layer,
        feature=feature,
        token=token_label(graph.token_texts[position]),
        position=position,
        activation=activation,
        percentile=cards.percentile(layer, feature, activation) if cards else None,
        frequency=cards.frequency(layer, feature) if cards else None,
        kept=bool(pruned.node_mask[index]),
        into=into,
        out_of=out_of,
        id=node_id(graph, index),
    )
