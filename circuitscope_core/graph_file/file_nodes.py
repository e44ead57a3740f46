"""The nodes of a graph file, checked one by one."""

import math
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from circuitscope_core.export.graph_json import FEATURE_TYPES, NEURON_TYPE
from circuitscope_core.graph import Node, NodeKind
from circuitscope_core.graph_file.file_values import FileNode
from circuitscope_core.graph_file.problems import MISSING, Problems

KINDS = {name: kind for kind, name in FEATURE_TYPES.items()} | {NEURON_TYPE: NodeKind.FEATURE}
TOKEN_LAYER = "E"
NUMBERS = ("influence", "activation", "token_prob", "score", "ablation_bits")
"""Fields that are numbers and may be missing; the last two are CircuitScope's own."""
MAX_LAYERS = 512
LARGEST_NUMBER = 2**63
"""The bound of numbers of features; a larger one names none."""
HALVES = re.compile("[\ud800-\udfff]")
"""Halves of characters, which JSON can hold and nothing can show."""

NodesById = dict[str, FileNode | None]
"""Nodes in the file's order; None stands for a node that has an id, and something wrong with it."""


def read_nodes(problems: Problems, items: list[Any], n_tokens: int) -> NodesById:
    """Return the nodes by their ids, and note what is wrong with them."""
    nodes: NodesById = {}
    numbers: dict[str, int] = {}
    for number, item in enumerate(items):
        where = f"nodes[{number}]"
        if not isinstance(item, dict):
            problems.must(where, "the node", item, "an object with node_id, layer and ctx_idx")
            continue
        name = item.get("node_id", MISSING)
        if not isinstance(name, str) or not name:
            problems.must(where, "node_id", name, "a text that no other node has")
            continue
        name = clean(name)
        where += f" ({name[:40]!r})"
        if numbers.setdefault(name, number) != number:
            problems.add(
                f"{where}: nodes[{numbers[name]}] has the same node_id; give every node its own. "
                "Old versions of circuit-tracer could name an error like a feature.",
                "same node_id",
            )
            continue
        nodes[name] = _read_node(problems, where, name, item, n_tokens)
    if not items:
        problems.add("nodes is empty; a graph needs at least an output node.", "no nodes")
    elif not any(isinstance(item, dict) and item.get("feature_type") == "logit" for item in items):
        problems.add(
            "There is no output node. Add a node with the feature_type 'logit', which the graph "
            "is to explain.",
            "no output",
        )
    return nodes


def raise_outputs(nodes: Iterable[FileNode]) -> tuple[FileNode, ...]:
    """Return the nodes with the outputs on the layer above all others.

    Files number it differently: one above the model's last layer, or two.
    """
    nodes = tuple(nodes)
    inner = [item.node.layer for item in nodes if item.node.kind is not NodeKind.LOGIT]
    outputs = [item.node.layer for item in nodes if item.node.kind is NodeKind.LOGIT]
    top = max(max(inner, default=-1) + 1, min(outputs) - 1)
    return tuple(
        replace(item, node=replace(item.node, layer=top))
        if item.node.kind is NodeKind.LOGIT
        else item
        for item in nodes
    )


def _read_node(
    problems: Problems, where: str, name: str, item: dict[str, Any], n_tokens: int
) -> FileNode | None:
    kind = _read_kind(problems, where, item.get("feature_type", MISSING))
    layer = _read_layer(problems, where, item.get("layer", MISSING), kind) if kind else None
    position = item.get("ctx_idx", MISSING)
    if not is_count(position) or position >= n_tokens:
        rule = f"a whole number from 0 to {n_tokens - 1}, a place in metadata.prompt_tokens"
        problems.must(where, "ctx_idx", position, rule)
        position = None
    label = item.get("clerp")
    if not isinstance(label, str | None):
        problems.must(where, "clerp", label, "a text, or null")
        label = None
    numbers = {field: _read_number(problems, where, field, item.get(field)) for field in NUMBERS}
    probability = numbers["token_prob"] if kind is NodeKind.LOGIT else None
    if probability is not None and not 0 <= probability <= 1:
        problems.must(where, "token_prob", item.get("token_prob"), "a probability from 0 to 1")
    if kind is None or layer is None or position is None:
        return None
    return FileNode(
        id=name,
        node=Node(kind, layer, position, _feature_number(name, item.get("feature"), kind)),
        label=clean(label or ""),
        reached=numbers["influence"],
        activation=numbers["activation"],
        probability=probability,
        score=numbers["score"],
        ablation_bits=numbers["ablation_bits"] if kind is NodeKind.FEATURE else None,
    )


def _read_kind(problems: Problems, where: str, value: Any) -> NodeKind | None:
    kind = KINDS.get(value) if isinstance(value, str) else None
    if kind is None:
        problems.must(where, "feature_type", value, f"one of {', '.join(map(repr, KINDS))}")
    return kind


def _read_layer(problems: Problems, where: str, value: Any, kind: NodeKind) -> int | None:
    """Return a node's layer, -1 for tokens."""
    if kind is NodeKind.TOKEN:
        if value == TOKEN_LAYER:
            return -1
        problems.must(where, "layer", value, f"{TOKEN_LAYER!r} where feature_type is 'embedding'")
        return None
    is_digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10
    layer = int(value) if is_digits else value
    if is_count(layer) and layer < MAX_LAYERS:
        return int(layer)
    rule = f"a whole number from 0 to {MAX_LAYERS - 1}, or {TOKEN_LAYER!r} for embeddings"
    problems.must(where, "layer", value, rule)
    return None


def _read_number(problems: Problems, where: str, name: str, value: Any) -> float | None:
    """Return a number that may be missing."""
    if value is None:
        return None
    number = to_float(value)
    if number is None or not math.isfinite(number):
        problems.must(where, name, value, "a finite number, or null")
        return None
    return number


def _feature_number(name: str, value: Any, kind: NodeKind) -> int:
    """Return a feature's number in its layer, or an output's token; -1 where the file names none.

    The number in the id is a feature's own; the field ``feature`` is mixed with the layer.
    """
    found = re.fullmatch(r"\d+_(\d{1,15})_\d+", name) if kind is NodeKind.FEATURE else None
    if found:
        return int(found[1])
    return (
        value if kind is not NodeKind.ERROR and is_count(value) and value < LARGEST_NUMBER else -1
    )


def is_count(value: Any) -> bool:
    """Return whether a value of a JSON file is a whole number of at least 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def to_float(value: Any) -> float | None:
    """Return a number of a JSON file, infinite where it is too large; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def clean(text: str) -> str:
    """Return text that can be shown and sent: halves of characters become U+FFFD."""
    return HALVES.sub("\ufffd", text)
