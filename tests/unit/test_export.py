"""Graphs as files: what viewers rely on, and that foreign text stays text."""

import base64
import hashlib
import json
import re
import xml.etree.ElementTree as ET

import pytest

from circuitscope_core.errors import CircuitScopeError
from circuitscope_core.export import (
    Opening,
    classic_script,
    export_graph,
    export_graphml,
    export_html,
    feature_card_json,
    find_vis_network,
    graph_to_json,
    render_html,
    render_view,
    slugify,
)
from circuitscope_core.export.graph_json import cantor_pair
from circuitscope_core.graph import NodeKind
from circuitscope_core.pruning import prune_graph
from circuitscope_core.supernodes import cluster_features
from circuitscope_core.view import layout_graph
from tests.unit.graph_samples import (
    HOSTILE,
    TOKENIZER,
    Decoders,
    sample_bundle,
    sample_cards,
    sample_graph,
)


@pytest.fixture(scope="module")
def pruned():
    return prune_graph(sample_graph())


@pytest.fixture(scope="module")
def supernodes(pruned):
    return cluster_features(pruned, Decoders())


@pytest.fixture(scope="module")
def data(pruned, supernodes):
    return graph_to_json(pruned, supernodes=supernodes, cards=sample_cards())


def test_every_kept_node_and_edge_is_written(pruned, data):
    assert len(data["nodes"]) == pruned.n_nodes
    assert len(data["links"]) == pruned.n_edges


def test_node_ids_are_unique_and_links_use_them(data):
    ids = [node["node_id"] for node in data["nodes"]]
    assert len(set(ids)) == len(ids)
    assert all(node["jsNodeId"] == node["node_id"] for node in data["nodes"])
    assert {link[end] for link in data["links"] for end in ("source", "target")} <= set(ids)


def test_nodes_are_named_as_viewers_expect(pruned, data):
    graph = pruned.graph
    kept = pruned.node_mask.nonzero()[:, 0].tolist()
    for index, written in zip(kept, data["nodes"], strict=True):
        node = graph.node(index)
        if node.kind is NodeKind.FEATURE:
            assert written["node_id"] == f"{node.layer}_{node.feature}_{node.position}"
            assert written["feature"] == cantor_pair(node.layer, node.feature)
            assert written["feature_type"] == "cross layer transcoder"
            assert written["layer"] == str(node.layer)
            assert written["activation"] == float(graph.activations[index])
        elif node.kind is NodeKind.ERROR:
            assert written["node_id"] == f"{node.layer}_-1_{node.position}"
            assert written["feature_type"] == "mlp reconstruction error"
        elif node.kind is NodeKind.TOKEN:
            assert written["node_id"] == f"E_{node.feature}_{node.position}"
            assert (written["layer"], written["feature"]) == ("E", node.position)
        else:
            assert written["node_id"] == f"{graph.n_layers + 1}_{node.feature}_{node.position}"
            assert written["layer"] == str(graph.n_layers + 1)
        assert written["ctx_idx"] == node.position
        assert 0 <= written["influence"] <= 1


def test_cantors_pairing():
    assert [cantor_pair(*pair) for pair in ((0, 0), (1, 0), (0, 1), (2, 3))] == [0, 1, 2, 18]


def test_outputs_have_labels_that_viewers_can_take_apart(data):
    outputs = [node for node in data["nodes"] if node["isLogit"]]
    texts = [re.fullmatch(r'Output "([^"\n]*)" \(p=(\d\.\d{3})\)', n["clerp"]) for n in outputs]
    assert all(texts)
    assert [match[1] for match in texts] == ["D", "A", "”", "⏎", "<"]
    assert [node["is_target_logit"] for node in outputs] == [True, False, False, False, False]
    assert outputs[0]["token_prob"] == pytest.approx(0.62)


def test_weights_are_raw_and_signed(pruned, data):
    weights = [link["weight"] for link in data["links"]]
    assert weights == pruned.graph.adjacency[pruned.edge_mask].tolist()
    assert min(weights) < 0 < max(weights)


def test_metadata_names_schema_and_settings(data):
    metadata = data["metadata"]
    assert metadata["schema_version"] == 1
    assert metadata["info"]["generator"]["name"] == "CircuitScope"
    assert metadata["pruning_settings"] == {
        "node_threshold": 0.8,
        "edge_threshold": 0.98,
        "score": "answer",
    }
    assert "".join(metadata["prompt_tokens"]) == "<|endoftext|>cat (N"
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", metadata["slug"])
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", metadata["scan"])


def test_groups_are_pinned_and_listed(data, supernodes):
    groups = data["qParams"]["supernodes"]
    assert len(groups) == len(supernodes.merged)
    ids = {node["node_id"] for node in data["nodes"]}
    pinned = set(data["qParams"]["pinnedIds"])
    assert pinned <= ids
    assert all(isinstance(label, str) and set(members) <= pinned for label, *members in groups)


def test_what_a_person_chose_is_all_that_is_pinned(pruned, data, supernodes):
    one, two = (node["node_id"] for node in data["nodes"][:2])
    opening = Opening(selected=two, pinned=(one, "no_such_node"))
    chosen = graph_to_json(pruned, supernodes=supernodes, opening=opening)
    assert chosen["qParams"]["pinnedIds"] == [one]
    assert chosen["qParams"]["clickedId"] == two
    assert len(chosen["qParams"]["supernodes"]) == len(supernodes.merged)
    untouched = graph_to_json(
        pruned, supernodes=supernodes, cards=sample_cards(), opening=Opening()
    )
    assert untouched == data


def test_a_page_opens_with_what_was_chosen_and_runs_nothing_of_it(pruned):
    opening = Opening(selected="</script><b>", pinned=("a", "b"), places=(("a", 1.0, 2.0),))
    view = layout_graph(pruned, TOKENIZER)
    text = render_view(view, opening)
    found = re.search(r'id="graph-opening">([^<]*)</script>', text).group(1)
    assert json.loads(found) == opening.to_json()
    assert 'id="graph-opening"' not in render_view(view)
    policy = re.search(r"script-src ([^;]*);", text).group(1).split()
    assert len(policy) == text.count("\n<script>")


def test_equal_graphs_give_equal_bytes(data, supernodes):
    again = prune_graph(sample_graph())
    other = graph_to_json(again, supernodes=supernodes, cards=sample_cards())
    assert json.dumps(other) == json.dumps(data)


@pytest.mark.parametrize(
    ("text", "slug"),
    [("a b/../c", "a-b-..-c"), ("../../x", "x"), ("<é>", "graph"), ("x" * 99, "x" * 60)],
)
def test_slugs_are_safe_names(text, slug):
    assert slugify(text) == slug


def test_a_file_is_written_whole_and_nothing_else(pruned, tmp_path):
    path = export_graph(pruned, tmp_path / "new" / "graph.json")
    assert json.loads(path.read_text())["metadata"]["schema_version"] == 1
    assert [file.name for file in path.parent.iterdir()] == ["graph.json"]
    named = export_graph(pruned, tmp_path, slug="../my graph")
    assert named == tmp_path / "my-graph.json"


def test_feature_cards_have_what_viewers_read():
    card = feature_card_json(sample_cards().card(1, 3), TOKENIZER)
    assert card["index"] == 3
    assert [band["quantile_name"] for band in card["examples_quantiles"]] == [
        "Top Activations",
        "Subsample Interval 1",
        "Subsample Interval 2",
    ]
    example = card["examples_quantiles"][0]["examples"][0]
    peak = example["train_token_ind"]
    assert example["tokens_acts_list"][peak] == max(example["tokens_acts_list"])
    assert len(card["quantile_values"]) == 99
    assert len(card["histogram"]) == 40
    assert card["top_logits"][1] == "⏎"


@pytest.fixture(scope="module")
def page():
    hostile = prune_graph(sample_graph(HOSTILE + "\u2028&"))
    groups = cluster_features(hostile, Decoders())
    return render_html(hostile, sample_bundle(HOSTILE), supernodes=groups)


def test_foreign_text_stays_text_in_a_page(page):
    assert HOSTILE not in page
    assert "<img" not in page
    assert "\u2028" not in page.split('id="graph-data"')[1].split("</script>")[0]
    data = page.split('id="graph-data">')[1].split("</script>")[0]
    assert not set("<>&") & set(data)
    assert json.loads(data)["prompt"] == HOSTILE + "\u2028&"


def test_a_page_runs_its_own_scripts_and_loads_nothing(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert len(scripts) == policy.split("script-src")[1].split(";")[0].count("sha256-")
    tags = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"<[a-z][^>]*\s(src|href)\s*=", tags)


def test_modules_are_joined_into_one_script_that_needs_no_other():
    script = classic_script("standalone.js", run="startPage()")
    assert not re.search(r"^(import|export)\b", script, flags=re.MULTILINE)
    assert not re.search("</script|<!--", script, flags=re.IGNORECASE)
    assert '"paper": "#ffffff"' in script
    assert script.index("function reduce(") < script.index("function mount(")


def test_a_page_is_the_same_for_equal_graphs(pruned, tmp_path):
    one = export_html(pruned, sample_bundle(), tmp_path / "one.html")
    two = export_html(prune_graph(sample_graph()), sample_bundle(), tmp_path / "two.html")
    assert one.read_bytes() == two.read_bytes()


def test_a_prompt_with_half_a_character_can_be_written(tmp_path):
    broken = prune_graph(sample_graph("ab\udce2"))
    export_html(broken, sample_bundle(), tmp_path / "page.html")
    export_graph(broken, tmp_path / "graph.json")
    export_graphml(broken, tmp_path / "graph.graphml")


def test_without_pyvis_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr("circuitscope_core.export.canvas.find_spec", lambda _name: None)
    with pytest.raises(CircuitScopeError, match="pip install"):
        find_vis_network()


def test_the_newest_vis_network_is_taken():
    assert find_vis_network().parent.name == "vis-9.1.2"


def test_graphml_holds_nodes_edges_and_labels(pruned, tmp_path):
    path = export_graphml(pruned, tmp_path / "graph.graphml", cards=sample_cards())
    root = ET.parse(path).getroot()
    space = {"g": "http://graphml.graphdrawing.org/xmlns"}
    assert len(root.findall(".//g:node", space)) == pruned.n_nodes
    assert len(root.findall(".//g:edge", space)) == pruned.n_edges
    names = {key.get("attr.name") for key in root.findall("g:key", space)}
    assert {"label", "kind", "layer", "influence", "weight", "share"} <= names
