"""A graph file with what a person made of it: everything else in it stays as it was."""

import json
from collections.abc import Mapping
from typing import Any

from circuitscope_core.circuit import Circuit
from circuitscope_core.export.graph_json import viewer_text
from circuitscope_core.export.opening import Opening
from circuitscope_core.graph import NodeKind
from circuitscope_core.graph_file.file_nodes import clean
from circuitscope_core.graph_file.parse import load_graph_json
from circuitscope_core.supernodes import Supernodes
from circuitscope_core.view.text import group_label


def edit_graph_json(
    text: str | bytes,
    circuit: Circuit,
    *,
    supernodes: Supernodes | None = None,
    opening: Opening | None = None,
) -> str:
    """Return a graph's JSON with the nodes and links of a circuit, and its labels, groups and pins.

    Fields that are not known here stay, of the file and of every node and link.

    Args:
        text: The JSON that was opened.
        circuit: The file's circuit, pruned or not; a feature that has another label than the
            file's gets it.
        supernodes: Groups to open the graph with; the file's own go.
        opening: Selection and pins.

    Raises:
        GraphFileError: If the text is no JSON object.
    """
    data, _ = load_graph_json(text)
    nodes = [item for item in data["nodes"] if clean(item["node_id"]) in circuit.rows]
    edges, ids = circuit.edges, circuit.ids
    kept = {
        (ids[source], ids[target])
        for source, target in zip(edges.sources.tolist(), edges.targets.tolist(), strict=True)
    }
    links = [
        link for link in data["links"] if (clean(link["source"]), clean(link["target"])) in kept
    ]
    return json.dumps(
        {
            **data,
            "qParams": _start_view(data.get("qParams"), circuit, supernodes, opening),
            "nodes": [_labelled(item, circuit) for item in nodes],
            "links": links,
        }
    )


def _labelled(item: dict[str, Any], circuit: Circuit) -> dict[str, Any]:
    """Return a node with its label in the circuit."""
    row = circuit.rows[clean(item["node_id"])]
    if circuit.node(row).kind is not NodeKind.FEATURE:
        return item
    label, own = circuit.labels[row], item.get("clerp") or ""
    shortened = own != label and label.endswith("…") and clean(own).startswith(label[:-1])
    return item if label == clean(own) or shortened else {**item, "clerp": viewer_text(label)}


def _start_view(
    old: Any, circuit: Circuit, supernodes: Supernodes | None, opening: Opening | None
) -> dict[str, Any]:
    """Return ``qParams``: labels are in the nodes by now, so a viewer's list of them goes."""
    kept: Mapping[str, Any] = old if isinstance(old, dict) else {}
    rest = {key: value for key, value in kept.items() if key != "clerps" and value is not None}
    groups = []
    for group in supernodes.merged if supernodes else ():
        rows = [circuit.row_of[member] for member in group.members]
        label = viewer_text(group_label(circuit, group, rows))
        groups.append([label, *(circuit.ids[row] for row in rows)])
    chosen = opening or Opening()
    return {
        "linkType": "both",
        "sg_pos": "",
        **rest,
        "pinnedIds": [name for name in chosen.pinned if name in circuit.rows],
        "supernodes": groups,
        "clickedId": chosen.selected if chosen.selected in circuit.rows else "",
    }
