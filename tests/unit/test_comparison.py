"""Two graphs side by side: what is the same node, who keeps it, and what changed."""

from dataclasses import replace

import pytest
import torch

from circuitscope_core.circuit import circuit_of
from circuitscope_core.comparison import (
    Column,
    Side,
    align,
    compare_graphs,
    compared_circuit,
)
from circuitscope_core.errors import GraphError
from circuitscope_core.export import export_graph
from circuitscope_core.graph import Node, NodeKind
from circuitscope_core.graph_file import circuit_of_file, read_graph_file
from circuitscope_core.pruning import kept_shares, prune_graph
from tests.samples import make_graph, random_graph
from tests.unit.graph_samples import sample_cards, sample_graph


def columns_of(a, b):
    return [(column.a, column.b) for column in align(a, b)]


def test_the_same_tokens_share_every_column():
    assert columns_of("|ab", "|ab") == [(0, 0), (1, 1), (2, 2)]


def test_a_token_that_replaces_another_shares_its_column():
    assert columns_of("|abcd", "|aXcd") == [(n, n) for n in range(5)]


def test_what_one_prompt_has_more_gets_columns_of_its_own():
    assert columns_of("|abd", "|abcd") == [(0, 0), (1, 1), (2, 2), (None, 3), (3, 4)]


def test_a_word_that_replaces_another_begins_in_its_column():
    assert columns_of("|cat.", "|horse.")[1:] == [
        *((1, 1), (2, 2), (3, 3)),
        *((None, 4), (None, 5), (4, 6)),
    ]


def test_words_are_matched_before_letters():
    # by letters alone the "i" and "a" of these names would pull the words apart
    a, b = "|The Digital Data (D", "|The Pacific Umber Opal (P"
    pairs = columns_of(a, b)
    together = {f"{a[x]}{b[y]}" for x, y in pairs if x is not None and y is not None}
    assert {"DP", "DU", "(("} <= together
    assert (a.index("Data"), b.index("Umber")) in pairs
    assert (None, b.index("Opal")) in pairs


def test_prompts_that_share_nothing_still_end_together():
    assert columns_of("|abc", "|wxyz") == [(0, 0), (1, 1), (2, 2), (None, 3), (3, 4)]


def test_the_last_tokens_share_a_column_even_where_another_would_match_better():
    assert columns_of("|aN", "|aNA") == [(0, 0), (1, 1), (None, 2), (2, 3)]


def test_a_lone_first_token_is_not_the_last_one_too():
    assert columns_of("|", "|ab") == [(0, 0), (None, 1), (None, 2)]
    assert columns_of("|", "|") == [(0, 0)]


@pytest.mark.parametrize(
    ("a", "b"), [("|The Navy (N", "|A Royal Court (R"), ("|aab", "|aba"), ("|ab", "|ba")]
)
def test_aligning_the_other_way_round_gives_the_mirror_image(a, b):
    forth = align(a, b)
    assert align(b, a) == tuple(Column(column.b, column.a) for column in forth)
    for side, text in ((0, a), (1, b)):
        places = [pair[side] for pair in columns_of(a, b) if pair[side] is not None]
        assert places == list(range(len(text)))


def pruned_pair():
    """Two prompts that differ in one token; their graphs share features by chance."""
    a, b = (sample_graph(prompt, seed=seed) for prompt, seed in (("cat (N", 0), ("cab (Nx", 1)))
    return prune_graph(a, 0.6, 0.9), prune_graph(b, 0.6, 0.9)


@pytest.mark.parametrize("seed", range(3))
def test_a_graph_is_the_same_as_itself(seed):
    pruned = prune_graph(random_graph(seed))
    compared = compare_graphs(pruned, pruned, same_features=True)
    assert compared.is_same
    assert len(compared.nodes) == pruned.n_nodes
    assert len(compared.edges) == pruned.n_edges
    assert {node.side for node in compared.nodes} == {Side.BOTH}
    assert {edge.side for edge in compared.edges} == {Side.BOTH}
    assert {node.change for node in compared.nodes} == {0}
    assert {(edge.change, edge.weight_change) for edge in compared.edges} == {(0, 0)}
    assert compared.largest_node_changes(10) == ()


@pytest.mark.parametrize("same_features", [True, False])
def test_swapping_the_graphs_swaps_sides_and_signs(same_features):
    a, b = pruned_pair()
    forth = compare_graphs(a, b, same_features=same_features)
    back = compare_graphs(b, a, same_features=same_features)
    mirror = {Side.A: Side.B, Side.B: Side.A, Side.BOTH: Side.BOTH}
    assert not forth.is_same
    assert {node.side for node in forth.nodes} == set(Side)

    def name(comparison, place, *, swapped=False):
        node = comparison.nodes[place]
        halves = (node.b, node.a) if swapped else (node.a, node.b)
        return tuple(half and half.index for half in halves)

    nodes = {name(forth, place): node for place, node in enumerate(forth.nodes)}
    for place, node in enumerate(back.nodes):
        other = nodes.pop(name(back, place, swapped=True))
        assert (node.column, node.layer) == (other.column, other.layer)
        assert node.change == -other.change
        assert node.side is mirror[other.side]
    assert nodes == {}
    edges = {(name(forth, edge.source), name(forth, edge.target)): edge for edge in forth.edges}
    for edge in back.edges:
        ends = (name(back, place, swapped=True) for place in (edge.source, edge.target))
        other = edges.pop(tuple(ends))
        assert (edge.change, edge.weight_change) == (-other.change, -other.weight_change)
        assert edge.side is mirror[other.side]
    assert edges == {}


def test_every_kept_node_and_edge_of_both_graphs_is_compared_once():
    a, b = pruned_pair()
    compared = compare_graphs(a, b, same_features=True)
    for pruned, half, side in ((a, "a", Side.A), (b, "b", Side.B)):
        found = [getattr(node, half) for node in compared.nodes]
        kept = [presence.index for presence in found if presence and presence.kept]
        assert sorted(kept) == pruned.kept_nodes.tolist()
        edges = [edge for edge in compared.edges if edge.side in (side, Side.BOTH)]
        assert len(edges) == pruned.n_edges


def test_numbers_are_those_of_each_graph():
    a, b = pruned_pair()
    compared = compare_graphs(a, b, same_features=True)
    shares, ranks = kept_shares(b), {node: n for n, node in enumerate(b.kept_nodes.tolist())}
    n_pruned = 0
    for edge in compared.edges:
        source, target = (compared.nodes[place].b for place in (edge.source, edge.target))
        there = source is not None and target is not None
        weight = float(b.graph.adjacency[target.index, source.index]) if there else 0.0
        kept = there and source.kept and target.kept and edge.side is not Side.A
        share = float(shares[ranks[target.index], ranks[source.index]]) if kept else 0.0
        assert (edge.weight_b, edge.share_b) == (weight, share)
        n_pruned += weight != 0 and not kept
    assert n_pruned > 0
    for node in compared.nodes:
        if node.b and node.kind is NodeKind.FEATURE:
            assert node.b.influence == float(b.node_influence[node.b.index])
            assert node.b.activation == float(b.graph.activations[node.b.index])
            layer, position, _ = b.graph.features[node.b.index].tolist()
            assert (node.layer, compared.columns[node.column].b) == (layer, position)


TOKEN, LOGIT = 5, 6
"""Rows in the graphs below: two features at the last of two tokens, errors, tokens, an output."""


def two_features(into_first, into_second, outputs):
    """Features 5 and 7, both fed by the last token; ``outputs`` is what they give the logit."""
    adjacency = torch.zeros(7, 7)
    adjacency[0, TOKEN], adjacency[1, TOKEN] = into_first, into_second
    adjacency[LOGIT, 0], adjacency[LOGIT, 1] = outputs
    return make_graph(adjacency, [[0, 1, 5], [0, 1, 7]], n_pos=2)


def test_a_dropped_feature_is_told_from_one_that_is_not_active():
    # in A the influences are 3/4, 1/4 and, of the token, 1: at 60 % feature 7 goes
    a = prune_graph(two_features(2.0, 1.0, (3.0, 1.0)), 0.6, 1.0)
    b = prune_graph(two_features(2.0, 4.0, (1.0, -1.0)), 1.0, 1.0)
    compared = compare_graphs(a, b, same_features=True)
    first, second = compared.nodes[:2]
    assert (first.side, first.change) == (Side.BOTH, 0.5 - 0.75)
    assert (second.side, second.in_other, second.change) == (Side.B, True, 0.5 - 0.25)
    assert not second.a.kept
    edges = {(edge.source, edge.target): edge for edge in compared.edges}
    places = {node.b.index: place for place, node in enumerate(compared.nodes)}
    lost = edges[1, places[LOGIT]]
    # not kept in A, where it holds no share, but its weight there is known
    assert (lost.side, lost.weight_a, lost.share_a) == (Side.B, 1.0, 0.0)
    assert (lost.weight_change, lost.change) == (-2.0, -0.5)
    kept = edges[0, places[LOGIT]]
    assert (kept.side, kept.share_a, kept.change) == (Side.BOTH, 1.0, -0.5)
    new = edges[places[TOKEN], 1]
    assert (new.side, new.weight_a, new.change) == (Side.B, 1.0, 1.0)
    assert compared.largest_edge_changes(2) == (new, kept)
    assert [node.change for node in compared.largest_node_changes(1)] == [-0.25]
    alone = make_graph(torch.zeros(6, 6), [[0, 1, 5]], n_pos=2)
    other = compare_graphs(b, prune_graph(alone), same_features=True)
    gone = other.nodes[1]
    assert (gone.side, gone.b, gone.in_other, gone.change) == (Side.A, None, False, -0.5)


def test_features_of_two_transcoders_are_never_the_same():
    pruned = prune_graph(random_graph(0))
    compared = compare_graphs(pruned, pruned, same_features=False)
    sides = {kind: {node.side for node in compared.nodes if node.kind is kind} for kind in NodeKind}
    assert sides[NodeKind.FEATURE] == {Side.A, Side.B}
    for kind in (NodeKind.ERROR, NodeKind.TOKEN, NodeKind.LOGIT):
        assert sides[kind] == {Side.BOTH}
    assert not compared.is_same


def test_outputs_of_a_deeper_model_stand_in_one_row():
    a, b = (prune_graph(random_graph(0, n_layers=n_layers)) for n_layers in (2, 4))
    compared = compare_graphs(a, b, same_features=False)
    outputs = [node for node in compared.nodes if node.kind is NodeKind.LOGIT]
    assert {node.layer for node in outputs} == {4}
    assert {node.side for node in outputs} == {Side.BOTH}


def test_outputs_are_told_apart_by_id_or_by_text_and_count():
    graph = random_graph(0, n_logits=3)
    a = replace(graph, logit_token_ids=torch.tensor([1, 2, -1]), logit_texts=("x", "x", "d"))
    b = replace(graph, logit_token_ids=torch.tensor([2, 4, -1]), logit_texts=("x", "x", "e"))

    def sides(*, same_features):
        pair = (prune_graph(graph) for graph in (a, b))
        found = compare_graphs(*pair, same_features=same_features).nodes
        return sorted(node.side for node in found if node.kind is NodeKind.LOGIT)

    assert sides(same_features=True) == [Side.A, Side.A, Side.B, Side.B, Side.BOTH]
    assert sides(same_features=False) == [Side.A, Side.B, Side.BOTH, Side.BOTH]


def test_a_comparison_is_a_circuit_of_what_changed():
    a, b = pruned_pair()
    compared = compare_graphs(a, b, same_features=True)
    circuit = compared.circuit
    assert [node.kind for node in circuit.nodes] == [node.kind for node in compared.nodes]
    ends = zip(circuit.edges.sources.tolist(), circuit.edges.targets.tolist(), strict=True)
    changes = zip(ends, circuit.edges.weights.tolist(), circuit.edges.shares.tolist(), strict=True)
    for edge, (pair, weight, share) in zip(compared.edges, changes, strict=True):
        assert pair == (edge.source, edge.target)
        assert weight == pytest.approx(edge.weight_b - edge.weight_a, abs=1e-6)
        assert share == pytest.approx(edge.share_b - edge.share_a, abs=1e-6)
    for row, node in enumerate(compared.nodes):
        graph = (a if node.a else b).graph
        number = (node.a or node.b).index
        own = graph.node(number)
        assert circuit.node(row) == Node(own.kind, node.layer, node.column, own.feature)
        assert compared.rows[node] == row
    assert len(set(circuit.ids)) == len(circuit)
    same = compare_graphs(a, a, same_features=True).circuit
    alone = circuit_of(a)
    rows = [same.rows[f"a_{name}"] for name in alone.ids]
    assert [same.names[row] for row in rows] == list(alone.names)
    assert same.influence[rows].tolist() == alone.influence.tolist()
    assert same.worth[rows].tolist() == alone.worth.tolist()
    assert not same.edges.weights.any()


def test_a_comparison_can_be_exported_as_any_circuit(tmp_path):
    compared = compare_graphs(*pruned_pair(), same_features=True)
    path = export_graph(compared, tmp_path / "changes.json", cards=sample_cards())
    found = circuit_of_file(read_graph_file(path))
    assert set(found.ids) == set(compared.circuit.ids)
    weights = dict(zip(*map(tuple, ids_and_weights(compared.circuit)), strict=True))
    for ends, weight in zip(*ids_and_weights(found), strict=True):
        assert weight == pytest.approx(weights.pop(ends), rel=1e-4)
    assert not any(weights.values())


def ids_and_weights(circuit):
    edges = circuit.edges
    ends = ([circuit.ids[row] for row in rows.tolist()] for rows in (edges.sources, edges.targets))
    return list(zip(*ends, strict=True)), edges.weights.tolist()


def test_cards_of_one_model_never_name_the_features_of_another():
    compared = compare_graphs(*pruned_pair(), same_features=False)
    with pytest.raises(GraphError, match="features of two models"):
        circuit_of(compared, sample_cards())
    one, other = sample_cards(), sample_cards(text="other text")
    circuit = compared_circuit(compared, one, other)
    for row in circuit.rows_of(NodeKind.FEATURE).tolist():
        node, cards = circuit.node(row), one if compared.nodes[row].a else other
        assert circuit.labels[row] == cards.label(node.layer, node.feature)
