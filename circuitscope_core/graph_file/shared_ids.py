"""Node ids that circuit-tracer gave twice: to a feature of layer 0 and to an error.

Up to version 0.5 it names the feature n of layer 0 at token p ``0_n_p``, and the error of layer n
at token p likewise. Its links stand in order, those of a target as their sources stand among the
nodes, and nothing leads to an error: so which of the two a link comes from can mostly be seen.
Where it cannot, the id stays shared, and the file is refused.

Source: circuit-tracer 0.5.0, ``frontend/graph_models.py`` (``Node.error_node``) and
``utils/create_graph_files.py``.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from circuitscope_core.export.graph_json import FEATURE_TYPES
from circuitscope_core.graph import NodeKind

SHARED = re.compile(r"0_(\d{1,6})_(\d{1,9})")


@dataclass(frozen=True)
class _Pair:
    """The places of two nodes of one id in the list of nodes, and the error's layer."""

    feature: int
    error: int
    layer: int


def split_shared_ids(data: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Return a file's JSON with an id of its own for each error, and how many got a new one.

    Only ids that all links can be told apart by are changed.

    Args:
        data: The file; not changed.
    """
    nodes, links = data.get("nodes"), data.get("links")
    if not isinstance(nodes, list) or not isinstance(links, list):
        return data, 0
    pairs = _pairs_of(nodes)
    if not pairs or not all(map(_is_link, links)):
        return data, 0
    heights = {item["node_id"]: _height(item) for item in nodes if _has_id(item)}
    from_errors = _links_from_errors(nodes, links, pairs, heights)
    solved = {name: pair for name, pair in pairs.items() if from_errors.get(name) is not None}
    free = {name: f"{pair.layer}_-1_{name.rsplit('_', 1)[1]}" for name, pair in solved.items()}
    free = {name: new for name, new in free.items() if new not in heights}
    renamed, moved = list(nodes), list(links)
    for name, new in free.items():
        place = solved[name].error
        renamed[place] = {**nodes[place], "node_id": new}
        for number in from_errors[name] or ():
            moved[number] = {**links[number], "source": new}
    return {**data, "nodes": renamed, "links": moved}, len(free)


def _pairs_of(nodes: Sequence[Any]) -> dict[str, _Pair]:
    """Return the ids that exactly a feature of layer 0 and an error have."""
    places: dict[str, list[int]] = {}
    for place, item in enumerate(nodes):
        if _has_id(item):
            places.setdefault(item["node_id"], []).append(place)
    pairs = {}
    for name, found in places.items():
        form = SHARED.fullmatch(name)
        if form is None or len(found) != 2:
            continue
        kinds = [nodes[place].get("feature_type") for place in found]
        if kinds != [FEATURE_TYPES[NodeKind.FEATURE], FEATURE_TYPES[NodeKind.ERROR]]:
            continue
        feature, error = (nodes[place] for place in found)
        if str(feature.get("layer")) == "0" and str(error.get("layer")) == str(int(form[1])):
            pairs[name] = _Pair(found[0], found[1], int(form[1]))
    return pairs


def _links_from_errors(
    nodes: Sequence[Any],
    links: Sequence[Any],
    pairs: Mapping[str, _Pair],
    heights: Mapping[str, int],
) -> dict[str, list[int] | None]:
    """Return the numbers of the links that come from each pair's error; None where not known."""
    order = {
        item["node_id"]: place
        for place, item in enumerate(nodes)
        if _has_id(item) and item["node_id"] not in pairs
    }
    runs = [list(run) for _, run in groupby(enumerate(links), key=lambda pair: pair[1]["target"])]
    if not _stand_in_order(runs, order):
        return dict.fromkeys(pairs)
    found: dict[str, list[int] | None] = {name: [] for name in pairs}
    for run in runs:
        for at, (number, link) in enumerate(run):
            pair, known = pairs.get(link["source"]), found.get(link["source"])
            if pair is None or known is None:
                continue
            is_error = _comes_from_error(pair, [other["source"] for _, other in run], at, order)
            if heights.get(link["target"], 0) <= pair.layer:
                is_error = False  # an error acts on higher layers only
            if is_error is None:
                found[link["source"]] = None
            elif is_error:
                known.append(number)
    return found


def _stand_in_order(runs: Sequence[list[tuple[int, Any]]], order: Mapping[str, int]) -> bool:
    """Tell whether each target's links stand together, by the order of their sources."""
    targets = [run[0][1]["target"] for run in runs]
    if len(set(targets)) != len(targets):
        return False
    for run in runs:
        places = [order[link["source"]] for _, link in run if link["source"] in order]
        if places != sorted(places):
            return False
    return True


def _comes_from_error(
    pair: _Pair, sources: Sequence[str], at: int, order: Mapping[str, int]
) -> bool | None:
    """Tell whether a target's link comes from the error; None where the order does not say."""
    same = [place for place, name in enumerate(sources) if name == sources[at]]
    if len(same) == 2:
        return at == same[1]  # features stand before errors
    if len(same) != 1:
        return None
    before = max((order[name] for name in sources[:at] if name in order), default=-1)
    after = (order[name] for name in sources[at + 1 :] if name in order)
    end = min(after, default=pair.error + 1)
    fits = [before < place < end for place in (pair.feature, pair.error)]
    return fits[1] if fits[0] != fits[1] else None


def _height(item: Mapping[str, Any]) -> int:
    """Return a node's layer; that of an output above all others."""
    if item.get("feature_type") == FEATURE_TYPES[NodeKind.LOGIT]:
        return 1 << 30
    layer = str(item.get("layer"))
    return int(layer) if layer.isascii() and layer.isdigit() and len(layer) < 10 else -1


def _has_id(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("node_id"), str)


def _is_link(link: Any) -> bool:
    return (
        isinstance(link, dict)
        and isinstance(link.get("source"), str)
        and isinstance(link.get("target"), str)
    )
