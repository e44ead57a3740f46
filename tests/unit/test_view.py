"""The drawing of a graph: places, names, shares, and what pruning left out."""

import json
from itertools import pairwise

import pytest
import torch

from circuitscope_core.attribution import (
    FeatureTarget,
    TokenDifference,
    attribute,
    explain_head,
    explain_link,
)
from circuitscope_core.circuit import node_indices
from circuitscope_core.errors import GraphError
from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.graph import node_id
from circuitscope_core.interventions import ablate
from circuitscope_core.pruning import kept_shares, prune_graph
from circuitscope_core.supernodes import cluster_features
from circuitscope_core.tokenizer import token_label
from circuitscope_core.view import feature_rows, layout_graph, strongest_paths
from circuitscope_core.view.grid import Item, Spacing, arrange, arrange_compactly, push_apart
from circuitscope_core.view.text import readable_tokens
from tests.samples import tiny_replacement
from tests.unit.graph_samples import (
    TOKENIZER,
    Decoders,
    sample_cards,
    sample_graph,
    sample_weights,
)


def shares_of_all(pruned):
    """Return the kept edges' shares by the graph's own node indices."""
    shares = torch.zeros_like(pruned.graph.adjacency)
    shares[pruned.kept_nodes[:, None], pruned.kept_nodes] = kept_shares(pruned)
    return shares


@pytest.fixture(scope="module")
def pruned():
    return prune_graph(sample_graph())


@pytest.fixture(scope="module")
def view(pruned):
    groups = cluster_features(pruned, Decoders())
    return layout_graph(pruned, TOKENIZER, sample_cards(), groups)


def test_equal_inputs_give_the_same_bytes(pruned, view):
    again = prune_graph(sample_graph())
    other = layout_graph(again, TOKENIZER, sample_cards(), cluster_features(again, Decoders()))
    assert other.to_text() == view.to_text()
    assert other.digest == view.digest
    assert layout_graph(pruned, TOKENIZER).digest != view.digest


def test_every_kept_node_is_drawn_once(pruned, view):
    ids = [node.id for node in view.full.nodes]
    assert len(ids) == pruned.n_nodes
    assert len(set(ids)) == len(ids)


def test_nodes_stand_in_the_band_of_their_token_and_layer(view):
    n_layers = len(view.full.rows) - 2
    for node in view.full.nodes:
        row = view.full.rows[n_layers - node.layer]
        column = view.full.columns[node.position]
        assert row.start < node.y < row.end
        assert column.start < node.x < column.end


def test_no_two_nodes_stand_in_the_same_place(view):
    for picture in (view.full, view.groups):
        places = {(node.x, node.y) for node in picture.nodes}
        assert len(places) == len(picture.nodes)


def test_outputs_stand_by_probability_the_best_at_the_right(view):
    outputs = sorted((node.x, node.probability) for node in view.full.nodes if node.probability)
    assert [probability for _, probability in outputs] == sorted(p for _, p in outputs)


def test_a_column_is_as_wide_as_its_fullest_cell():
    items = [Item((1, 0), 10.0, 1.0), Item((1, 0), 10.0, 2.0), Item((1, 1), 10.0, 1.0)]
    spacing = Spacing(longest_line=100.0, line_height=10.0, least_column=12.0, padding=4.0)
    grid = arrange(items, ["Output", "L0", "Token"], ["a", "b"], spacing)
    wide, narrow = (band.end - band.start for band in grid.columns)
    assert wide / narrow == pytest.approx(24 / 14)
    height, width = grid.rows[-1].end, grid.columns[-1].end
    assert height / width == pytest.approx(spacing.proportion)  # as wide as a screen can show
    assert grid.positions[1][0] == grid.columns[0].end - 7  # the highest rank stands at the right
    assert grid.positions[0][0] == grid.columns[0].end - 17


def test_a_full_cell_goes_on_in_a_second_line():
    items = [Item((1, 0), 10.0, float(rank)) for rank in range(3)]
    grid = arrange(items, ["Output", "L0", "Token"], ["a"], Spacing(20.0, 10.0))
    assert len({y for _, y in grid.positions}) == 2


def test_crowded_cells_get_shorter_lines():
    items = [Item((1, column), 15.0, 0.0) for column in range(20) for _ in range(24)]
    labels = (["Output", "L0", "Token"], ["a"] * 20)
    plain = arrange(items, *labels, Spacing(120.0, 17.0))
    compact = arrange_compactly(items, *labels, Spacing(120.0, 17.0))
    assert compact.columns[-1].end < plain.columns[-1].end / 2


def test_tiles_are_pushed_apart_and_stay_inside():
    places = push_apart([95.0, 95.0, 10.0], [20.0, 20.0, 20.0], 100.0)
    assert places == [50, 70, 90]
    assert all(b - a >= 20 for a, b in pairwise(places))


def test_shares_of_a_nodes_inputs_add_up_to_one(view):
    totals = {}
    for edge in view.full.edges:
        totals[edge.target] = totals.get(edge.target, 0) + abs(edge.share)
    assert totals
    assert all(total == pytest.approx(1) for total in totals.values())


def test_a_share_has_the_sign_of_its_weight(view):
    assert all((edge.weight > 0) == (edge.share > 0) for edge in view.full.edges)


def test_what_pruning_left_out_is_told(pruned, view):
    graph = pruned.graph
    node = next(node for node in view.full.nodes if node.dropped > 0)
    index = next(i for i in range(graph.n_nodes) if node_id(graph, i) == node.id)
    kept = (graph.adjacency[index] * pruned.edge_mask[index]).abs().sum()
    assert node.dropped == pytest.approx(float(1 - kept / graph.adjacency[index].abs().sum()))


def test_weak_edges_of_a_large_graph_are_left_out_and_counted(pruned, monkeypatch):
    monkeypatch.setattr("circuitscope_core.view.columns.MAX_DRAWN_EDGES", 10)
    picture = layout_graph(pruned, TOKENIZER).full
    assert len(picture.edges) == 10
    assert picture.n_edges_left_out == pruned.n_edges - 10
    strongest = kept_shares(pruned)[pruned.kept_edges].abs().topk(10).values
    assert min(abs(edge.share) for edge in picture.edges) == pytest.approx(float(strongest[-1]))


def test_a_group_stands_for_its_members(view):
    groups = [node for node in view.groups.nodes if node.kind == "group"]
    assert groups
    drawn = [member for node in view.groups.nodes for member in node.members or (node.id,)]
    assert sorted(drawn) == sorted(node.id for node in view.full.nodes)
    assert all(node.label.endswith(f"+{len(node.members) - 1}") for node in groups)


def test_a_group_named_by_hand_keeps_its_name(pruned):
    groups = cluster_features(pruned, Decoders())
    index = next(i for i, group in enumerate(groups.groups) if len(group.members) > 1)
    named = layout_graph(pruned, TOKENIZER, sample_cards(), groups.rename(index, "my group"))
    assert "my group" in {node.label for node in named.groups.nodes}


def test_cards_hold_text_and_mark_the_peak(view):
    card = next(iter(view.cards.values()))
    example = card.examples[0]
    assert dict(example.heat)[example.peak] == max(value for _, value in example.heat)
    assert "⏎" in card.promoted
    assert "␣" in card.promoted


def test_a_graph_without_cards_or_groups_is_drawn_too(pruned):
    bare = layout_graph(pruned, TOKENIZER)
    assert bare.groups is None
    assert bare.cards == {}
    assert any(node.label.startswith("feature ") for node in bare.full.nodes)
    json.loads(bare.to_text())


def test_bytes_of_one_character_are_joined():
    token_ids = [97, *"é€".encode(), 0xE2, 98]
    values = [0.0, 1.0, 2.0, 0.0, 3.0, 0.0, 0.5, 0.0]
    texts, joined, peak = readable_tokens(TOKENIZER, token_ids, values, peak=4)
    assert texts == ("a", "é", "€", "\\xe2", "b")
    assert joined == (0.0, 2.0, 3.0, 0.5, 0.0)
    assert peak == 2


def test_line_ends_lone_spaces_and_the_separator_are_visible():
    shown = [token_label(text) for text in ("\n", " ", "a", "<|endoftext|>")]
    assert shown == ["⏎", "␣", "a", "start"]


def test_paths_lead_from_a_token_to_an_output(pruned):
    graph = pruned.graph
    shares = shares_of_all(pruned)
    paths = strongest_paths(pruned, 5)
    assert len(paths) == 5
    for path in paths:
        assert path.nodes[0] in range(*graph.token_nodes.indices(graph.n_nodes))
        assert path.nodes[-1] >= graph.logit_nodes.start
        product = float(graph.logit_weights[path.nodes[-1]])
        for (source, target), share, weight in zip(
            pairwise(path.nodes), path.shares, path.weights, strict=True
        ):
            assert pruned.edge_mask[target, source]
            assert share == pytest.approx(float(shares[target, source]))
            assert weight == float(graph.adjacency[target, source])
            product *= abs(share)
        assert path.strength == pytest.approx(product)
        assert path.text.count("→ ") >= len(path.nodes) - 1


def test_paths_are_the_strongest_of_all(pruned):
    graph, shares = pruned.graph, shares_of_all(pruned).abs().double()
    tokens = graph.token_nodes

    def walk(node, strength):
        if tokens.start <= node < tokens.stop:
            yield strength
        for source in shares[node].nonzero()[:, 0].tolist():
            yield from walk(source, strength * float(shares[node, source]))

    every = []
    for logit in range(graph.logit_nodes.start, graph.n_nodes):
        every += walk(logit, float(graph.logit_weights[logit]))
    found = [path.strength for path in strongest_paths(pruned, 7)]
    assert found == pytest.approx(sorted(every, reverse=True)[:7], rel=1e-4)


def test_no_path_is_no_number_of_paths(pruned):
    with pytest.raises(GraphError, match="at least one"):
        strongest_paths(pruned, 0)


def test_the_table_lists_kept_features_by_influence(pruned):
    rows = feature_rows(pruned, sample_cards())
    influence = [row.influence for row in rows]
    assert influence == sorted(influence, reverse=True)
    assert len(rows) == int(pruned.node_mask[pruned.graph.feature_nodes].sum())
    assert all(0 <= row.percentile <= 1 for row in rows)


def test_drawing_changes_nothing(pruned):
    before = (pruned.graph.adjacency.clone(), pruned.node_mask.clone())
    cards: FeatureCards = sample_cards()
    layout_graph(pruned, TOKENIZER, cards, cluster_features(pruned, Decoders()))
    assert torch.equal(before[0], pruned.graph.adjacency)
    assert torch.equal(before[1], pruned.node_mask)


def test_a_feature_switched_off_does_what_the_graph_says():
    replacement = tiny_replacement()
    graph = attribute(replacement, "cat (N")
    whole = prune_graph(graph, 1.0, 1.0)
    nodes = (0, graph.n_features - 1)
    names = [node_id(graph, index) for index in nodes]
    assert node_indices(whole, [*names, "E_1_1", "group_1"]) == nodes
    for row in ablate(replacement, graph, nodes):
        assert row.measured == pytest.approx(row.predicted, abs=1e-4)
        assert 0 <= row.probability_after <= 1


def test_cards_name_what_a_feature_works_with_over_the_corpus(pruned):
    weights, cards = sample_weights(), sample_cards()
    view = layout_graph(pruned, TOKENIZER, cards, weights=weights)
    for key, card in view.cards.items():
        layer, feature = map(int, key.split("/"))
        expected = [w.twera for w in weights.inputs(layer, feature)[:5]]
        assert [partner.twera for partner in card.inputs] == expected
        assert len(card.inputs) == (5 if layer else 0)
        assert len(card.outputs) == (0 if layer == 2 else 5)
        for partner in (*card.inputs, *card.outputs):
            named = cards.card(*map(int, partner.card.split("/")))
            assert (partner.layer, partner.label) == (named.layer, named.label)
    bare = layout_graph(pruned, TOKENIZER, cards)
    assert not any(card.inputs or card.outputs for card in bare.cards.values())


def test_an_edge_between_groups_is_the_sum_of_its_members_edges():
    replacement = tiny_replacement(n_layers=3, threshold=0.2)
    graph = attribute(replacement, "cat (N")
    of_layer = [(graph.features[:, 0] == layer).nonzero()[:, 0] for layer in (0, 2)]
    sources, targets = of_layer[0][:3].tolist(), of_layer[1][-3:].tolist()
    found = explain_link(replacement, graph, sources, targets)
    expected = float(graph.adjacency[targets][:, sources].sum())
    assert found.weight == pytest.approx(expected, rel=1e-5)
    assert sum(path.weight for path in found.paths) == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert sum(abs(path.share) for path in found.paths) == pytest.approx(1)
    strengths = [abs(path.weight) for path in found.paths]
    assert strengths == sorted(strengths, reverse=True)
    assert {f"{layer}.{head}" for layer, head in found.single_heads} == {
        path.text for path in found.paths if path.text.count(".") == 1
    }


def test_a_head_is_explained_by_named_pairs():
    replacement = tiny_replacement(threshold=0.2)
    graph = attribute(replacement, "cat (N")
    found = explain_head(replacement, graph, (1, 0), (5, 2), sample_cards())
    total = sum(row.weight for row in found.rows) + found.rest
    assert total == pytest.approx(found.score, rel=1e-5, abs=1e-5)
    names = {name for row in found.rows for name in (row.query, row.key)}
    assert all(name.startswith(("L", "token at", "constant")) for name in names)
    assert 0 <= found.attention <= 1


def test_what_is_no_token_has_neither_quotes_nor_a_probability():
    graph = attribute(tiny_replacement(), "cat (N", targets=[TokenDifference("a", "b")])
    view = layout_graph(prune_graph(graph), TOKENIZER)
    (output,) = (node for node in view.full.nodes if node.kind == "logit")
    assert (output.label, output.probability) == ("a − b", None)
    assert view.facts[0].value == "a − b"


def test_only_features_can_be_switched_off():
    replacement = tiny_replacement()
    graph = attribute(replacement, "cat (N")
    for nodes in ([], [graph.n_features]):
        with pytest.raises(GraphError, match="Only features"):
            ablate(replacement, graph, nodes)
    feature = attribute(replacement, "cat (N", targets=[FeatureTarget(1, 3, 2)])
    with pytest.raises(GraphError, match="explains no token"):
        ablate(replacement, feature, [0])
    difference = attribute(replacement, "cat (N", targets=[TokenDifference("a", "b")])
    (row,) = ablate(replacement, difference, [0])
    assert row.token == "a − b"
    assert row.measured == pytest.approx(row.predicted, abs=1e-5)


def test_of_a_long_prompt_runs_of_tokens_without_edges_are_one_column():
    replacement = tiny_replacement(model={"n_ctx": 160})
    text = "".join(chr(97 + number % 26) for number in range(150))
    graph = attribute(replacement, text, targets=["a"])
    pruned = prune_graph(graph, 0.2, 0.5)
    picture = layout_graph(pruned, TOKENIZER).full
    folds = [band for band in picture.columns if "tokens" in band.label]
    n_folded = sum(int(band.label.split()[1]) for band in folds)
    assert folds
    assert len(picture.columns) == graph.n_pos - n_folded + len(folds)
    tokens = [node for node in picture.nodes if node.kind == "token"]
    assert len(tokens) == graph.n_pos - n_folded
    assert len(picture.nodes) == pruned.n_nodes - n_folded
    for node in picture.nodes:
        (band,) = (band for band in picture.columns if band.start <= node.x < band.end)
        assert "tokens" not in band.label
        assert node.kind == "token" or band.label
    ends = {picture.nodes[edge.source].id for edge in picture.edges}
    assert {node.id for node in tokens} >= {name for name in ends if name.startswith("E_")}
    weights = sorted(edge.weight for edge in picture.edges)
    kept = pruned.kept_effects
    assert weights == pytest.approx(sorted(kept[kept != 0].tolist()))
    short = layout_graph(prune_graph(attribute(replacement, text[:60])), TOKENIZER).full
    assert len(short.columns) == 61
