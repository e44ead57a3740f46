"""Edges split by heads: against sums, and against models with heads switched off."""

import dataclasses
import itertools

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.attribution.row_batches import feature_rows
from circuitscope_core.attribution.sources import lay_out_sources
from circuitscope_core.prompt_pass import run_prompt
from tests.samples import PROMPT, make_graph, tiny_replacement

KINDS = [
    {},
    {"model": {"positions": "learned", "causal": False}},
    {"model": {"normalization": None}, "transcoder": {"read_point": "mid"}},
    {"transcoder": {"read_point": "unit"}},
    {"transcoder": {"read_point": "pre", "skip_connection": True}},
    {"transcoder": {"cross_layer": False, "skip_connection": True}},
]


@pytest.fixture(scope="module", params=KINDS, ids=str)
def replacement(request):
    return tiny_replacement(n_layers=3, **request.param)


@pytest.fixture(scope="module")
def graph(replacement):
    return cs.attribute(replacement, PROMPT)


def some_edges(graph, step):
    return graph.adjacency.nonzero().tolist()[::step]


def test_the_paths_of_every_edge_add_up_to_it(replacement, graph):
    sources = {graph.node(source).kind for _, source in some_edges(graph, 37)}
    assert len(sources) == 3
    for target, source in some_edges(graph, 37):
        found = cs.explain_edge(replacement, graph, source, target)
        assert found.complete
        assert found.weight == float(graph.adjacency[target, source])
        largest = max(abs(path.weight) for path in found.paths)
        assert abs(found.rest) <= 1e-4 * max(largest, float(graph.adjacency[target].abs().max()))
        strengths = [abs(path.weight) for path in found.paths]
        assert strengths == sorted(strengths, reverse=True)
        layers = [[layer for layer, _ in path.heads] for path in found.paths]
        assert all(row == sorted(set(row)) for row in layers)


def test_heads_that_are_switched_off_take_exactly_their_paths_away(replacement, graph):
    every = list(itertools.product(range(3), range(2)))
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        on = {head for head in every if torch.rand(1, generator=generator) < 0.5}
        expected = feature_effects_with_heads(replacement, on)
        for target, source in some_edges(graph, 211):
            if target >= graph.n_features:
                continue
            paths = cs.explain_edge(replacement, graph, source, target).paths
            left = sum(path.weight for path in paths if set(path.heads) <= on)
            assert left == pytest.approx(float(expected[target, source]), rel=1e-3, abs=1e-5)


def feature_effects_with_heads(replacement, on):
    """The feature rows of a frozen model in which only some heads move anything."""
    clean = run_prompt(replacement, PROMPT)
    layers = []
    for layer, record in enumerate(clean.record.layers):
        pattern = record.pattern.clone()
        for head in range(pattern.shape[1]):
            pattern[:, head] *= (layer, head) in on
        layers.append(dataclasses.replace(record, pattern=pattern))
    record = dataclasses.replace(clean.record, layers=tuple(layers))
    clean = dataclasses.replace(clean, record=record)
    sources = lay_out_sources(clean)
    effects = torch.zeros(len(clean.features), sources.n_columns)
    for nodes, rows in feature_rows(clean, sources, torch.arange(len(effects))):
        effects[nodes] = rows.effects
    return effects


def test_routes_beyond_the_limit_are_given_as_the_rest(replacement, graph):
    target = graph.logit_nodes.start
    source = graph.index_of_token(2)
    whole = cs.explain_edge(replacement, graph, source, target)
    part = cs.explain_edge(replacement, graph, source, target, max_routes=5)
    assert whole.complete
    assert not part.complete
    assert len(part.paths) <= 5 * 4
    total = sum(path.weight for path in part.paths) + part.rest
    assert total == pytest.approx(part.weight, abs=1e-6)
    exact = {path.heads: path.weight for path in whole.paths}
    for path in part.paths:
        assert path.weight == pytest.approx(exact[path.heads], rel=1e-3, abs=1e-6)


def test_a_feature_that_acts_where_it_is_stayed_in_place(replacement, graph):
    last = graph.n_pos - 1
    features = graph.features.tolist()
    source = max(i for i, (layer, at, _) in enumerate(features) if (layer, at) == (2, last))
    target = graph.logit_nodes.start
    (path,) = cs.explain_edge(replacement, graph, source, target).paths
    assert path.heads == ()
    assert path.text == "stayed in place"
    assert cs.EdgePath(((0, 3), (2, 1)), 0.5).text == "0.3 → 2.1"


def test_what_is_no_edge_is_refused(replacement, graph):
    token, logit = graph.index_of_token(1), graph.logit_nodes.start
    with pytest.raises(cs.GraphError, match="not from a logit to a token"):
        cs.explain_edge(replacement, graph, logit, token)
    lone = make_graph([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.5, 0.5, 0.0]], [])
    with pytest.raises(cs.GraphError, match="does not know its targets"):
        cs.explain_edge(replacement, lone, 1, 2)
    other = run_prompt(replacement, PROMPT + "x")
    with pytest.raises(cs.GraphError, match="give both of one prompt"):
        cs.explain_edge(other, graph, token, logit)


def test_an_edge_that_cannot_be_has_no_paths():
    replacement = tiny_replacement(n_layers=3)
    graph = cs.attribute(replacement, PROMPT)
    features = graph.features.tolist()
    early = next(i for i, (layer, at, _) in enumerate(features) if layer == 1 and at < 4)
    found = cs.explain_edge(replacement, graph, graph.index_of_token(graph.n_pos - 1), early)
    assert (found.weight, found.paths, found.rest) == (0.0, (), 0.0)
