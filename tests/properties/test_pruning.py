"""Properties of pruning that hold for every graph."""

from dataclasses import replace

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from circuitscope_core import graph_scores, prune_graph
from circuitscope_core.pruning import (
    answer_score,
    compute_node_influence,
    find_threshold,
    normalize_rows,
    outcomes_of,
)
from tests.samples import random_graph

# sizes, not graphs: the tests build the graph, since shape checks draw random numbers
sizes = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10_000),
        "n_layers": st.integers(1, 4),
        "n_pos": st.integers(1, 4),
        "n_features": st.sampled_from([0, 1, 12, 30]),
        "n_logits": st.integers(1, 3),
        "density": st.sampled_from([0.0, 0.3, 1.0]),
    }
)
thresholds = st.sampled_from([0.0, 1.0]) | st.floats(0, 1)
# the same examples in every run: two ways to sum may differ in the last bit of a tie
quick = settings(deadline=None, max_examples=60, derandomize=True)


@quick
@given(sizes)
def test_influence_matches_the_series_and_the_inverse(size):
    graph = random_graph(**size)
    normalized = normalize_rows(graph.adjacency).double()
    weights = graph.logit_weights.double()
    series, power = torch.zeros_like(weights), weights
    for _ in range(graph.n_nodes):
        power = power @ normalized
        series += power
    identity = torch.eye(graph.n_nodes, dtype=torch.float64)
    inverse = weights @ (torch.linalg.inv(identity - normalized) - identity)
    influence = compute_node_influence(graph)
    torch.testing.assert_close(influence.double(), series, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(influence.double(), inverse, rtol=1e-5, atol=1e-7)


@quick
@given(sizes, thresholds, thresholds)
def test_pruning_agrees_with_a_slow_dense_oracle(size, node_threshold, edge_threshold):
    graph = random_graph(**size)
    _, influence = slow_influence(graph.adjacency, graph.logit_weights)
    for score, ranking in (("influence", influence.float()), ("answer", answer_score(graph))):
        ranking = influence.float() if ranking is None else ranking
        pruned = prune_graph(graph, node_threshold, edge_threshold, score=score)
        nodes, edges = slow_prune(graph, ranking, node_threshold, edge_threshold)
        assert pruned.node_mask.tolist() == nodes.tolist()
        assert pruned.edge_mask.tolist() == edges.tolist()


@quick
@given(sizes)
def test_the_answers_score_matches_the_inverse(size):
    graph = random_graph(**size)
    score = answer_score(graph)
    assert (score is None) == (graph.n_logits == 1)  # one token is told from nothing
    if score is not None:
        torch.testing.assert_close(score.double(), slow_answer(graph), rtol=1e-4, atol=1e-6)


def slow_answer(graph):
    """Everything by dense matrices: no order of layers, no sparsity, no sharing of code."""
    n, identity = graph.n_features, torch.eye(graph.n_nodes, dtype=torch.float64)
    weights = graph.logit_probabilities.double()
    weights = weights / weights.sum()
    rows = graph.adjacency[-graph.n_logits :].double()
    rows = rows - (weights[:, None] * rows).sum(dim=0)
    inner = graph.adjacency.double().clone()
    inner[n:] = 0
    shares = inner.abs() / inner.abs().sum(dim=1, keepdim=True).clamp(min=1e-10)
    absolute = (weights @ rows.abs()) @ torch.linalg.inv(identity - shares)
    inner[:n] /= graph.activations[:, None]
    total = rows @ torch.linalg.inv(identity - inner)
    mean = weights @ total
    signed = (weights @ total.square() - mean.square()).clamp(min=0).sqrt()
    parts = [part / part.sum().clamp(min=1e-30) for part in (absolute, signed)]
    return sum(parts) / 2


@quick
@given(sizes, st.floats(-3, 3))
def test_what_lifts_every_output_alike_changes_no_score(size, constant):
    graph = random_graph(**size)
    lifted = graph.adjacency.clone()
    lifted[graph.logit_nodes, : graph.logit_nodes.start] += constant
    plain, again = outcomes_of(graph), outcomes_of(replace(graph, adjacency=lifted))
    assert (plain is None) == (again is None)
    for one, other in zip(plain or (), again or (), strict=True):
        start = graph.logit_nodes.start
        torch.testing.assert_close(one.rows[:, :start], other.rows[:, :start], atol=1e-6, rtol=1e-5)


def slow_influence(adjacency, weights):
    shares = adjacency.abs().double()
    shares = shares / shares.sum(1, keepdim=True).clamp(min=1e-10)
    identity = torch.eye(len(shares), dtype=torch.float64)
    return shares, weights.double() @ (torch.linalg.inv(identity - shares) - identity)


def slow_keep(scores, share):
    """Take scores from the highest down until they hold a share of the total; ties come along."""
    ordered = sorted(scores.double().flatten().tolist(), reverse=True)
    total, reached = sum(ordered), 0.0
    last = 0.0
    for score in ordered:
        if score == 0 or (reached > 0 and reached / total >= share):
            break
        reached, last = reached + score, score
    # equal shares that are summed in two ways may differ in the last bit; the hand-worked examples
    # decide what becomes of ties
    assume(int(((scores.double() - last).abs() < 1e-6 * last).sum()) <= 1)
    return scores.double() >= last


def slow_prune(graph, ranking, node_threshold, edge_threshold):
    weights = graph.logit_weights
    nodes = slow_keep(ranking, node_threshold)
    nodes[-graph.n_pos - graph.n_logits :] = True
    left = graph.adjacency.clone()
    left[~nodes], left[:, ~nodes] = 0, 0
    shares, influence = slow_influence(left, weights)
    scores = (shares * (influence + weights)[:, None]).float()
    edges = slow_keep(scores, edge_threshold) & (scores > 0)
    for _ in range(graph.n_nodes):
        for node in range(graph.n_features + graph.n_errors):
            dead_end = not edges[:, node].any()
            rootless = node < graph.n_features and not edges[node].any()
            if dead_end or rootless:
                nodes[node] = False
                edges[node], edges[:, node] = False, False
    return nodes, edges


@quick
@given(sizes, thresholds, thresholds)
def test_keeping_more_never_drops_a_node_before_edges_are_cut(size, one, other):
    graph = random_graph(**size)
    less, more = sorted((one, other))
    pruned = prune_graph(graph)
    for ranking in (pruned.node_influence, pruned.node_score):
        smaller = ranking >= find_threshold(ranking, less)
        larger = ranking >= find_threshold(ranking, more)
        assert (smaller <= larger).all()


@quick
@given(sizes, thresholds, thresholds)
def test_what_is_kept_hangs_together(size, node_threshold, edge_threshold):
    graph = random_graph(**size)
    pruned = prune_graph(graph, node_threshold, edge_threshold)
    kept, edges = pruned.node_mask, pruned.edge_mask
    assert kept[graph.token_nodes].all()
    assert kept[graph.logit_nodes].all()
    assert not edges[~kept].any()
    assert not edges[:, ~kept].any()
    assert (graph.adjacency[edges] != 0).all()
    features = kept[graph.feature_nodes]
    assert edges[graph.feature_nodes].any(1)[features].all()
    assert edges.any(0)[graph.feature_nodes][features].all()


@quick
@given(sizes)
def test_everything_with_influence_stays_at_the_end_points(size):
    graph = random_graph(**size)
    pruned = prune_graph(graph, 1.0, 1.0)
    inner = pruned.node_mask[graph.error_nodes]
    reaches_output = pruned.node_influence[graph.error_nodes] > 0
    # an error that reaches the output only through features without inputs of their own may go
    assert (inner <= reaches_output).all()


@quick
@given(sizes)
def test_scores_are_shares_and_circuit_tracers_is_never_lower(size):
    graph = random_graph(**size)
    scores = graph_scores(graph)
    assert -1e-6 <= scores.replacement <= 1 + 1e-6
    assert -1e-6 <= scores.completeness <= scores.completeness_circuit_tracer + 1e-6
    assert scores.completeness_circuit_tracer <= 1 + 1e-6


@quick
@given(sizes, st.floats(0.1, 10))
def test_scaling_a_targets_row_changes_nothing(size, factor):
    graph = random_graph(**size)
    pruned = prune_graph(graph)
    scaled = graph.adjacency * factor
    again = compute_node_influence(replace(graph, adjacency=scaled))
    torch.testing.assert_close(again, pruned.node_influence, rtol=1e-4, atol=1e-6)
