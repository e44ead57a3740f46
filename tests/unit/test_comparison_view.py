"""Two graphs as one drawing: columns, names, sides, cards, and tables."""

import json

import pytest

from circuitscope_core.comparison import Side, compare_graphs
from circuitscope_core.graph import NodeKind
from circuitscope_core.pruning import prune_graph
from circuitscope_core.view import (
    Naming,
    edge_differences,
    layout_comparison,
    layout_graph,
    node_differences,
)
from tests.unit.graph_samples import HOSTILE, TOKENIZER, sample_cards, sample_graph

NAMES = Naming(TOKENIZER, sample_cards())


def compared(a="cat (N", b="cab (Nx", *, same_features=True):
    graphs = (sample_graph(prompt, seed=seed) for seed, prompt in enumerate((a, b)))
    pruned = [prune_graph(graph, 0.6, 0.9) for graph in graphs]
    return compare_graphs(*pruned, same_features=same_features)


@pytest.fixture(scope="module")
def comparison():
    return compared()


@pytest.fixture(scope="module")
def view(comparison):
    return layout_comparison(comparison, NAMES, NAMES)


def test_a_column_is_named_by_both_prompts_where_they_differ(view):
    labels = [column.label for column in view.full.columns]
    # N, which is last in A, stands over x, which is last in B; B's own N is extra
    assert labels == ["start", "c", "a", "t\nb", "␣", "(", "\nN", "N\nx"]
    tokens = [node.label for node in view.full.nodes if node.kind == "token"]
    assert tokens == ["“start”", "“c”", "“a”", "“t|b”", "“␣”", "“(”", "“N”", "“N|x”"]


def test_nodes_stand_in_shared_columns_and_layers(view):
    for node in view.full.nodes:
        row = view.full.rows[len(view.full.rows) - 2 - node.layer]
        column = view.full.columns[node.position]
        assert row.start < node.y < row.end
        assert column.start < node.x < column.end
    assert len({node.id for node in view.full.nodes}) == len(view.full.nodes)


def test_an_edge_shows_how_it_changes(comparison, view):
    drawn = {(edge.source, edge.target): (edge.weight, edge.share) for edge in view.full.edges}
    assert len(drawn) == len(comparison.edges)
    for edge in comparison.edges:
        weight, share = drawn[edge.source, edge.target]
        assert weight == pytest.approx(edge.weight_b - edge.weight_a, abs=1e-6)
        assert share == pytest.approx(edge.share_b - edge.share_a, abs=1e-6)


def test_a_card_says_who_keeps_the_node_and_what_it_is_in_each(comparison, view):
    words = {"b": "only in B; in A: ", "a": "only in A; in B: ", "both": "in A and in B"}
    for drawn, node in zip(view.full.nodes, comparison.nodes, strict=True):
        facts = dict(drawn.side_facts)
        assert facts["Kept"].startswith(words[drawn.side])
        assert ("Probability" in facts) == (node.kind is NodeKind.LOGIT)
        if node.side is Side.A and node.kind is NodeKind.FEATURE:
            assert facts["Kept"].endswith("not active")
            assert facts["Influence"] == f"{node.a.influence:.1%} in A, – in B"
            assert facts["Activation"] == f"{node.a.activation:.2f} in A, – in B"


def test_a_card_tells_a_pruned_feature_from_an_inactive_one():
    graph = sample_graph()
    pair = (prune_graph(graph, share, 0.9) for share in (0.3, 0.8))
    found = compare_graphs(*pair, same_features=True)
    dropped = [node for node in found.nodes if node.side is Side.B]
    assert dropped
    view = layout_comparison(found, NAMES, NAMES)
    for drawn in view.full.nodes:
        if drawn.side == "b":
            word = "active" if drawn.kind == "feature" else "there"
            assert ("Kept", f"only in B; in A: {word}, but pruned") in drawn.side_facts


def test_features_of_two_models_have_cards_of_their_own():
    other = compared(same_features=False)
    names = Naming(TOKENIZER, sample_cards(text="other text"))
    view = layout_comparison(other, NAMES, names)
    used = {node.card for node in view.full.nodes if node.card}
    assert used == set(view.cards)
    for key, card in view.cards.items():
        text = "".join(card.examples[0].tokens)
        assert text == ("group (NDAG) of data" if key.startswith("a/") else "other text")
    sides = {node.side for node in view.full.nodes if node.kind == "feature"}
    assert sides == {"a", "b"}


def test_a_drawing_of_one_graph_says_nothing_of_sides(view):
    alone = layout_graph(prune_graph(sample_graph()), TOKENIZER)
    assert "side" not in alone.to_text()
    assert "compared" not in alone.to_text()
    data = json.loads(view.to_text())
    assert data["compared"]
    assert all(node["side"] and node["side_facts"] for node in data["full"]["nodes"])


def test_tables_list_the_largest_changes_first(comparison):
    nodes = node_differences(comparison, NAMES, NAMES, n=9)
    assert len(nodes) == 9
    for row in nodes:
        assert row.change == row.influence_b - row.influence_a
        assert (row.kept == "both") == (row.other == "")
    edges = edge_differences(comparison, NAMES, NAMES, n=9)
    for row in edges:
        assert row.change == row.share_b - row.share_a
        assert row.weight_change == row.weight_b - row.weight_a
    for rows in (nodes, edges):
        sizes = [abs(row.change) for row in rows]
        assert sizes == sorted(sizes, reverse=True)


def test_hostile_prompts_stay_text(comparison):
    view = layout_comparison(compared(a=HOSTILE, b="cat"), NAMES, NAMES)
    assert HOSTILE in json.loads(view.to_text())["prompt"]
    assert all("\n" not in node.label for node in view.full.nodes)
    assert layout_comparison(comparison, NAMES, NAMES).digest != view.digest
