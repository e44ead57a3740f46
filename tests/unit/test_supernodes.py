"""Grouping by decoder similarity, and the collapsed graph."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitscope_core import (
    ConfigError,
    GraphError,
    attribute,
    cluster_features,
    collapse_graph,
    group_by_hand,
    prune_graph,
)
from circuitscope_core.circuit import circuit_of
from circuitscope_core.supernodes import (
    Supernode,
    Supernodes,
    complete_link,
    decoder_similarity,
    role_similarity,
)
from tests.samples import PROMPT, make_graph, random_graph, tiny_replacement


class Decoders:
    """Decoder vectors given by feature number, for tests."""

    def __init__(self, vectors, n_layers):
        self.vectors, self.n_layers = vectors, n_layers

    def decoder_vectors(self, layer, features):
        rows = torch.zeros(len(features), self.n_layers, 8)
        for row, feature in enumerate(features.tolist()):
            rows[row, layer:] = torch.tensor(self.vectors[feature] + [0.0] * 5)[None]
        return rows


def test_two_features_are_compared_on_the_layers_both_write_to():
    vectors = torch.zeros(2, 3, 4)
    vectors[0, 0] = torch.tensor([9.0, 0, 0, 0])  # layer 0 only: not shared with the other
    vectors[0, 2] = torch.tensor([0, 1.0, 1.0, 0])
    vectors[1, 2] = torch.tensor([0, 2.0, 0, 0])
    similarity = decoder_similarity(vectors, torch.tensor([0, 2]))
    assert similarity[0, 1] == pytest.approx(0.5**0.5)
    assert similarity.diagonal().tolist() == pytest.approx([1.0, 1.0])


def two_features_at_a_token(second_effect):
    """Two features fed by tokens 0 and 1 and feeding the output: one half and half."""
    adjacency = torch.zeros(9, 9)
    adjacency[0, 5], adjacency[0, 6] = 3.0, 3.0
    adjacency[1, 5] = 2.0
    adjacency[8, 0], adjacency[8, 1] = 1.0, second_effect
    return prune_graph(make_graph(adjacency, [(0, 1, 0), (0, 1, 1)], n_pos=3), 1.0, 1.0)


@pytest.mark.parametrize(("second_effect", "outputs"), [(4.0, 1.0), (-4.0, -1.0)])
def test_features_are_alike_in_role_by_what_feeds_them_and_what_they_feed(second_effect, outputs):
    pruned = two_features_at_a_token(second_effect)
    similarity = role_similarity(circuit_of(pruned), torch.tensor([0, 1]))
    # inputs (1/2, 1/2) and (1, 0): a cosine of 1 / sqrt(2)
    assert similarity[0, 1] == pytest.approx((0.5**0.5 + outputs) / 2)
    assert similarity.diagonal().tolist() == pytest.approx([1.0, 1.0])
    unlike = Decoders([[1.0, 0, 0], [0, 1.0, 0]], 1)
    groups = cluster_features(pruned, unlike, 0.8, likeness="role").groups
    assert len(groups) == (1 if outputs > 0 else 2)
    assert len(cluster_features(pruned, unlike, 0.8).groups) == 2
    with pytest.raises(ConfigError, match="likeness is 'colour'"):
        cluster_features(pruned, unlike, likeness="colour")


def test_no_chain_joins_unlike_features():
    # a~b and b~c at 0.8, a and c at 0.3: single-link would join all three
    similarity = torch.tensor([[1, 0.8, 0.3], [0.8, 1, 0.8], [0.3, 0.8, 1]])
    groups = complete_link(similarity, 0.7)
    assert sorted(map(len, groups)) == [1, 2]


def test_features_at_different_tokens_only_join_when_asked():
    rows = [(0, 1, 0), (0, 2, 1)]
    adjacency = torch.zeros(9, 9)
    adjacency[0, 5], adjacency[1, 6], adjacency[8, 0], adjacency[8, 1] = 1, 1, 1, 1
    graph = make_graph(adjacency, rows, n_pos=3)
    pruned = prune_graph(graph, 1.0, 1.0)
    same = Decoders([[1.0, 0, 0], [2.0, 0, 0]], 1)
    assert [g.members for g in cluster_features(pruned, same).groups] == [(0,), (1,)]
    joined = cluster_features(pruned, same, across_positions=True)
    assert [g.members for g in joined.groups] == [(0, 1)]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.sampled_from([-1.0, 0.0, 0.7, 1.0]), st.booleans())
def test_groups_partition_the_kept_features(seed, threshold, across):
    replacement = tiny_replacement(seed)
    pruned = prune_graph(attribute(replacement, PROMPT), 0.95)
    groups = cluster_features(
        pruned, replacement.transcoder, threshold, across_positions=across
    ).groups
    members = [member for group in groups for member in group.members]
    kept = pruned.node_mask[pruned.graph.feature_nodes].nonzero()[:, 0].tolist()
    assert sorted(members) == kept
    positions = pruned.graph.features[:, 1]
    if not across:
        assert all(len({int(positions[m]) for m in group.members}) == 1 for group in groups)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000))
def test_collapsing_keeps_the_sum_of_effects_between_groups(seed):
    graph = random_graph(seed, density=1.0)
    pruned = prune_graph(graph, 1.0, 1.0)
    kept = pruned.node_mask[graph.feature_nodes].nonzero()[:, 0].tolist()
    half = Supernode("half", tuple(kept[::2]))
    rest = [Supernode("one", (node,)) for node in kept[1::2]]
    collapsed = collapse_graph(pruned, Supernodes((half, *rest)))
    group = {node: number for number, nodes in enumerate(collapsed.members) for node in nodes}
    expected = torch.zeros_like(collapsed.weights)
    for target, source in pruned.edge_mask.nonzero().tolist():
        if group[target] != group[source]:
            expected[group[target], group[source]] += graph.adjacency[target, source]
    torch.testing.assert_close(collapsed.weights, expected, rtol=1e-4, atol=1e-5)
    assert (collapsed.shares.abs().sum(1) <= 1 + 1e-5).all()
    assert sorted(group) == pruned.node_mask.nonzero()[:, 0].tolist()


def test_groups_can_be_edited_and_the_old_ones_stay_as_they_were():
    before = Supernodes((Supernode("a", (0, 1)), Supernode("b", (2,))))
    moved = before.group([1, 2], "new")
    assert [(g.label, g.members) for g in moved.groups] == [("a", (0,)), ("new", (1, 2))]
    assert [g.members for g in moved.ungroup(1).groups] == [(0,), (1,), (2,)]
    assert moved.rename(1, "say D").groups[1].label == "say D"
    assert before.groups[0].members == (0, 1)
    with pytest.raises(GraphError, match=r"\[9\] are no kept features"):
        before.group([9], "x")


def test_groups_by_hand_hold_any_kept_node_and_leave_out_the_others():
    graph = random_graph(0, density=1.0)
    pruned = prune_graph(graph, 0.6, 1.0)
    kept = pruned.kept_nodes.tolist()
    dropped = next(node for node in range(graph.n_nodes) if node not in kept)
    token, feature = graph.token_nodes.start, kept[0]
    groups = group_by_hand(pruned, [("first", [token, feature, dropped]), ("", [feature])])
    first = next(group for group in groups.groups if group.label == "first")
    assert first.members == (feature, token)
    assert groups.merged == (first,)
    everywhere = [node for group in groups.groups for node in group.members]
    features = [node for node in kept if node < graph.n_features]
    assert sorted(everywhere) == sorted([*features, token])
    assert first.members in collapse_graph(pruned, groups).members


def test_a_threshold_outside_its_range_is_refused():
    pruned = prune_graph(attribute(tiny_replacement(), PROMPT))
    with pytest.raises(ConfigError, match=r"similarity_threshold is 2\.0; it must be from -1 to 1"):
        cluster_features(pruned, tiny_replacement().transcoder, 2.0)


def test_a_group_that_pruning_dropped_is_refused():
    graph = make_graph(torch.zeros(4, 4), [(0, 0, 1)])
    pruned = prune_graph(graph)
    with pytest.raises(GraphError, match="group again after pruning"):
        collapse_graph(pruned, Supernodes((Supernode("x", (0, 3)),)))
