"""The part of a node's input that goes past the features, against edges of another transcoder."""

from dataclasses import replace

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.attribution import pass_of
from circuitscope_core.attribution.skip_path import _rows
from tests.samples import PROMPT, tiny_replacement


def sample(**transcoder):
    return tiny_replacement(n_layers=3, transcoder={"skip_connection": True, **transcoder})


def without_skip(replacement, graph):
    """Return the edges of the same features and errors with nothing let past them."""
    clean, targets = pass_of(replacement, graph)
    bare = replace(clean.replacement, transcoder=clean.replacement.transcoder.without_skip())
    nodes = torch.cat([graph.every_node[graph.feature_nodes], graph.every_node[graph.logit_nodes]])
    return nodes, _rows(replace(clean, replacement=bare), graph, targets, nodes)


@pytest.mark.parametrize("kind", [{}, {"cross_layer": False}, {"read_point": "mid"}])
def test_the_share_is_that_of_the_edges_which_lead_through_a_skip_connection(kind):
    replacement = sample(**kind)
    graph = cs.attribute(replacement, PROMPT)
    nodes, through = without_skip(replacement, graph)
    whole = graph.adjacency[nodes][:, : through.shape[1]]
    past = (whole - through).abs().sum(dim=1)
    wanted = past / (past + through.abs().sum(dim=1))
    found = cs.skip_shares(replacement, graph, nodes.tolist())
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)
    layers = graph.node_layers[nodes]
    assert float(found[layers == 0].max()) == pytest.approx(0, abs=1e-6)
    assert float(found[layers > 0].min()) > 0


def test_a_graph_with_a_budget_has_the_same_shares_for_its_features():
    replacement = sample()
    whole = cs.attribute(replacement, PROMPT)
    part = cs.attribute(replacement, PROMPT, max_feature_nodes=25)
    nodes = [whole.index_of_feature(*row) for row in part.features.tolist()]
    torch.testing.assert_close(
        cs.skip_shares(replacement, part, list(range(25))),
        cs.skip_shares(replacement, whole, nodes),
    )


def test_edges_from_features_of_the_last_layer_do_not_lead_through_a_skip_connection():
    replacement = sample()
    graph = cs.attribute(replacement, PROMPT)
    nodes, through = without_skip(replacement, graph)
    outputs = nodes >= graph.n_features
    whole = graph.adjacency[nodes][:, : through.shape[1]][outputs]
    # from the last layer's features nothing lies in between
    last = graph.features[:, 0] == 2
    torch.testing.assert_close(
        whole[:, : graph.n_features][:, last], through[outputs][:, : graph.n_features][:, last]
    )


def test_without_a_skip_connection_nothing_goes_past():
    replacement = tiny_replacement(n_layers=3)
    graph = cs.attribute(replacement, PROMPT)
    assert cs.skip_shares(replacement, graph, [0, graph.logit_nodes.start]).tolist() == [0, 0]


def test_nodes_without_input_are_refused():
    replacement = sample()
    graph = cs.attribute(replacement, PROMPT)
    with pytest.raises(cs.GraphError, match="which has no input"):
        cs.skip_shares(replacement, graph, [graph.index_of_token(1)])
