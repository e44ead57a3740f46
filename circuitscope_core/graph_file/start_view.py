"""A person's work on a graph, as its file says it: pins, supernodes, labels, the selection.

It is the file's ``qParams``. A viewer that keeps its state in its address saves the address's
texts, as circuit-tracer's does: ids with commas between them, lists as JSON in a string.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from circuitscope_core.graph import NodeKind
from circuitscope_core.graph_file.file_nodes import NodesById, clean
from circuitscope_core.graph_file.file_values import FileGroup
from circuitscope_core.graph_file.problems import MISSING, Problems

NOT_JSON = object()
"""Stands for a text that holds no JSON."""


@dataclass(frozen=True)
class StartView:
    """The choices that a file opens with, all of nodes that it has."""

    groups: tuple[FileGroup, ...] = ()
    """No node is in two of them."""
    pinned: tuple[str, ...] = ()
    selected: str = ""
    """Empty for none."""
    labels: Mapping[str, str] | None = None
    """Names that a person gave in the viewer, by the ids of features; None for none."""


def read_start_view(
    problems: Problems, value: Any, items: Sequence[Any], nodes: NodesById
) -> StartView:
    """Return what ``qParams`` says of nodes that are there, and note what it says wrongly.

    Args:
        problems: Takes what is wrong.
        value: The file's ``qParams``.
        items: The file's nodes.
        nodes: The same, read.
    """
    if value is None or value is MISSING:
        return StartView()
    if not isinstance(value, dict):
        problems.must("The file", "qParams", value, "an object, or left out")
        return StartView()
    names = list(nodes)
    pinned = _read_ids(problems, value.get("pinnedIds"))
    rows = _read_rows(problems, value.get("supernodes"))
    clicked = value.get("clickedId")
    known = set(names)
    return StartView(
        groups=_read_groups(rows, names),
        pinned=tuple(dict.fromkeys(name for name in map(clean, pinned) if name in known)),
        selected=clean(clicked) if isinstance(clicked, str) and clean(clicked) in known else "",
        labels=_read_labels(problems, value.get("clerps"), items, nodes),
    )


def _read_ids(problems: Problems, value: Any) -> list[str]:
    if not value:
        return []
    ids = value.split(",") if isinstance(value, str) else value
    if not _is_texts(ids):
        rule = "a list of node_ids, a text of them with commas between, or left out"
        problems.must("qParams", "pinnedIds", value, rule)
        return []
    return list(ids)


def _read_rows(problems: Problems, value: Any) -> list[list[str]]:
    rows = _unpack(value)
    if not isinstance(rows, list) or not all(_is_texts(row) and row for row in rows):
        rule = "a list of lists, each a name and node_ids; the same as JSON in a text; or left out"
        problems.must("qParams", "supernodes", value, rule)
        return []
    return rows


def _unpack(value: Any) -> Any:
    """Return a list, which may be written as JSON in a text, or be missing."""
    if not value:
        return []
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) or []
    except (ValueError, RecursionError):
        return NOT_JSON


def _read_groups(rows: list[list[str]], names: list[str]) -> tuple[FileGroup, ...]:
    """Return the groups of two or more; a node that is named twice belongs to the first."""
    free = {name: place for place, name in enumerate(names)}
    groups = []
    for label, *ids in rows:
        members = [free.pop(name) for name in map(clean, ids) if name in free]
        if len(members) > 1:
            groups.append(FileGroup(clean(label), tuple(sorted(members))))
    return tuple(groups)


def _read_labels(
    problems: Problems, value: Any, items: Sequence[Any], nodes: NodesById
) -> Mapping[str, str] | None:
    """Return the labels of features by their ids.

    circuit-tracer names a feature by the field ``feature``, at every token alike, and Neuronpedia
    by layer, ``feature`` and token.
    """
    pairs = _unpack(value)
    if not isinstance(pairs, list) or not all(_is_label(pair) for pair in pairs):
        rule = (
            "a list of pairs, each the name of a feature and its label; the same as JSON in a "
            "text; or left out"
        )
        problems.must("qParams", "clerps", value, rule)
        return None
    given = {str(name): clean(label) for name, label in pairs if label}
    if not given:
        return None
    labels = {}
    for item in items:
        node = nodes.get(clean(item["node_id"])) if _has_id(item) else None
        if node is None or node.node.kind is not NodeKind.FEATURE:
            continue
        number = item.get("feature")
        place = f"{item.get('layer')}_{number}_{item.get('ctx_idx')}"
        label = given.get(place) or given.get(str(number))
        if label:
            labels[node.id] = label
    return labels


def _has_id(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("node_id"), str)


def _is_label(pair: Any) -> bool:
    return (
        isinstance(pair, list)
        and len(pair) == 2
        and isinstance(pair[0], str | int)
        and isinstance(pair[1], str | None)
    )


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
