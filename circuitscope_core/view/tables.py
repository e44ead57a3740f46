"""Lists beside a graph: likely next tokens, and the features that are kept."""

from dataclasses import dataclass, replace

import torch

from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.graph import AttributionGraph, node_id
from circuitscope_core.pruning import PrunedGraph
from circuitscope_core.tokenizer import token_label
from circuitscope_core.tracing import Trace
from circuitscope_core.view.text import node_label


@dataclass(frozen=True)
class FeatureRow:
    """One active feature at one token."""

    ablation_bits: float | None
    """Bits by which the answer moves when it alone is switched off; None where that was not
    computed."""
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
    """The direct effect on the node asked about; None where none was."""
    out_of: float | None
    """The direct effect on it of the node asked about; None where none was."""
    id: str
    """The same as in the picture and in the exported JSON."""


def feature_rows(
    kept: PrunedGraph | Trace,
    cards: FeatureCards | None = None,
    *,
    every: bool = False,
    partner: int | None = None,
) -> tuple[FeatureRow, ...]:
    """Return the active features, those first without which the answer moves most.

    Where that was not computed they stand behind, the most influential first.

    Args:
        kept: The trace, which knows what each kept feature does alone, or the pruned graph.
        cards: Give the features their labels and figures.
        every: Also those that pruning dropped.
        partner: A node whose direct effects on and from each feature are wanted, kept or not.
    """
    pruned = kept if isinstance(kept, PrunedGraph) else kept.pruned
    graph = pruned.graph
    shown = torch.ones(graph.n_features, dtype=torch.bool) if every else pruned.node_mask
    indices = shown[: graph.n_features].nonzero()[:, 0]
    bits = _ablation_bits(kept)
    known = pruned.node_influence.new_tensor([bits.get(index, -1.0) for index in indices.tolist()])
    order = pruned.node_influence[indices].argsort(descending=True, stable=True)
    order = order[known[order].argsort(descending=True, stable=True)]
    effects = _effects(graph, partner)
    chosen = indices[order].tolist()
    return tuple(
        replace(_feature_row(pruned, index, cards, effects), ablation_bits=bits.get(index))
        for index in chosen
    )


def _ablation_bits(kept: PrunedGraph | Trace) -> dict[int, float]:
    """Return what is known of features that are switched off alone, by their numbers."""
    if isinstance(kept, PrunedGraph):
        return {}
    circuit = kept.circuit
    pairs = zip(circuit.index.tolist(), circuit.ablation_bits.tolist(), strict=True)
    return {index: value for index, value in pairs if value == value}


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
        ablation_bits=None,
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
