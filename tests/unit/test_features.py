"""Features side by side: tables, neighbours, a text of one's own, labels by hand."""

import pytest
import torch

from circuitscope_core import FeatureCards, GraphError, PromptError, attribute, prune_graph
from circuitscope_core.feature_cards import similar_features, try_feature
from circuitscope_core.graph import node_id
from circuitscope_core.view import feature_rows
from tests.samples import PROMPT, tiny_replacement
from tests.unit.graph_samples import D_TRANSCODER, sample_cards, sample_graph


@pytest.fixture(scope="module")
def replacement():
    return tiny_replacement(transcoder={"d_transcoder": D_TRANSCODER})


@pytest.fixture(scope="module")
def cards(replacement):
    return sample_cards(replacement.transcoder.config.n_layers)


def test_the_table_of_every_feature_has_direct_effects_on_a_node():
    graph = sample_graph()
    pruned = prune_graph(graph, 0.5, 0.9)
    partner = graph.logit_nodes.start
    rows = feature_rows(pruned, every=True, partner=partner)
    assert len(rows) == graph.n_features
    assert sum(row.kept for row in rows) == int(pruned.node_mask[graph.feature_nodes].sum())
    for row in rows:
        index = graph.index_of_feature(row.layer, row.position, row.feature)
        assert row.id == node_id(graph, index)
        assert row.into == pytest.approx(float(graph.adjacency[partner, index]))
        assert row.out_of == pytest.approx(float(graph.adjacency[index, partner]))
    influence = [row.influence for row in rows]
    assert influence == sorted(influence, reverse=True)
    assert all(row.into is None and row.kept for row in feature_rows(pruned))


def test_similar_features_are_those_of_the_highest_cosine(replacement, cards):
    transcoder = replacement.transcoder
    config = transcoder.config
    found = similar_features(replacement, cards, 1, 3, n=5)
    own = transcoder.decoder_vectors(1, torch.tensor([3]))[0]
    expected = []
    for layer in range(config.n_layers):
        for feature in range(config.d_transcoder):
            other = transcoder.decoder_vectors(layer, torch.tensor([feature]))[0]
            first = max(1, layer)
            a, b = own[first:].flatten(), other[first:].flatten()
            if (layer, feature) != (1, 3):
                expected.append((float(a @ b / (a.norm() * b.norm())), layer, feature))
    expected.sort(reverse=True)
    assert [(row.layer, row.feature) for row in found] == [pair[1:] for pair in expected[:5]]
    assert found[0].similarity == pytest.approx(expected[0][0], abs=1e-5)


def test_a_feature_that_does_not_exist_has_no_neighbours(replacement, cards):
    with pytest.raises(GraphError, match="no feature 99999 in layer 0"):
        similar_features(replacement, cards, 0, 99999)


def test_a_feature_tried_on_the_prompt_does_what_it_does_in_the_graph(replacement):
    graph = attribute(replacement, PROMPT)
    layer, _, feature = graph.features[0].tolist()
    trial = try_feature(replacement, layer, feature, PROMPT)
    same = (graph.features[:, 0] == layer) & (graph.features[:, 2] == feature)
    expected = torch.zeros(graph.n_pos)
    expected[graph.features[same, 1]] = graph.activations[same]
    assert trial.activations == pytest.approx(expected[1:].tolist(), abs=1e-5)
    assert len(trial.tokens) == graph.n_pos - 1


@pytest.mark.parametrize("text", ["", "x" * 10_000])
def test_a_text_that_cannot_be_tried_is_refused(replacement, text):
    with pytest.raises(PromptError):
        try_feature(replacement, 0, 0, text)


def test_a_label_by_hand_stands_in_the_place_of_ours_and_is_marked(cards):
    named = cards.with_labels({(1, 2): "<b>mine</b>"})
    assert named.card(1, 2).label == named.label(1, 2) == "<b>mine</b>"
    assert named.card(1, 2).by_hand
    assert not named.card(1, 3).by_hand
    assert named.label(1, 3) == cards.label(1, 3)
    assert cards.card(1, 2).label != "<b>mine</b>"
    assert cards.percentile(1, 2, 2.0) == cards.card(1, 2).percentile(2.0)
    assert cards.frequency(1, 2) == cards.card(1, 2).frequency


def test_labels_by_hand_are_not_saved_with_the_bundle(cards, tmp_path):
    named = cards.with_labels({(0, 0): "mine"})
    named.save(tmp_path / "cards.parquet")
    n_layers = len(cards) // D_TRANSCODER
    again = FeatureCards.load(tmp_path / "cards.parquet", n_layers, D_TRANSCODER)
    assert again.label(0, 0) == cards.label(0, 0)
