"""The picture as SVG: the same layout and colours as the canvas, and nothing that could run."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from circuitscope_core import GraphError, prune_graph
from circuitscope_core.export import export_svg, render_svg
from circuitscope_core.export.svg import RAMPS, THEMES
from circuitscope_core.supernodes import group_by_hand
from circuitscope_core.tokenizer import ByteTokenizer
from circuitscope_core.view import GraphView, layout_graph
from tests.unit.graph_samples import sample_graph

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def view():
    pruned = prune_graph(sample_graph(), 1.0, 1.0)
    features = [node for node in pruned.kept_nodes.tolist() if node < pruned.graph.n_features]
    groups = group_by_hand(pruned, [("a <b>group</b>", features[:2])])
    return layout_graph(pruned, ByteTokenizer(), supernodes=groups)


def elements(text, name):
    return list(ET.fromstring(text).iter(f"{SVG}{name}"))


def test_every_node_is_drawn_at_its_place_with_its_name(view):
    text = render_svg(view)
    titles = [title.text for title in elements(text, "title")]
    assert titles == [view.prompt, *(f"{node.label}, {node.detail}" for node in view.full.nodes)]
    drawn = {(c.get("cx"), c.get("cy")) for c in elements(text, "circle")}
    features = [node for node in view.full.nodes if node.kind == "feature"]
    assert drawn == {(f"{node.x:.1f}", f"{node.y:.1f}") for node in features}


def test_every_edge_is_a_ghost_and_those_of_the_selected_node_are_coloured(view):
    output = next(node for node in view.full.nodes if node.kind == "logit")
    number = view.full.nodes.index(output)
    own = [edge for edge in view.full.edges if number in (edge.source, edge.target)]
    assert own
    plain, selected = render_svg(view), render_svg(view, selected=output.id)
    ghosts = next(p for p in elements(plain, "path") if p.get("stroke-opacity"))
    assert ghosts.get("d").count("M") == len(view.full.edges)
    coloured = [p for p in elements(selected, "path") if p.get("stroke-opacity") == "0.85"]
    assert len(coloured) == len(own)
    dashed = [p for p in coloured if p.get("stroke-dasharray")]
    assert len(dashed) == sum(edge.share < 0 for edge in own)
    assert {p.get("stroke") for p in coloured} <= set(RAMPS[False])
    assert render_svg(view, selected="no node") == plain


def test_supernodes_are_tiles_with_their_names(view):
    text = render_svg(view, picture="groups", dark=True)
    assert "a <b>group</b>" in [element.text for element in elements(text, "text")]
    assert THEMES[True]["paper"] in text
    with pytest.raises(GraphError, match="has no supernodes"):
        render_svg(replace(view, groups=None), picture="groups")


def test_a_way_is_one_line_through_its_nodes(view):
    nodes = view.full.nodes[:3]
    text = render_svg(view, way=[node.id for node in nodes])
    (line,) = [p for p in elements(text, "path") if p.get("stroke") == THEMES[False]["focus"]]
    points = [f"{node.x:.1f} {node.y:.1f}" for node in nodes]
    assert line.get("d") == f"M{points[0]}L{points[1]}M{points[1]}L{points[2]}"


def test_foreign_text_is_text_and_what_xml_cannot_hold_is_replaced(view):
    hostile = "</title><script>planted = 1</script>&\x00\ud800\u202e\U0001f600" + "x" * 100_000
    nodes = tuple(replace(node, label=hostile, detail=hostile) for node in view.full.nodes)
    columns = tuple(replace(column, label=hostile) for column in view.full.columns)
    planted = replace(view.full, nodes=nodes, columns=columns)
    text = render_svg(replace(view, prompt=hostile, full=planted))
    assert elements(text, "script") == []
    kept = hostile.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
    assert elements(text, "title")[0].text == kept
    assert not re.search(r"(href|url\(|@import|\son\w+=)", text)


def test_a_picture_is_a_file(view, tmp_path):
    path = export_svg(view, tmp_path / "graph.svg", dark=True)
    assert path.read_text(encoding="utf-8") == render_svg(view, dark=True)
    assert isinstance(view, GraphView)
