"""The score that ranks nodes by what they do to the answer, worked out by hand and in a model."""

from dataclasses import replace
from math import sqrt

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.graph import Alternatives, GraphTargets
from circuitscope_core.pruning import answer_score, outcomes_of, total_effects
from tests.samples import PROMPT, make_graph, random_graph, tiny_replacement

# One layer, one position: features F0, F1, error E, token T, outputs L0 (3/4) and L1 (1/4).
#   F0 = 2 T;  F1 = 1 T;  L0 = 3 F0 + 2 F1 + 1 E + 0 T;  L1 = -1 F0 + 2 F1 + 1 E + 4 T
F0, F1, E, T, L0, L1 = range(6)
HAND = torch.zeros(6, 6)
HAND[F0, T], HAND[F1, T] = 2.0, 1.0
HAND[L0, :T], HAND[L1, : T + 1] = torch.tensor([3.0, 2, 1]), torch.tensor([-1.0, 2, 1, 4])


@pytest.fixture
def graph():
    return make_graph(HAND, [(0, 0, 3), (0, 0, 7)], probabilities=(0.75, 0.25))


def one_output(**changes):
    """The same with L0 as the only output and L1 beside it."""
    beside = {
        "token_ids": torch.tensor([98]),
        "probabilities": torch.tensor([0.25]),
        "positions": torch.tensor([0]),
        "effects": HAND[L1:, :L1],
    }
    alone = make_graph(HAND[:L1, :L1], [(0, 0, 3), (0, 0, 7)], probabilities=(0.75,))
    return replace(alone, alternatives=Alternatives(**{**beside, **changes}))


def test_rows_are_held_against_their_mean_by_probability(graph):
    (found,) = outcomes_of(graph)
    # the mean row is 3/4 L0 + 1/4 L1 = (2, 2, 1, 1)
    assert found.weights.tolist() == [3 / 4, 1 / 4]
    assert found.rows.tolist() == [[1, 0, 0, -1, 0, 0], [-3, 0, 0, 3, 0, 0]]


def test_the_score_is_the_fractions_worked_out_by_hand(graph):
    # absolute: F0 and T get 3/4 * 1 + 1/4 * 3 = 3/2 each; F0 hands its 3/2 on to T
    absolute = {F0: 3 / 2, T: 3 / 2 + 3 / 2}
    # signed: F0 (1, -3); T (-1, 3) and through F0, active at 1, another 2 (1, -3): (1, -3)
    signed = {F0: sqrt(3 / 4 * 1 + 1 / 4 * 9), T: sqrt(3 / 4 * 1 + 1 / 4 * 9)}
    expected = [0.0] * 6
    for node in (F0, T):
        expected[node] = (absolute[node] / (9 / 2) + signed[node] / (2 * sqrt(3))) / 2
    score = answer_score(graph)
    assert score.tolist() == pytest.approx(expected)
    assert float(score.sum()) == pytest.approx(1)


def test_what_lifts_all_tokens_alike_is_not_kept_and_has_influence(graph):
    pruned = cs.prune_graph(graph, 1.0, 1.0)
    theirs = cs.prune_graph(graph, 1.0, 1.0, score="influence")
    assert pruned.node_influence[F1] == theirs.node_influence[F1] > 0
    assert theirs.node_score.equal(theirs.node_influence)
    lowest = cs.prune_graph(graph, 0.99, 1.0)
    assert lowest.node_mask.tolist() == [True, False, False, True, True, True]
    assert cs.prune_graph(graph, 0.99, 1.0, score="influence").node_mask[F1]


def test_an_alternative_counts_as_an_output_does_but_is_no_node(graph):
    alone = one_output()
    torch.testing.assert_close(answer_score(alone), answer_score(graph)[:L1])
    assert alone.n_logits == 1


def test_outputs_less_likely_than_their_alternatives_are_told_from_all_of_them_together():
    three = torch.stack([HAND[L1, :L1], 2 * HAND[L1, :L1], 0 * HAND[L1, :L1]])
    more = {"token_ids": torch.tensor([98, 99, 100]), "positions": torch.zeros(3).long()}
    alone = one_output(effects=three, probabilities=torch.tensor([1.0, 1.0, 2.0]), **more)
    (found,) = outcomes_of(alone)
    # 1/4 of one row, 1/4 of twice the row, 1/2 of nothing: 3/4 of the row; both count half
    assert found.weights.tolist() == [0.5, 0.5]
    half = (HAND[L0, :L1] - 0.75 * HAND[L1, :L1]) / 2
    torch.testing.assert_close(found.rows.float(), torch.stack([half, -half]))


def test_without_anything_to_tell_from_the_influence_ranks(graph):
    alone = replace(one_output(), alternatives=None)
    no_token = replace(graph, logit_token_ids=torch.tensor([97, -1]))
    for case in (alone, no_token):
        assert answer_score(case) is None
        pruned = cs.prune_graph(case)
        assert pruned.node_score.equal(pruned.node_influence)


def test_each_position_of_an_answer_is_held_against_its_own_mean():
    """Two outputs at two positions, each with an alternative: no output is told from the other."""
    places = GraphTargets(torch.zeros(2, 8), torch.ones(2).long(), torch.tensor([0, 1]))
    both = make_graph(
        torch.zeros(8, 8), [(0, 0, 3), (0, 1, 7)], n_pos=2, probabilities=(0.75, 0.75)
    )
    effects = torch.zeros(2, both.n_nodes)
    adjacency = torch.zeros(both.n_nodes, both.n_nodes)
    adjacency[-2, 0], adjacency[-1, 1] = 4.0, 4.0
    beside = Alternatives(
        torch.tensor([98, 99]), torch.tensor([0.25, 0.25]), torch.tensor([0, 1]), effects
    )
    found = replace(both, adjacency=adjacency, targets=places, alternatives=beside)
    first, second = outcomes_of(found)
    assert first.rows[:, :2].tolist() == [[1, 0], [-3, 0]]
    assert second.rows[:, :2].tolist() == [[0, 1], [0, -3]]
    score = answer_score(found)
    assert float(score[0]) == float(score[1]) == pytest.approx(1 / 2)


def test_signed_totals_let_paths_cancel_and_held_features_pass_nothing_on():
    graph = random_graph(3, n_logits=2, density=1.0)
    rows = graph.rows(graph.every_node[graph.logit_nodes])
    totals = total_effects(graph, rows)
    held = torch.ones(graph.n_features, dtype=torch.bool)
    torch.testing.assert_close(total_effects(graph, rows, held), rows.double())
    assert not torch.allclose(totals, rows.double())


# --- in a model


def test_alternatives_have_the_rows_that_they_would_have_as_outputs():
    replacement = tiny_replacement(n_layers=3)
    graph = cs.attribute(replacement, PROMPT, max_logits=2, logit_probability=1.0)
    beside = graph.alternatives
    assert len(beside) == 14
    assert not set(beside.token_ids.tolist()) & set(graph.logit_token_ids.tolist())
    asked = cs.attribute(replacement, PROMPT, targets=beside.token_ids.tolist())
    assert torch.equal(asked.logit_token_ids, beside.token_ids)
    torch.testing.assert_close(asked.logit_probabilities, beside.probabilities)
    start = graph.logit_nodes.start
    ours, theirs = beside.effects, asked.adjacency[asked.logit_nodes]
    torch.testing.assert_close(ours[:, :start], theirs[:, :start], rtol=1e-4, atol=1e-6)
    assert not ours[:, start:].any()


def test_with_a_budget_alternatives_have_the_columns_of_the_features_that_stay():
    replacement = tiny_replacement(n_layers=3, threshold=0.1)
    whole = cs.attribute(replacement, PROMPT)
    part = cs.attribute(replacement, PROMPT, max_feature_nodes=whole.n_features // 2)
    at = [whole.index_of_feature(*row) for row in part.features.tolist()]
    torch.testing.assert_close(
        part.alternatives.effects[:, : part.n_features], whole.alternatives.effects[:, at]
    )


def test_only_tokens_have_alternatives():
    replacement = tiny_replacement()
    assert cs.attribute(replacement, PROMPT, targets=["a"]).alternatives is not None
    for target in (cs.TokenDifference("a", "b"), cs.FeatureTarget(1, 2, 3)):
        assert cs.attribute(replacement, PROMPT, targets=[target]).alternatives is None


def test_a_saved_graph_has_its_alternatives_and_one_without_is_read_too(tmp_path):
    graph = cs.attribute(tiny_replacement(), PROMPT)
    again = cs.load_graph(graph.save(tmp_path / "graph.safetensors"))
    for name in ("token_ids", "probabilities", "positions", "effects"):
        assert torch.equal(getattr(again.alternatives, name), getattr(graph.alternatives, name))
    assert cs.prune_graph(again).node_score.equal(cs.prune_graph(graph).node_score)
    old = replace(graph, alternatives=None).save(tmp_path / "old.safetensors")
    assert cs.load_graph(old).alternatives is None


def test_alternatives_that_do_not_fit_the_graph_are_refused(tmp_path):
    graph = cs.attribute(tiny_replacement(), PROMPT)
    narrow = replace(graph.alternatives, effects=graph.alternatives.effects[:, :-1])
    path = replace(graph, alternatives=narrow).save(tmp_path / "graph.safetensors")
    with pytest.raises(cs.GraphFileError, match=r"alternatives\.effects has the shape"):
        cs.load_graph(path)


def test_a_score_that_does_not_exist_is_refused(graph):
    with pytest.raises(cs.ConfigError, match="score is 'best'"):
        cs.prune_graph(graph, score="best")
