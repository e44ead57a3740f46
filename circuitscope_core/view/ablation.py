"""Switch a node's features off and see whether the model does what the graph says."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from circuitscope_core.errors import GraphError
from circuitscope_core.graph import AttributionGraph
from circuitscope_core.interventions import Intervention, intervene
from circuitscope_core.prompt_pass import PromptPass
from circuitscope_core.pruning import PrunedGraph
from circuitscope_core.replacement import Explainable
from circuitscope_core.view.text import node_id, token_label


@dataclass(frozen=True)
class AblationRow:
    """One output token without the features."""

    token: str
    predicted: float
    """Change of its logit by the graph's edges alone, all else frozen."""
    measured: float
    """The same, measured in the model with attention, norms and MLPs frozen."""
    probability_before: float
    probability_after: float
    """With later layers free to react."""


def ablate(
    bundle: Explainable | PromptPass, graph: AttributionGraph, nodes: Sequence[int]
) -> tuple[AblationRow, ...]:
    """Set features to 0 and compare each output with the graph's prediction.

    Args:
        bundle: The bundle or replacement model that the graph was made with, or the prompt's pass.
        graph: The graph.
        nodes: Indices of feature nodes.

    Raises:
        GraphError: If a node is no feature, or no target of the graph is a single token.
    """
    if not nodes or not all(0 <= node < graph.n_features for node in nodes):
        raise GraphError("Only features can be switched off; choose a feature or a supernode.")
    tokens = [token for token in graph.logit_token_ids.tolist() if token >= 0]
    if not tokens:
        raise GraphError("This graph explains no single token; build one for tokens to test it.")
    off = [
        Intervention(layer, position, feature, 0.0)
        for layer, position, feature in graph.features[list(nodes)].tolist()
    ]
    prompt = graph.token_ids.tolist()
    direct = intervene(bundle, prompt, off, mode="direct")
    free = intervene(bundle, prompt, off, mode="constrained")
    change = direct.logits_after[-1] - direct.logits_before[-1]
    change = change - change.mean()  # the graph's outputs are logits less the mean logit
    edges = graph.adjacency[graph.logit_nodes][:, torch.tensor(list(nodes))].sum(dim=1)
    texts = zip(graph.logit_token_ids.tolist(), graph.logit_texts, edges.tolist(), strict=True)
    return tuple(
        AblationRow(
            token=token_label(text),
            predicted=-edge,
            measured=float(change[token]),
            probability_before=float(free.probabilities_before[token]),
            probability_after=float(free.probabilities_after[token]),
        )
        for token, text, edge in texts
        if token >= 0
    )


def node_indices(pruned: PrunedGraph, node_ids: Sequence[str]) -> tuple[int, ...]:
    """Return the kept nodes among ids of the exchange format; others are left out."""
    kept = pruned.node_mask.nonzero()[:, 0].tolist()
    known = {node_id(pruned.graph, index): index for index in kept}
    return tuple(known[name] for name in node_ids if name in known)
