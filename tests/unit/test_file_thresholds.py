"""Opened files pruned further, scored, grouped and written again: the rules of our own graphs."""

import json

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.circuit import circuit_of
from circuitscope_core.export import Opening, graph_to_json
from circuitscope_core.graph import NodeKind
from circuitscope_core.graph_file import (
    circuit_of_file,
    circuit_scores,
    edit_graph_json,
    groups_of_file,
    layout_graph_file,
    parse_graph_json,
    prune_circuit,
    with_labels,
)
from circuitscope_core.pruning import (
    PrunedGraph,
    compute_node_influence,
    graph_scores,
    prune_graph,
)
from circuitscope_core.supernodes import cluster_features
from tests.samples import random_graph
from tests.unit.graph_file_samples import small_graph
from tests.unit.graph_samples import TOKENIZER, sample_cards, sample_graph


def whole_of(graph):
    """Return the circuit of all of a graph, with what leads nowhere and what nothing leads to."""
    influence = compute_node_influence(graph)
    edges = graph.adjacency != 0
    every = torch.ones_like(influence, dtype=torch.bool)
    config = cs.PruneConfig(1.0, 1.0, "influence")
    return circuit_of(PrunedGraph(graph, every, edges, influence, influence, influence, config))


def file_of(kept, **more):
    return parse_graph_json(json.dumps(graph_to_json(kept, **more)))


def small():
    return circuit_of_file(parse_graph_json(json.dumps(small_graph())))


# --- thresholds -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("nodes", "edges"), [(0.8, 0.98), (0.5, 0.9), (0.95, 0.4), (0.0, 0.0)])
def test_a_whole_graph_from_a_file_is_pruned_as_the_graph_itself(seed, nodes, edges):
    graph = random_graph(seed=seed, n_layers=3, n_pos=3, n_features=25, n_logits=2, density=0.5)
    wanted = circuit_of(prune_graph(graph, nodes, edges, score="influence"))
    whole = whole_of(graph)
    for start in (whole, circuit_of_file(file_of(whole))):
        found = prune_circuit(start, nodes, edges)
        assert set(found.ids) == set(wanted.ids)
        assert links_of(found) == links_of(wanted)
        order = [found.rows[name] for name in wanted.ids]
        torch.testing.assert_close(found.influence[order], wanted.influence)
        torch.testing.assert_close(found.dropped[order], wanted.dropped, atol=1e-5, rtol=1e-4)
        assert found.index.tolist() == [int(start.index[start.rows[name]]) for name in found.ids]


def links_of(circuit):
    edges, ids = circuit.edges, circuit.ids
    return {
        (ids[source], ids[target]): pytest.approx(share, abs=1e-5)
        for source, target, share in zip(
            edges.sources.tolist(), edges.targets.tolist(), edges.shares.tolist(), strict=True
        )
    }


def test_thresholds_of_one_keep_the_whole_file():
    circuit = small()
    assert prune_circuit(circuit, 1.0, 1.0) is circuit


def test_thresholds_leave_out_what_is_worked_out_by_hand():
    circuit = small()
    # of 31/32, the second token has 20, the second feature 4, the first and the first token 3
    # each, and the error 1
    nine_tenths = prune_circuit(circuit, 0.9, 1.0)
    assert set(circuit.ids) - set(nine_tenths.ids) == {"0_-1_1"}
    dropped = dict(zip(nine_tenths.ids, nine_tenths.dropped.tolist(), strict=True))
    assert dropped["1_6_1"] == pytest.approx(0.25)
    # the second feature is strong enough, but what leads to it is not
    three_quarters = prune_circuit(circuit, 0.75, 1.0)
    assert set(three_quarters.ids) == {"E_1_0", "E_2_1", "3_7_1", "3_8_1"}


def test_thresholds_need_probabilities_and_shares():
    data = small_graph()
    for place in (5, 6):
        del data["nodes"][place]["token_prob"]
    circuit = circuit_of_file(parse_graph_json(json.dumps(data)))
    assert prune_circuit(circuit, 1.0, 1.0) is circuit
    assert circuit_scores(circuit) is None
    with pytest.raises(cs.GraphFileError, match="no probabilities"):
        prune_circuit(circuit, 0.8, 1.0)
    with pytest.raises(cs.ConfigError, match=r"node_threshold is 1\.5"):
        prune_circuit(small(), 1.5, 1.0)


# --- scores -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_scores_of_a_file_of_the_whole_graph_are_the_graphs(seed):
    graph = random_graph(seed=seed, n_layers=3, n_pos=3, n_features=25, n_logits=2, density=0.5)
    whole = whole_of(graph)
    circuit = circuit_of_file(file_of(whole))
    found, wanted = circuit_scores(circuit), graph_scores(graph)
    assert found.replacement == pytest.approx(wanted.replacement, abs=1e-5)
    assert found.completeness == pytest.approx(wanted.completeness, abs=1e-5)
    chosen = whole.rows_of(NodeKind.FEATURE)[::2].tolist()
    numbers = whole.index[chosen].tolist()
    ids = [whole.ids[row] for row in chosen]
    pinned, of_graph = circuit_scores(circuit, ids), graph_scores(graph, numbers)
    assert pinned.replacement == pytest.approx(of_graph.replacement, abs=1e-5)
    assert pinned.completeness == pytest.approx(of_graph.completeness, abs=1e-5)


def test_scores_are_those_worked_out_by_hand():
    # tokens have 0.5 * 3/4 + 0.25 + 0.5/4 * 3/4 of the influence, the error 0.5/4 * 1/4
    scores = circuit_scores(small())
    tokens, error = 0.5 * 3 / 4 + 0.25 + 0.5 / 4 * 3 / 4, 0.5 / 4 / 4
    assert scores.replacement == pytest.approx(tokens / (tokens + error))


# --- supernodes -------------------------------------------------------------------------------


def test_roles_need_no_transcoder_and_decoders_do():
    pruned = prune_graph(sample_graph())
    circuit = circuit_of_file(file_of(pruned))
    found = cluster_features(circuit, likeness="role", similarity_threshold=0.3)
    assert found.merged
    wanted = cluster_features(pruned, likeness="role", similarity_threshold=0.3)
    ids = circuit_of(pruned)
    assert {frozenset(circuit.ids[row] for row in group.members) for group in found.merged} == {
        frozenset(ids.ids[ids.row_of[node]] for node in group.members) for group in wanted.merged
    }
    with pytest.raises(cs.ConfigError, match="Decoder vectors are the transcoder's"):
        cluster_features(circuit)


def test_a_view_shows_the_part_the_groups_and_the_cards_that_were_asked_for():
    file = file_of(prune_graph(sample_graph()))
    whole = circuit_of_file(file)
    part = prune_circuit(whole, 0.8, 0.9)
    groups = cluster_features(part, likeness="role", similarity_threshold=0.2)
    view = layout_graph_file(file, part, groups, sample_cards(), TOKENIZER)
    assert {node.id for node in view.full.nodes} == set(part.ids) < set(whole.ids)
    assert len([n for n in view.groups.nodes if len(n.members) > 1]) == len(groups.merged)
    facts = {fact.name: fact.value for fact in view.facts}
    assert facts["Nodes"] == f"{len(part):,} of {len(whole):,}"
    card = next(iter(view.cards.values()))
    assert card.examples
    named = {node.label for node in view.full.nodes if node.kind == NodeKind.FEATURE}
    assert any("→" in label for label in named)  # the cards' labels, as the file has none


def test_cards_do_not_replace_the_files_own_labels():
    file = parse_graph_json(json.dumps(small_graph()))
    view = layout_graph_file(file, cards=sample_cards(), tokenizer=TOKENIZER)
    labels = {node.id: node.label for node in view.full.nodes}
    assert labels["0_5_0"] == "first"
    assert labels["1_6_1"] == sample_cards().label(1, 6)


# --- written again ----------------------------------------------------------------------------


def edited(text, circuit, **more):
    return json.loads(edit_graph_json(text, circuit, **more))


def test_an_untouched_file_is_written_as_it_was_but_for_its_start_view():
    data = small_graph()
    data["extra"] = {"kept": [1]}
    data["nodes"][2]["vis_link"] = "x"
    text = json.dumps(data)
    file = parse_graph_json(text)
    circuit = circuit_of_file(file)
    again = edited(
        text,
        circuit,
        supernodes=groups_of_file(file, circuit),
        opening=Opening(pinned=file.pinned),
    )
    assert {key: value for key, value in again.items() if key != "qParams"} == {
        key: value for key, value in data.items() if key != "qParams"
    }
    assert again["qParams"]["pinnedIds"] == data["qParams"]["pinnedIds"]
    assert again["qParams"]["supernodes"] == data["qParams"]["supernodes"]


def test_labels_pins_groups_and_thresholds_are_written_and_read_again():
    pruned = prune_graph(sample_graph())
    text = json.dumps(graph_to_json(pruned, cards=sample_cards()))
    file = parse_graph_json(text)
    circuit = prune_circuit(circuit_of_file(file), 0.8, 0.9)
    name = circuit.ids[int(circuit.rows_of(NodeKind.FEATURE)[0])]
    circuit = with_labels(circuit, {name: "mine\t<b>", "gone": "x"})
    groups = cluster_features(circuit, likeness="role", similarity_threshold=0.2)
    opening = Opening(selected=name, pinned=(name, "gone"))
    again = parse_graph_json(edit_graph_json(text, circuit, supernodes=groups, opening=opening))
    assert (again.pinned, again.selected) == ((name,), name)
    assert len(again.groups) == len(groups.merged)
    found = circuit_of_file(again)
    assert found.ids == circuit.ids
    assert links_of(found) == links_of(circuit)
    labels = dict(zip(circuit.ids, circuit.labels, strict=True)) | {name: "mine→‹b>"}
    features = [found.ids[row] for row in found.rows_of(NodeKind.FEATURE).tolist()]
    assert all(found.labels[found.rows[one]] == labels[one] for one in features)


def test_labels_of_a_viewers_list_move_into_the_nodes():
    data = small_graph()
    data["nodes"][3]["feature"] = 34
    data["qParams"] = {"clerps": '[["34","mine"]]', "linkType": None, "pinnedIds": None}
    text = json.dumps(data)
    again = edited(text, circuit_of_file(parse_graph_json(text)))
    assert again["nodes"][3]["clerp"] == "mine"
    assert "clerps" not in again["qParams"]
    assert again["qParams"]["linkType"] == "both"
    long = small_graph()
    long["nodes"][2]["clerp"] = "x" * 1_000
    assert (
        edited(json.dumps(long), circuit_of_file(parse_graph_json(json.dumps(long))))["nodes"][2][
            "clerp"
        ]
        == "x" * 1_000
    )
