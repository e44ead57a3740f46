"""The links of a graph file, checked one by one."""

import math
from typing import Any

from circuitscope_core.graph import NodeKind
from circuitscope_core.graph_file.file_nodes import MAX_LAYERS, NodesById, clean, to_float
from circuitscope_core.graph_file.file_values import FileLink, FileNode
from circuitscope_core.graph_file.problems import MISSING, Problems, shown

LARGEST_WEIGHT = 1e30
"""Larger ones could not be added up."""


def read_links(problems: Problems, items: list[Any], nodes: NodesById) -> tuple[FileLink, ...]:
    """Return the links between nodes that are there, and note what is wrong with the others."""
    places = {name: place for place, name in enumerate(nodes)}
    links = []
    numbers: dict[int, int] = {}
    strangers: list[str] = []
    n_strangers = 0
    for number, item in enumerate(items):
        where = f"links[{number}]"
        ends = _read_ends(problems, where, item)
        if ends is None:
            continue
        missing = [name for name in ends if name not in places]
        if missing:
            n_strangers += 1
            strangers = strangers or [where, missing[0]]
            continue
        source, target = (places[name] for name in ends)
        weight = _read_weight(problems, where, item.get("weight", MISSING))
        _check_direction(problems, where, nodes[ends[0]], nodes[ends[1]])
        first = numbers.setdefault(source * len(places) + target, number)
        if first != number:
            problems.add(
                f"{where}: links[{first}] joins the same nodes, {shown(ends[0])} and "
                f"{shown(ends[1])}; make one link of the two.",
                "same ends",
            )
        links.append(FileLink(source, target, weight))
    if n_strangers:
        where, name = strangers
        count = "1 link leads" if n_strangers == 1 else f"{n_strangers:,} links lead"
        problems.add(
            f"{count} to or from a node that is not in the file; the first is {where}: there is "
            f"no node {shown(name)}. Add the nodes, or leave the links out.",
            "strangers",
        )
    return tuple(links)


def _read_ends(problems: Problems, where: str, item: Any) -> tuple[str, str] | None:
    """Return the ids of source and target; None, and a note, where a link names none."""
    if not isinstance(item, dict):
        problems.must(where, "the link", item, "an object with source, target and weight")
        return None
    ends = []
    for field in ("source", "target"):
        value = item.get(field, MISSING)
        if not isinstance(value, str):
            problems.must(where, field, value, "the node_id of a node")
            return None
        ends.append(clean(value))
    return ends[0], ends[1]


def _read_weight(problems: Problems, where: str, value: Any) -> float:
    weight = to_float(value)
    if weight is None or not math.isfinite(weight):
        problems.must(where, "weight", value, "a finite number")
        return 0.0
    if abs(weight) > LARGEST_WEIGHT:
        rule = f"from -{LARGEST_WEIGHT:g} to {LARGEST_WEIGHT:g}"
        problems.must(where, "weight", value, rule)
    return weight


def _check_direction(
    problems: Problems, where: str, source: FileNode | None, target: FileNode | None
) -> None:
    """Note a link that does not lead up; without such links there is no cycle."""
    if source is None or target is None or _height(source) < _height(target):
        return
    problems.add(
        f"{where} leads from {shown(source.id)} ({_floor(source)}) to {shown(target.id)} "
        f"({_floor(target)}); effects only go up, to a higher layer. Swap its ends, or leave it "
        "out.",
        "direction",
    )


def _height(item: FileNode) -> int:
    """Return a node's layer, with the outputs above all others."""
    return MAX_LAYERS if item.node.kind is NodeKind.LOGIT else item.node.layer


def _floor(item: FileNode) -> str:
    names = {NodeKind.LOGIT: "an output", NodeKind.TOKEN: "a token"}
    return names.get(item.node.kind, f"layer {item.node.layer}")
