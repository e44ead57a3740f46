"""Graphs and feature cards in the JSON that circuit-tracer and Neuronpedia read (version 1)."""

import json
import math
import re
from pathlib import Path
from typing import Any

from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.circuit import Circuit, Kept, circuit_of
from circuitscope_core.export.files import export_text, slugify
from circuitscope_core.export.opening import Opening
from circuitscope_core.feature_cards import Example, FeatureCard, FeatureCards
from circuitscope_core.graph import Node, NodeKind
from circuitscope_core.supernodes import Supernodes
from circuitscope_core.tokenizer import Tokenizer
from circuitscope_core.version import __version__
from circuitscope_core.view.paths import strongest_paths
from circuitscope_core.view.text import group_label

SCHEMA_VERSION = 1
GENERATOR = {"name": "CircuitScope", "version": __version__}
SCAN = "circuitscope"
"""Name under which a viewer looks for the feature cards."""
FEATURE_TYPES = {
    NodeKind.FEATURE: "cross layer transcoder",
    NodeKind.ERROR: "mlp reconstruction error",
    NodeKind.TOKEN: "embedding",
    NodeKind.LOGIT: "logit",
}
NEURON_TYPE = "mlp neuron"
"""The type of feature nodes where features are neurons of the model itself."""
BANDS = {
    "top": "Top Activations",
    "middle": "Subsample Interval 1",
    "low": "Subsample Interval 2",
}
VISIBLE = str.maketrans({"\n": "⏎", "\t": "→", "\r": "↵", '"': "”"})
"""Letters that would not be seen, as circuit-tracer shows them, and quotes, where viewers cut."""
BELOW = "Bottom Activations"
"""The band of a neuron's examples below 0."""


@checked
def export_graph(
    kept: Kept,
    path: str | Path,
    *,
    supernodes: Supernodes | None = None,
    cards: FeatureCards | None = None,
    slug: str | None = None,
) -> Path:
    """Write a circuit as one JSON file, whole or not at all.

    Args:
        kept: The circuit, or the pruned graph or trace that has it.
        path: The file, or a folder to put ``<slug>.json`` into.
        supernodes: Groups to open the graph with.
        cards: Give the features their labels.
        slug: Name within a viewer; made from the prompt where None.

    Returns:
        The file.

    Raises:
        GraphFileError: If it cannot be written.
    """
    data = graph_to_json(kept, supernodes=supernodes, cards=cards, slug=slug)
    target = Path(path)
    if target.is_dir():
        target = target / f"{data['metadata']['slug']}.json"
    return export_text(target, json.dumps(data))


def graph_to_json(
    kept: Kept,
    *,
    supernodes: Supernodes | None = None,
    cards: FeatureCards | None = None,
    slug: str | None = None,
    opening: Opening | None = None,
) -> dict[str, Any]:
    """Return a circuit as JSON-able data, equal for equal inputs.

    Args:
        kept: The circuit, or the pruned graph or trace that has it.
        supernodes: Groups to open the graph with.
        cards: Give the features their labels.
        slug: Name within a viewer; made from the prompt where None.
        opening: Selection and pins that a viewer opens with; where nothing is pinned, the
            strongest path and the groups are.
    """
    circuit = circuit_of(kept, cards)
    return {
        "metadata": _metadata(circuit, slugify(slug or circuit.prompt)),
        "qParams": {**_start_view(circuit, supernodes), **_chosen(opening, circuit)},
        "nodes": [_node(circuit, row) for row in range(len(circuit))],
        "links": _links(circuit),
    }


def viewer_text(text: str) -> str:
    """Return text that no viewer takes for markup or trips over.

    Viewers put labels into pages as HTML, and cut the token out of an output's label at quotes.
    """
    return re.sub(r"<(?=[A-Za-z/!?])", "‹", text.translate(VISIBLE))


def _metadata(circuit: Circuit, slug: str) -> dict[str, Any]:
    n_features = int(circuit.are(NodeKind.FEATURE).sum())
    settings = circuit.config
    return {
        "slug": slug,
        "scan": SCAN,
        "transcoder_list": [],
        "prompt_tokens": [viewer_text(text) for text in circuit.token_texts],
        "prompt": circuit.prompt,
        "title_prefix": "",
        "node_threshold": _reached_by_all(circuit),
        "schema_version": SCHEMA_VERSION,
        "info": {"generator": GENERATOR},
        "generation_settings": {
            "max_n_logits": int(circuit.are(NodeKind.LOGIT).sum()),
            "desired_logit_prob": round(min(float(circuit.worth.sum()), 1.0), 6),
            "max_feature_nodes": circuit.n_features or n_features,
        },
        "pruning_settings": settings.to_json() if settings else {},
    }


def _reached_by_all(circuit: Circuit) -> float | None:
    """Return a share of influence, in hundredths, that no feature or error of the circuit exceeds.

    Viewers hide nodes whose ``influence`` is above it, and move it in hundredths. Nodes that were
    kept for what they do to the answer may be far above the threshold of pruning.
    """
    inner = circuit.are(NodeKind.FEATURE) | circuit.are(NodeKind.ERROR)
    reached = circuit.reached[inner].double()
    known = reached[~reached.isnan()]
    wanted = [circuit.config.node_threshold] if circuit.config else []
    if len(known):
        wanted.append(math.ceil(float(known.max()) * 100) / 100)
    return max(wanted) if wanted else None


def _start_view(circuit: Circuit, supernodes: Supernodes | None) -> dict[str, Any]:
    """Return the view that opens first: the strongest path and all groups pinned."""
    groups = supernodes.merged if supernodes else ()
    best = int(circuit.rows_of(NodeKind.LOGIT)[0])
    pinned = {circuit.row_of[node] for path in strongest_paths(circuit, 1) for node in path.nodes}
    pinned |= {best}
    named = []
    for group in groups:
        rows = [circuit.row_of[member] for member in group.members]
        pinned |= set(rows)
        label = viewer_text(group_label(circuit, group, rows))
        named.append([label, *(circuit.ids[row] for row in rows)])
    return {
        "pinnedIds": [circuit.ids[row] for row in sorted(pinned)],
        "supernodes": named,
        "linkType": "both",
        "clickedId": circuit.ids[best],
        "sg_pos": "",
    }


def _chosen(opening: Opening | None, circuit: Circuit) -> dict[str, Any]:
    """Return the parts of a viewer's start that a person chose."""
    if opening is None:
        return {}
    pinned = [name for name in opening.pinned if name in circuit.rows]
    chosen: dict[str, Any] = {"pinnedIds": pinned} if pinned else {}
    return {**chosen, "clickedId": opening.selected} if opening.selected in circuit.rows else chosen


def _node(circuit: Circuit, row: int) -> dict[str, Any]:
    node, name, label = circuit.node(row), circuit.ids[row], viewer_text(circuit.labels[row])
    is_logit = node.kind is NodeKind.LOGIT
    known = float(circuit.probabilities[row])
    probability = known if known == known else float(circuit.worth[row])
    if is_logit:
        token = label.replace("(p=", "(p =")
        label = f'Output "{token}" (p={probability:.3f})'
    return {
        "node_id": name,
        "jsNodeId": name,
        "feature": _feature_number(node),
        "layer": _layer_name(node),
        "ctx_idx": node.position,
        "feature_type": _type_of(circuit, node),
        "clerp": label,
        "influence": _known(circuit.reached, row),
        "score": _known(circuit.score, row),
        "ablation_bits": _known(circuit.ablation_bits, row),
        "activation": _known(circuit.activations, row),
        "token_prob": probability,
        "is_target_logit": is_logit and row == int(circuit.rows_of(NodeKind.LOGIT)[0]),
        "isLogit": is_logit,
        "run_idx": 0,
        "reverse_ctx_idx": 0,
    }


def _known(column: Tensor, row: int) -> float | None:
    """Return a number of a column, None where there is none."""
    value = float(column[row])
    return None if value != value else value


def _type_of(circuit: Circuit, node: Node) -> str:
    is_neuron = circuit.neurons and node.kind is NodeKind.FEATURE
    return NEURON_TYPE if is_neuron else FEATURE_TYPES[node.kind]


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


def _links(circuit: Circuit) -> list[dict[str, Any]]:
    edges, ids = circuit.edges, circuit.ids
    rows = zip(edges.sources.tolist(), edges.targets.tolist(), edges.weights.tolist(), strict=True)
    return [
        {"source": ids[source], "target": ids[target], "weight": weight}
        for source, target, weight in rows
    ]


def feature_card_json(card: FeatureCard, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return a feature card as viewers read it."""
    above = [example for example in card.examples if not example.below]
    bands = [
        *((name, [item for item in above if item.kind == kind]) for kind, name in BANDS.items()),
        (BELOW, [item for item in card.examples if item.below]),
    ]
    return {
        "index": card.feature,
        "examples_quantiles": [
            {"quantile_name": name, "examples": [_example(item, tokenizer) for item in examples]}
            for name, examples in bands
            if examples
        ],
        "top_logits": _token_texts(card.top_tokens, card.top_texts, tokenizer),
        "bottom_logits": _token_texts(card.bottom_tokens, card.bottom_texts, tokenizer),
        "act_min": card.min_activation,
        "act_max": card.max_activation,
        "quantile_values": list(card.quantiles),
        "histogram": list(card.histogram),
        "activation_frequency": card.frequency,
    }


def _example(example: Example, tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "tokens": _token_texts(example.token_ids, example.texts, tokenizer),
        "tokens_acts_list": list(example.activations),
        "train_token_ind": example.peak,
        "is_repeated_datapoint": False,
    }


def _token_texts(
    token_ids: tuple[int, ...], texts: tuple[str, ...], tokenizer: Tokenizer
) -> list[str]:
    known = texts or tuple(map(tokenizer.token_text, token_ids))
    return [viewer_text(text) for text in known]
