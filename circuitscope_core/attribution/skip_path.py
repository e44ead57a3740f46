"""The part of a node's input that goes past the features, through skip connections."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.attribution.edges import pass_of
from circuitscope_core.attribution.effects import direction_rows, feature_rows
from circuitscope_core.attribution.sources import lay_out_sources
from circuitscope_core.errors import GraphError
from circuitscope_core.graph import AttributionGraph, GraphTargets, NodeKind
from circuitscope_core.prompt_pass import PromptPass
from circuitscope_core.replacement import Explainable
from circuitscope_core.transcoder import CrossLayerTranscoder


@checked
def skip_shares(
    bundle: Explainable | PromptPass, graph: AttributionGraph, nodes: Sequence[int]
) -> Float[Tensor, " n"]:
    """Return the share of some nodes' input that goes past the features.

    A transcoder with a skip connection lets through one linear part of each MLP. An edge is the sum
    over all its ways, and some of them lead through such a part: no feature stands for what the
    MLP does there. The share is the sum of the absolute parts of a node's edges that do, over that
    and the sum of the absolute rest.

    Args:
        bundle: The bundle or replacement model that the graph was made with; or the prompt's pass.
        graph: From ``attribute``.
        nodes: Indices of feature and logit nodes.

    Returns:
        From 0 to 1; 0 where the transcoder has no skip connection.

    Raises:
        GraphError: If the graph was not made by ``attribute``, or a node is an error or a token,
            which have no input.

    Example:
        >>> import circuitscope_core as cs
        >>> bundle = cs.load_bundle("models/demo")
        >>> graph = cs.attribute(bundle, "The National Digital Group (N")
        >>> bool(0 <= cs.skip_shares(bundle, graph, [graph.logit_nodes.start])[0] < 1)
        True
    """
    kinds = [graph.node(node).kind for node in nodes]
    for kind in kinds:
        if kind not in (NodeKind.FEATURE, NodeKind.LOGIT):
            raise GraphError(f"The node is a {kind}, which has no input; give features or logits.")
    clean, targets = pass_of(bundle, graph)
    transcoder = clean.replacement.transcoder
    shares = torch.zeros(len(nodes), device="cpu")
    if not isinstance(transcoder, CrossLayerTranscoder) or not transcoder.config.skip_connection:
        return shares
    bare = replace(clean.replacement, transcoder=transcoder.without_skip())
    ways = [clean, replace(clean, replacement=bare)]
    order = torch.tensor(sorted(set(nodes)), dtype=torch.int64, device="cpu")
    with torch.no_grad():
        whole, through_features = (_rows(way, graph, targets, order) for way in ways)
    past = (whole - through_features).abs().sum(dim=1)
    found = past / (past + through_features.abs().sum(dim=1)).clamp(min=torch.finfo().tiny)
    return found[
        torch.searchsorted(order, torch.tensor(list(nodes), dtype=torch.int64, device="cpu"))
    ]


def _rows(
    clean: PromptPass, graph: AttributionGraph, targets: GraphTargets, nodes: Int[Tensor, " n"]
) -> Float[Tensor, "n n_columns"]:
    """Return the effects on features, and behind them on logits, given in graph order."""
    sources = lay_out_sources(clean)
    device = clean.features.device
    features = nodes[nodes < graph.n_features].to(device)
    rows = [rows.effects for _, rows in feature_rows(clean, sources, features)]
    for node in nodes[nodes >= graph.n_features].tolist():
        index = node - graph.logit_nodes.start
        vector = targets.directions[index][None].to(clean.inputs)
        position = clean.features.new_tensor([int(targets.positions[index])])
        no_bias = vector.new_zeros(1)
        layer = int(targets.layers[index])
        rows.append(direction_rows(clean, sources, layer, position, vector, no_bias).effects)
    return torch.cat(rows).cpu()
