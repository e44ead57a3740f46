"""The part of a node's input that goes past the features, through skip connections."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.attribution.edges import pass_of
from circuitscope_core.attribution.effects import Reads, rows_of
from circuitscope_core.attribution.row_batches import feature_rows
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
    shares = torch.zeros(len(nodes), device="cpu", dtype=torch.float32)
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
    features = graph.features[nodes[nodes < graph.n_features]].to(device)
    effects = torch.zeros(len(nodes), sources.n_columns, device="cpu", dtype=torch.float32)
    at = _places_of(clean, features)
    for found, rows in feature_rows(clean, sources, at):
        effects[torch.searchsorted(at, found).cpu()] = rows.effects
    for place, node in enumerate(nodes[nodes >= graph.n_features].tolist()):
        index = node - graph.logit_nodes.start
        vector = targets.directions[index][None].to(clean.inputs)
        position = clean.features.new_tensor([int(targets.positions[index])])
        read = Reads(int(targets.layers[index]), position, vector, vector.new_zeros(1))
        effects[len(features) + place] = rows_of(clean, sources, [read]).effects[0].cpu()
    return effects


def _places_of(clean: PromptPass, features: Int[Tensor, "n 3"]) -> Int[Tensor, " n"]:
    """Return the places of features, which rise, among the active ones: a graph may have fewer."""
    sizes = (clean.n_pos, clean.replacement.transcoder.shape.n_features)
    every, some = (
        (part[:, 0] * sizes[0] + part[:, 1]) * sizes[1] + part[:, 2]
        for part in (clean.features, features)
    )
    return torch.searchsorted(every, some)
