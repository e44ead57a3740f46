"""Ids that circuit-tracer gave to a feature and to an error: told apart by the order of links."""

import json
from dataclasses import replace

import pytest

import circuitscope_core as cs
from circuitscope_core.export import graph_to_json
from circuitscope_core.graph import NodeKind
from circuitscope_core.graph_file import (
    circuit_of_file,
    edit_graph_json,
    layout_graph_file,
    parse_graph_json,
)
from circuitscope_core.graph_file.shared_ids import split_shared_ids
from circuitscope_core.pruning import prune_graph
from tests.samples import random_graph
from tests.unit.graph_file_samples import small_graph


def as_circuit_tracer_names(data):
    """Return a graph's JSON with the errors of layer n named like the feature n of layer 0."""
    new = {
        node["node_id"]: f"0_{node['layer']}_{node['ctx_idx']}"
        for node in data["nodes"]
        if node["feature_type"] == "mlp reconstruction error"
    }
    nodes = [
        {**node, "node_id": new.get(node["node_id"], node["node_id"])} for node in data["nodes"]
    ]
    links = [{**link, "source": new.get(link["source"], link["source"])} for link in data["links"]]
    return {**data, "nodes": nodes, "links": links, "qParams": {}}


def low_graph(seed):
    """Return a random graph in whose layer 0 features have the numbers of layers."""
    graph = random_graph(seed=seed, n_layers=3, n_pos=3, n_features=80, n_logits=2, density=0.9)
    rows, taken = [], set()
    for layer, position, number in graph.features.tolist():
        low = number % 3 if layer == 0 and (position, number % 3) not in taken else number + 3
        if layer == 0:
            taken.add((position, low))
        rows.append([layer, position, low])
    features = graph.features.new_tensor(rows)
    pruned = prune_graph(replace(graph, features=features), 0.95, 0.99, score="influence")
    return graph_to_json(pruned)


def links_of(file):
    nodes = file.nodes
    return sorted(
        (str(nodes[link.source].node), str(nodes[link.target].node), link.weight)
        for link in file.links
    )


def test_links_of_errors_are_those_of_the_graph_or_the_file_is_refused():
    n_renamed = n_refused = 0
    for seed in range(12):
        data = low_graph(seed)
        wanted = parse_graph_json(json.dumps(data))
        text = json.dumps(as_circuit_tracer_names(data))
        try:
            found = parse_graph_json(text)
        except cs.GraphFileError:
            n_refused += 1
            continue
        assert links_of(found) == links_of(wanted)
        assert [node.node for node in found.nodes] == [node.node for node in wanted.nodes]
        n_renamed += found.n_renamed
    assert n_renamed > 20
    assert n_refused < 4


def shared(links):
    data = small_graph()
    data["nodes"][2]["node_id"] = "0_1_1"
    data["nodes"][2]["ctx_idx"] = 1
    data["nodes"][4] = {**data["nodes"][4], "node_id": "0_1_1", "layer": "1"}
    data["nodes"][3]["layer"] = "2"
    data["links"] = [
        {"source": a, "target": b, "weight": n + 1.0} for n, (a, b) in enumerate(links)
    ]
    data["qParams"] = {"pinnedIds": ["0_1_1"]}
    return data


def test_of_two_links_the_second_is_the_errors_and_a_pin_the_features():
    both = [("0_1_1", "1_6_1"), ("0_1_1", "1_6_1"), ("1_6_1", "3_7_1")]
    text = json.dumps(shared(both))
    file = parse_graph_json(text)
    assert file.n_renamed == 1
    sources = [file.nodes[link.source].node.kind for link in file.links[:2]]
    assert sources == [NodeKind.FEATURE, NodeKind.ERROR]
    assert file.pinned == ("0_1_1",)
    assert file.nodes[2].node.kind is NodeKind.FEATURE
    assert {f.name: f.value for f in layout_graph_file(file).facts}["New ids"] == "1 error"
    again = parse_graph_json(edit_graph_json(text, circuit_of_file(file)))
    assert links_of(again) == links_of(file)
    assert again.n_renamed == 0


def test_a_link_that_may_be_either_ones_is_refused():
    data = shared([("0_1_1", "1_6_1"), ("1_6_1", "3_7_1")])
    assert split_shared_ids(data) == (data, 0)
    with pytest.raises(cs.GraphFileError, match="has the same node_id"):
        parse_graph_json(json.dumps(data))


def test_links_in_another_order_tell_nothing():
    both = [("0_1_1", "1_6_1"), ("0_1_1", "1_6_1"), ("1_6_1", "3_7_1")]
    scattered = [both[0], both[2], both[1]]
    unsorted = [*both, ("1_6_1", "3_8_1"), ("E_2_1", "3_8_1")]
    for links in (scattered, unsorted):
        data = shared(links)
        assert split_shared_ids(data) == (data, 0)


def test_an_error_acts_on_higher_layers_only():
    data = shared([("0_1_1", "1_6_1"), ("1_6_1", "3_7_1")])
    data["nodes"][3]["layer"] = "1"  # where the error is
    file = parse_graph_json(json.dumps(data))
    assert file.nodes[file.links[0].source].node.kind is NodeKind.FEATURE


def test_other_ids_that_are_there_twice_stay():
    for change in (
        {"feature_type": "cross layer transcoder"},
        {"layer": "2"},
        {"node_id": "E_1_0"},
    ):
        data = shared([("0_1_1", "1_6_1"), ("0_1_1", "1_6_1")])
        data["nodes"][4] |= change
        assert split_shared_ids(data)[1] == 0
    for broken in ({"nodes": 1, "links": []}, {}, {"nodes": [None], "links": [None]}):
        assert split_shared_ids(broken) == (broken, 0)
