"""The circuit: one table for pruned graphs and for files, and the driver that makes it."""

import json
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import circuitscope_core as cs
from circuitscope_core.circuit import KINDS, circuit_of
from circuitscope_core.export import graph_to_json, graphml_text
from circuitscope_core.graph_file import circuit_of_file, layout_graph_file
from circuitscope_core.pruning import edge_scores, kept_shares, propagate, propagate_edges
from circuitscope_core.view.layout import full_picture
from tests.samples import PROMPT, random_graph, tiny_replacement
from tests.unit.graph_samples import sample_cards, sample_graph


def test_a_circuit_holds_what_pruning_kept():
    pruned = cs.prune_graph(sample_graph())
    circuit = circuit_of(pruned, sample_cards())
    graph = pruned.graph
    assert circuit.index.tolist() == pruned.kept_nodes.tolist()
    assert [circuit.node(row) for row in range(len(circuit))] == list(circuit.nodes)
    assert circuit.nodes == tuple(graph.node(node) for node in pruned.kept_nodes.tolist())
    assert len(circuit.edges) == pruned.n_edges
    edges, shares = circuit.edges, kept_shares(pruned)
    assert torch.equal(edges.weights, pruned.kept_effects[edges.targets, edges.sources])
    torch.testing.assert_close(edges.shares, shares[edges.targets, edges.sources])
    assert torch.equal(circuit.influence, pruned.node_influence[pruned.kept_nodes])
    features = circuit.are(cs.NodeKind.FEATURE)
    assert torch.equal(circuit.activations[features], graph.activations[circuit.index[features]])
    assert circuit.activations[~features].isnan().all()
    assert not circuit.probabilities[circuit.are(cs.NodeKind.LOGIT)].isnan().any()
    table = circuit.to_pandas()
    assert list(table["id"]) == list(circuit.ids)
    assert set(circuit.edges_to_pandas()["source"]) <= set(circuit.ids)


def test_a_file_has_the_circuit_that_was_written_to_it():
    circuit = circuit_of(cs.prune_graph(sample_graph()), sample_cards())
    again = circuit_of_file(cs.parse_graph_json(json.dumps(graph_to_json(circuit))))
    assert again.ids == circuit.ids
    # the format replaces quotes, which its viewers trip over
    assert again.names == tuple(name.replace('"', "”") for name in circuit.names)
    assert torch.equal(again.kinds, circuit.kinds)
    # a file numbers its tokens by their places
    tokens = circuit.are(cs.NodeKind.TOKEN)
    assert torch.equal(again.features[~tokens], circuit.features[~tokens])
    torch.testing.assert_close(again.edges.shares, circuit.edges.shares)
    twice = graph_to_json(again)
    assert twice["links"] == graph_to_json(circuit)["links"]
    assert twice["nodes"] == graph_to_json(circuit)["nodes"]
    assert graphml_text(again).count("<node") == len(circuit)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), density=st.sampled_from([0.0, 0.2, 1.0]))
def test_influence_and_scores_by_edges_are_those_of_the_matrix(seed, density):
    graph = random_graph(seed, density=density)
    edges = graph.edges()
    parts = (edges.sources, edges.targets, edges.weights)
    by_edges = propagate_edges(graph.node_layers, graph.logit_weights, *parts)
    by_matrix = propagate(graph.node_layers, graph.logit_weights, graph.adjacency)
    torch.testing.assert_close(by_edges, by_matrix, rtol=1e-5, atol=1e-6)
    is_error = torch.zeros(graph.n_nodes, dtype=torch.bool)
    is_error[graph.error_nodes] = True
    is_token = torch.zeros_like(is_error)
    is_token[graph.token_nodes] = True
    found = edge_scores(graph.node_layers, graph.logit_weights, parts, is_error, is_token)
    expected = cs.graph_scores(graph)
    assert vars(found) == pytest.approx(vars(expected), abs=1e-5)


def large_file(n_features, n_links):
    """A file of two layers of features, each of the second reading some of the first."""
    half = n_features // 2
    nodes = [
        {
            "node_id": f"{layer}_{number}_1",
            "feature_type": "cross layer transcoder",
            "layer": str(layer),
            "ctx_idx": 1,
            "feature": number,
        }
        for layer in (0, 1)
        for number in range(half)
    ]
    nodes += [
        {"node_id": "E_1_0", "feature_type": "embedding", "layer": "E", "ctx_idx": 0, "feature": 0},
        {
            "node_id": "3_5_1",
            "feature_type": "logit",
            "layer": "3",
            "ctx_idx": 1,
            "feature": 5,
            "token_prob": 1.0,
            "clerp": 'Output "x" (p=1.000)',
        },
    ]
    per_target = n_links // half
    links = [
        {
            "source": f"0_{(target + 7 * step) % half}_1",
            "target": f"1_{target}_1",
            "weight": 1.0 + step,
        }
        for target in range(half)
        for step in range(per_target)
    ]
    links += [
        {"source": f"1_{target}_1", "target": "3_5_1", "weight": 0.001} for target in range(half)
    ]
    metadata = {"schema_version": 1, "prompt": "ab", "prompt_tokens": ["a", "b"]}
    return json.dumps({"metadata": metadata, "nodes": nodes, "links": links})


def test_a_file_of_many_nodes_opens_and_its_lists_hold_every_link():
    file = cs.parse_graph_json(large_file(8_000, 32_000))
    started = time.perf_counter()
    view = layout_graph_file(file)
    assert time.perf_counter() - started < 60
    picture = view.full
    assert len(picture.nodes) == 8_002
    assert len(picture.edges) == 12_000
    assert len(picture.edges) + len(picture.others) == len(file.links)
    assert picture.n_edges_left_out == len(picture.others)
    output = next(n for n, node in enumerate(picture.nodes) if node.kind == "logit")
    into = [edge for edge in (*picture.others, *picture.edges) if edge.target == output]
    assert len(into) == 4_000


def test_what_cannot_be_listed_is_counted(monkeypatch):
    monkeypatch.setattr("circuitscope_core.view.columns.MAX_DRAWN_EDGES", 5)
    monkeypatch.setattr("circuitscope_core.view.columns.MAX_LISTED_EDGES", 20)
    circuit = circuit_of(cs.prune_graph(sample_graph()))
    picture = full_picture(circuit)
    assert (len(picture.edges), len(picture.others)) == (5, 15)
    assert picture.n_edges_left_out == len(circuit.edges) - 5
    shares = circuit.edges.shares.abs().sort(descending=True).values
    drawn = sorted(abs(edge.share) for edge in picture.edges)
    assert drawn == pytest.approx(shares[:5].flip(0).tolist())


def test_one_driver_gives_what_its_steps_give():
    replacement = tiny_replacement(n_layers=3, threshold=0.2)
    config = cs.TraceConfig(
        cs.AttributionConfig(max_logits=3),
        cs.PruneConfig(0.7, 0.9),
        cs.GroupingConfig(0.5, likeness="decoders"),
    )
    *events, trace = cs.trace_steps(replacement, PROMPT, config)
    assert any(isinstance(event, cs.AttributionPlan) for event in events)
    graph = cs.attribute(replacement, PROMPT, max_logits=3)
    pruned = cs.prune_graph(graph, 0.7, 0.9)
    assert torch.equal(trace.graph.adjacency, graph.adjacency)
    assert torch.equal(trace.pruned.node_mask, pruned.node_mask)
    assert trace.supernodes == cs.cluster_features(pruned, replacement.transcoder, 0.5)
    assert trace.scores == cs.graph_scores(graph)
    assert [path.text for path in cs.strongest_paths(trace)] == [
        path.text for path in cs.strongest_paths(pruned)
    ]
    assert cs.TraceConfig.from_json(config.to_json()) == config


def test_defaults_are_the_same_for_all_and_features_have_their_labels():
    assert cs.TraceConfig().grouping.likeness == "role"
    bundle = cs.load_bundle("models/demo")
    trace = cs.trace(bundle, "The National Digital Analytics Group (N")
    named = [
        (node, name)
        for node, name in zip(trace.circuit.nodes, trace.circuit.names, strict=True)
        if node.kind is cs.NodeKind.FEATURE
    ]
    for node, name in named:
        label = bundle.feature_cards.label(node.layer, node.feature)
        assert name == (label or f"feature {node.feature}")
    assert KINDS[int(trace.circuit.kinds[-1])] is cs.NodeKind.LOGIT
    assert len(trace.supernodes.merged) > 0
