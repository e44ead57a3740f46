"""Influence, thresholds and scores, worked out by hand."""

import pytest
import torch

from circuitscope_core import ConfigError, graph_scores, prune_graph
from circuitscope_core.pruning import compute_node_influence, find_threshold
from tests.samples import make_graph

# One layer, one position: two features F0, F1, one error E, one token T, one logit L.
#   F0 = 3 T - 1 (nothing else);  F1 = 2 T;  L = 2 F0 - 1 F1 + 1 E + 4 T
F0, F1, E, T, L = range(5)
HAND = torch.zeros(5, 5)
HAND[F0, T], HAND[F1, T] = 3.0, 2.0
HAND[L, F0], HAND[L, F1], HAND[L, E], HAND[L, T] = 2.0, -1.0, 1.0, 4.0


@pytest.fixture
def graph():
    return make_graph(HAND, [(0, 0, 3), (0, 0, 7)])


def test_influence_is_the_share_over_every_path(graph):
    influence = compute_node_influence(graph)
    # L takes 2/8 from F0, 1/8 from F1, 1/8 from E, 4/8 from T; F0 and F1 take all from T
    expected = torch.tensor([2 / 8, 1 / 8, 1 / 8, 4 / 8 + 2 / 8 + 1 / 8, 0.0])
    torch.testing.assert_close(influence, expected)


def test_scores_are_the_fractions_worked_out_by_hand(graph):
    scores = graph_scores(graph)
    assert scores.replacement == pytest.approx((7 / 8) / (7 / 8 + 1 / 8))
    # nodes with inputs: F0 (2/8), F1 (1/8) wholly explained, L (1) for 7/8
    explained = (2 / 8 + 1 / 8 + 7 / 8) / (2 / 8 + 1 / 8 + 1)
    assert scores.completeness == pytest.approx(explained)
    # circuit-tracer also counts E (1/8) and T (7/8) as complete
    theirs = (2 / 8 + 1 / 8 + 7 / 8 + 1) / (2 / 8 + 1 / 8 + 1 + 1)
    assert scores.completeness_circuit_tracer == pytest.approx(theirs)


def test_features_left_out_of_a_subgraph_count_as_errors(graph):
    # F1 is an error now: what it takes from T is no longer asked
    scores = graph_scores(graph, [F0])
    assert scores.replacement == pytest.approx((6 / 8) / (6 / 8 + 2 / 8))
    # nodes with inputs: F0 (2/8) wholly explained, L (1) for 6/8
    assert scores.completeness == pytest.approx((2 / 8 + 6 / 8) / (2 / 8 + 1))
    assert graph_scores(graph, [F0, F1]) == graph_scores(graph)


def test_the_weakest_nodes_go_first(graph):
    # sorted: T 7/11, F0 2/11, F1 and E 1/11 each (L has none); 9/11 = 0.818 reach 0.8
    pruned = prune_graph(graph, node_threshold=0.8, edge_threshold=1.0)
    assert pruned.node_mask.tolist() == [True, False, False, True, True]
    assert pruned.edge_mask.nonzero().tolist() == [[F0, T], [L, F0], [L, T]]


def test_ties_are_kept_together(graph):
    pruned = prune_graph(graph, node_threshold=0.85, edge_threshold=1.0)
    assert pruned.node_mask.all()


def test_edges_are_renormalised_on_what_is_left(graph):
    # without F1 and E: L takes 2/6 from F0 and 4/6 from T, F0 takes 2/6 from T
    # scores 4/6, 2/6, 2/6 of 8/6: the first alone holds half
    pruned = prune_graph(graph, node_threshold=0.8, edge_threshold=0.5)
    assert pruned.edge_mask.nonzero().tolist() == [[L, T]]
    assert pruned.node_mask.tolist() == [False, False, False, True, True]


def test_a_feature_without_a_way_in_goes_and_takes_its_error_along():
    # layer 0: error E0 -> F (layer 1) -> L; the edge into F is too weak to stay
    # nodes: F(1,0,0), errors E0, E1, token T, logit L
    adjacency = torch.zeros(5, 5)
    adjacency[0, 1], adjacency[4, 0], adjacency[4, 3] = 1.0, 1.0, 9.0
    graph = make_graph(adjacency, [(1, 0, 0)], n_layers=2)
    pruned = prune_graph(graph, node_threshold=1.0, edge_threshold=0.8)
    assert pruned.edge_mask.nonzero().tolist() == [[4, 3]]
    assert pruned.node_mask.tolist() == [False, False, False, True, True]


def test_cumulative_influence_is_small_for_important_nodes(graph):
    pruned = prune_graph(graph)
    reached = pruned.cumulative_influence
    torch.testing.assert_close(reached[T], torch.tensor(7 / 11))
    torch.testing.assert_close(reached[F0], torch.tensor(9 / 11))
    assert reached[L] == 1.0


def test_a_graph_without_any_effect_keeps_tokens_and_logits():
    graph = make_graph(torch.zeros(4, 4), [(0, 0, 1)])
    pruned = prune_graph(graph)
    assert pruned.node_mask.tolist() == [False, False, True, True]
    assert graph_scores(graph).replacement == 1.0


@pytest.mark.parametrize(
    ("keep", "expected"), [(0.0, 5.0), (0.5, 5.0), (0.6, 4.0), (0.9, 4.0), (0.91, 1.0), (1.0, 1.0)]
)
def test_the_threshold_is_the_last_score_needed(keep, expected):
    assert find_threshold(torch.tensor([1.0, 5.0, 0.0, 4.0]), keep) == expected


@pytest.mark.parametrize("name", ["node_threshold", "edge_threshold"])
@pytest.mark.parametrize("value", [-0.1, 1.3])
def test_a_threshold_outside_its_range_is_refused(graph, name, value):
    with pytest.raises(ConfigError, match=f"{name} is {value}; it must be from 0 to 1"):
        prune_graph(graph, **{name: value})
