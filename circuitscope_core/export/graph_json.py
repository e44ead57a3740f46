"""Graphs and feature cards in the JSON that circuit-tracer and Neuronpedia read (version 1)."""

import json
import re
from pathlib import Path
from typing import Any

from circuitscope_core.export.files import slugify, write_text
from circuitscope_core.export.opening import Opening
from circuitscope_core.feature_cards import Example, FeatureCard, FeatureCards
from circuitscope_core.graph import AttributionGraph, Node, NodeKind
from circuitscope_core.pruning import PrunedGraph
from circuitscope_core.supernodes import Supernodes
from circuitscope_core.tokenizer import Tokenizer
from circuitscope_core.view.paths import strongest_paths
from circuitscope_core.view.text import card_of, group_label, node_id

SCHEMA_VERSION = 1
GENERATOR = {"name": "CircuitScope", "version": "1.0"}
SCAN = "circuitscope"
"""Name under which a viewer looks for the feature cards."""
FEATURE_TYPES = {
    NodeKind.FEATURE: "cross layer transcoder",
    NodeKind.ERROR: "mlp reconstruction error",
    NodeKind.TOKEN: "embedding",
    NodeKind.LOGIT: "logit",
}
BANDS = {
    "top": "Top Activations",
    "middle": "Subsample Interval 1",
    "low": "Subsample Interval 2",
}


def export_graph(
    graph: AttributionGraph,
    pruned: PrunedGraph,
    *,
    path: str | Path,
    supernodes: Supernodes | None = None,
    cards: FeatureCards | None = None,
    slug: str | None = None,
) -> Path:
    """Write a pruned graph as one JSON file, whole or not at all.

    Args:
        graph: The graph.
        pruned: The part of it to write.
        path: The file, or a folder to put ``<slug>.json`` into.
        supernodes: Groups to open the graph with.
        cards: Give the features their labels.
        slug: Name within a viewer; made from the prompt where None.

    Returns:
        The file.
    """
    data = graph_to_json(graph, pruned, supernodes=supernodes, cards=cards, slug=slug)
    target = Path(path)
    if target.is_dir():
        target = target / f"{data['metadata']['slug']}.json"
    return write_text(target, json.dumps(data))


def graph_to_json(
    graph: AttributionGraph,
    pruned: PrunedGraph,
    *,
    supernodes: Supernodes | None = None,
    cards: FeatureCards | None = None,
    slug: str | None = None,
    opening: Opening | None = None,
) -> dict[str, Any]:
    """Return a pruned graph as JSON-able data, equal for equal inputs.

    Args:
        graph: The graph.
        pruned: The part of it to write.
        supernodes: Groups to open the graph with.
        cards: Give the features their labels.
        slug: Name within a viewer; made from the prompt where None.
        opening: Selection and pins that a viewer opens with; where nothing is pinned, the
            strongest path and the groups are.
    """
    kept = pruned.node_mask.nonzero()[:, 0].tolist()
    ids = {index: node_id(graph, index) for index in kept}
    return {
        "metadata": _metadata(graph, pruned, slugify(slug or graph.prompt)),
        "qParams": {**_start_view(pruned, supernodes, cards), **_chosen(opening, ids)},
        "nodes": [_node(pruned, index, cards) for index in kept],
        "links": _links(pruned, ids),
    }


def viewer_text(text: str) -> str:
    """Return text that no viewer takes for markup or trips over.

    Viewers put labels into pages as HTML, and cut the token out of an output's label at quotes.
    """
    visible = text.replace("\n", "⏎").replace('"', "”")
    return re.sub(r"<(?=[A-Za-z/!?])", "‹", visible)


def _metadata(graph: AttributionGraph, pruned: PrunedGraph, slug: str) -> dict[str, Any]:
    config = pruned.config
    probability = float(graph.logit_probabilities.sum())
    return {
        "slug": slug,
        "scan": SCAN,
        "transcoder_list": [],
        "prompt_tokens": [viewer_text(text) for text in graph.token_texts],
        "prompt": graph.prompt,
        "title_prefix": "",
        "node_threshold": config.node_threshold,
        "schema_version": SCHEMA_VERSION,
        "info": {"generator": GENERATOR},
        "generation_settings": {
            "max_n_logits": graph.n_logits,
            "desired_logit_prob": round(min(probability, 1.0), 6),
            "batch_size": max(1, graph.n_features),
            "max_feature_nodes": graph.n_features,
        },
        "pruning_settings": config.to_json(),
    }


def _start_view(
    pruned: PrunedGraph, supernodes: Supernodes | None, cards: FeatureCards | None
) -> dict[str, Any]:
    """Return what a viewer opens with: the strongest path and all groups pinned."""
    graph = pruned.graph
    influence = pruned.node_influence.tolist()
    groups = supernodes.merged if supernodes else ()
    pinned = {node for path in strongest_paths(pruned, 1) for node in path.nodes}
    pinned |= {graph.logit_nodes.start}
    pinned |= {member for group in groups for member in group.members}
    named = [
        [
            viewer_text(group_label(graph, group, cards, influence)),
            *(node_id(graph, member) for member in group.members),
        ]
        for group in groups
    ]
    return {
        "pinnedIds": [node_id(graph, node) for node in sorted(pinned)],
        "supernodes": named,
        "linkType": "both",
        "clickedId": node_id(graph, graph.logit_nodes.start),
        "sg_pos": "",
    }


def _chosen(opening: Opening | None, ids: dict[int, str]) -> dict[str, Any]:
    """Return the parts of a viewer's start that a person chose."""
    if opening is None:
        return {}
    written = set(ids.values())
    pinned = [name for name in opening.pinned if name in written]
    chosen: dict[str, Any] = {"pinnedIds": pinned} if pinned else {}
    return {**chosen, "clickedId": opening.selected} if opening.selected in written else chosen


def _node(pruned: PrunedGraph, index: int, cards: FeatureCards | None) -> dict[str, Any]:
    graph = pruned.graph
    node = graph.node(index)
    name = node_id(graph, index)
    rank = index - graph.logit_nodes.start
    is_logit = node.kind is NodeKind.LOGIT
    probability = float(graph.logit_probabilities[rank]) if is_logit else 0.0
    card = card_of(graph, index, cards)
    label = viewer_text(card.label) if card else ""
    if is_logit:
        token = viewer_text(graph.logit_texts[rank]).replace("(p=", "(p =")
        label = f'Output "{token}" (p={probability:.3f})'
    is_feature = node.kind is NodeKind.FEATURE
    return {
        "node_id": name,
        "jsNodeId": name,
        "feature": _feature_number(node),
        "layer": _layer_name(node),
        "ctx_idx": node.position,
        "feature_type": FEATURE_TYPES[node.kind],
        "clerp": label,
        "influence": float(pruned.cumulative_influence[index]),
        "activation": float(graph.activations[index]) if is_feature else None,
        "token_prob": probability,
        "is_target_logit": is_logit and rank == 0,
        "isLogit": is_logit,
        "run_idx": 0,
        "reverse_ctx_idx": 0,
    }


def _feature_number(node: Node) -> int:
    """Return the number that names a node in its layer: for features Cantor's pairing."""
    if node.kind is NodeKind.FEATURE:
        return cantor_pair(node.layer, node.feature)
    return node.position if node.kind is NodeKind.TOKEN else node.feature


def cantor_pair(layer: int, feature: int) -> int:
    """Return one number for a layer and a feature in it."""
    return (layer + feature) * (layer + feature + 1) // 2 + feature


def _layer_name(node: Node) -> str:
    if node.kind is NodeKind.TOKEN:
        return "E"
    return str(node.layer + 1 if node.kind is NodeKind.LOGIT else node.layer)


def _links(pruned: PrunedGraph, ids: dict[int, str]) -> list[dict[str, Any]]:
    targets, sources = pruned.kept_edges.nonzero(as_tuple=True)
    weights = pruned.kept_effects[targets, sources].tolist()
    targets, sources = pruned.kept_nodes[targets], pruned.kept_nodes[sources]
    rows = zip(sources.tolist(), targets.tolist(), weights, strict=True)
    return [
        {"source": ids[source], "target": ids[target], "weight": weight}
        for source, target, weight in rows
    ]


def feature_card_json(card: FeatureCard, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return a feature card as viewers read it."""
    bands = (
        (name, [example for example in card.examples if example.kind == kind])
        for kind, name in BANDS.items()
    )
    return {
        "index": card.feature,
        "examples_quantiles": [
            {"quantile_name": name, "examples": [_example(item, tokenizer) for item in examples]}
            for name, examples in bands
            if examples
        ],
        "top_logits": _token_texts(card.top_tokens, tokenizer),
        "bottom_logits": _token_texts(card.bottom_tokens, tokenizer),
        "act_min": 0.0,
        "act_max": card.max_activation,
        "quantile_values": list(card.quantiles),
        "histogram": list(card.histogram),
        "activation_frequency": card.frequency,
    }


def _example(example: Example, tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "tokens": _token_texts(example.token_ids, tokenizer),
        "tokens_acts_list": list(example.activations),
        "train_token_ind": example.peak,
        "is_repeated_datapoint": False,
    }


def _token_texts(token_ids: tuple[int, ...], tokenizer: Tokenizer) -> list[str]:
    return [viewer_text(tokenizer.token_text(token)) for token in token_ids]
