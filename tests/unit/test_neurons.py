"""Neurons of our own model, and all that their graph goes through: file, pruning, exports."""

from dataclasses import replace

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.attribution.contrast import align_tokens
from circuitscope_core.circuit import circuit_of
from circuitscope_core.export.graph_json import graph_to_json
from circuitscope_core.export.svg import render_svg
from circuitscope_core.language_model.neurons import secant
from circuitscope_core.view import layout_graph
from tests.unit.test_bundle import make_bundle

PROMPT, SECOND = "The cats sat", "The dogs sat"


def of_neurons():
    own = make_bundle()
    return cs.make_bundle(own.model, tokenizer=own.tokenizer)


@pytest.fixture(scope="module")
def bundle():
    return of_neurons()


@pytest.fixture(scope="module")
def trace(bundle):
    config = cs.TraceConfig(cs.AttributionConfig(max_feature_nodes=40))
    return cs.trace(bundle, PROMPT, config, against=SECOND)


def test_rows_of_our_own_model_add_up_to_its_activations(bundle, trace):
    graph = trace.graph
    rows = graph.target_nodes
    got = graph.adjacency[rows].double().sum(1) + graph.bias[rows]
    size = graph.adjacency[rows].abs().sum(1) + graph.bias[rows].abs()
    assert float(((got - graph.pre_activations[rows]).abs() / size).max()) < 1e-5
    clean = cs.run_prompt(bundle, PROMPT)
    own = clean.dense_activations[tuple(graph.features.T)]
    assert torch.allclose(graph.activations, own, atol=1e-6)
    other = cs.run_prompt(bundle, SECOND).dense_activations[tuple(graph.features.T)]
    assert torch.allclose(graph.choice.other_activations, other, atol=1e-6)
    assert bool((graph.choice.effects > 0).all())


def test_a_graph_of_neurons_is_the_same_after_it_was_saved(trace, tmp_path):
    graph = trace.graph
    found = cs.load_graph(graph.save(tmp_path / "graph.safetensors"))
    for name in ("n_candidates", "share_of_squares", "folded", "against"):
        assert getattr(found.choice, name) == getattr(graph.choice, name)
    assert torch.equal(found.choice.effects, graph.choice.effects)
    assert torch.equal(found.choice.other_activations, graph.choice.other_activations)
    assert torch.equal(found.targets.tokens, graph.targets.tokens)
    assert cs.trace(of_neurons(), PROMPT).graph.choice.against == ()


def test_pruning_keeps_the_neurons_with_the_largest_effects(trace):
    graph = trace.graph
    pruned = cs.prune_graph(graph, 0.5, 1.0)
    kept = pruned.kept_nodes[pruned.kept_nodes < graph.n_features]
    effects = graph.choice.effects
    share = float(effects[kept].sum() / effects.sum())
    assert share == pytest.approx(0.5, abs=0.1)
    dropped = torch.ones_like(effects, dtype=torch.bool)
    dropped[kept] = False
    assert float(effects[kept].min()) >= float(effects[dropped].max())


def test_pictures_and_files_say_that_nodes_are_neurons(trace, bundle, tmp_path):
    data = graph_to_json(trace)
    types = {node["feature_type"] for node in data["nodes"]}
    assert "mlp neuron" in types
    assert "cross layer transcoder" not in types
    view = layout_graph(trace, bundle.tokenizer, trace.cards, trace.supernodes)
    features = [node for node in view.full.nodes if node.kind == "feature"]
    assert view.to_json()["neurons"] is True
    for node in features:
        assert node.filled == (node.activation > 0)
        assert f"neuron {node.id.split('_')[1]}" in node.detail
    assert [fact.name for fact in view.facts][1:3] == ["Neurons", "Squared effects"]
    path = cs.export_graph(trace, tmp_path / "graph.json")
    assert cs.read_graph_file(path).summary()["nodes"]["feature"] == len(features)
    assert "<circle" in render_svg(view)


def test_a_neuron_that_matters_by_its_silence_is_named_so(trace):
    graph = trace.graph
    silent = replace(graph.choice, other_activations=10 * graph.activations)
    cards = trace.cards
    circuit = cs.prune_graph(replace(graph, choice=silent))
    labels = [label for label in circuit_of(circuit, cards).labels if label.startswith("not →")]
    assert labels
    loud = replace(graph.choice, other_activations=torch.zeros_like(graph.activations))
    circuit = cs.prune_graph(replace(graph, choice=loud))
    assert not any(label.startswith("not") for label in circuit_of(circuit, cards).labels)


def test_predictions_and_one_neuron_alone(bundle, trace):
    graph = trace.graph
    alone = cs.predict_alone(bundle, graph)
    token, minus = graph.targets.tokens[0].tolist()
    small = [cs.change_nodes(graph, [node], "scale", 0.999) for node in range(10)]
    logits = cs.intervene_many(bundle, PROMPT, small, mode="iterative").logits_after.double()
    before = cs.run_prompt(bundle, PROMPT).logits.double()
    lost = (before[token] - before[minus]) - (logits[:, token] - logits[:, minus])
    assert torch.allclose(lost.float() / 0.001, alone[:10], rtol=0.1, atol=0.02)
    taken = torch.zeros(graph.n_nodes)
    taken[0] = 1
    found = cs.predict_total(graph, taken)
    assert bool(torch.isfinite(found.changes).all())
    # below 0 as above: nothing switches a neuron off
    assert bool(((found.losses[1 : graph.n_features] < 1) | (found.losses[1] == 0)).any())


def test_a_transcoders_graph_takes_no_second_prompt():
    own = make_bundle()
    with pytest.raises(cs.GraphError, match="A second prompt chooses among a model's own neurons"):
        cs.trace(own, PROMPT, against=SECOND)


def test_patching_needs_a_second_prompt_and_a_token(bundle):
    graph = cs.attribute(bundle, PROMPT, max_feature_nodes=20)
    with pytest.raises(cs.GraphError, match="needs a second prompt"):
        cs.verify_by_patching(bundle, graph)
    feature = cs.attribute(
        bundle, PROMPT, max_feature_nodes=20, targets=[cs.FeatureTarget(1, 3, 2)]
    )
    assert feature.logit_texts[0].startswith("L1 neuron 2 at")
    with pytest.raises(cs.GraphError, match="no token and no difference"):
        cs.verify_by_patching(bundle, feature, SECOND)


def test_a_second_prompt_that_differs_in_nothing_is_an_error(bundle):
    with pytest.raises(cs.GraphError, match="No neuron differs between the two prompts"):
        cs.trace(bundle, PROMPT, against=PROMPT)


@pytest.mark.parametrize("other_neurons", ["folded", "nodes"])
def test_a_graph_without_nodes_is_the_model_all_the_same(bundle, other_neurons):
    config = cs.AttributionConfig(max_feature_nodes=0, other_neurons=other_neurons)
    graph = cs.trace(bundle, PROMPT, cs.TraceConfig(config)).graph
    assert graph.n_features == 0
    (row,) = graph.every_node[graph.logit_nodes]
    got = float(graph.adjacency[row].sum() + graph.bias[row])
    assert got == pytest.approx(float(graph.pre_activations[row]), abs=1e-5)


@pytest.mark.parametrize(
    ("own", "other", "wanted"),
    [
        ((1, 2, 3), (1, 9, 3), [0, 1, 2]),
        ((1, 2, 3, 4), (1, 3, 4), [0, -1, 1, 2]),
        ((1, 5, 6, 3), (1, 7, 8, 9, 3), [0, -1, -1, 4]),
        ((1, 5, 6, 3, 4), (1, 7, 8, 2, 3, 4), [0, -1, -1, 4, 5]),
    ],
)
def test_prompts_stand_beside_each_other_by_the_tokens_that_both_have(own, other, wanted):
    assert align_tokens(own, other) == wanted


@pytest.mark.parametrize("f", [torch.relu, torch.nn.functional.silu, lambda x: x.clamp(-1, 1) + 1])
def test_a_secant_is_exact_and_a_slope_at_zero(f):
    x = torch.tensor([-2.0, -0.3, 0.0, 0.7, 3.0], dtype=torch.float64)
    slope, at_zero = secant(f, x)
    assert torch.allclose(slope * x + at_zero, f(x))
    assert bool(torch.isfinite(slope).all())


def test_a_difference_without_a_neuron_is_predicted_and_measured(bundle, trace):
    from circuitscope_core.interventions import ablate

    (row,) = ablate(bundle, trace.graph, [0, 3])
    assert row.token == trace.graph.logit_texts[0]
    assert row.measured == pytest.approx(row.predicted, abs=1e-5)
    assert row.predicted != 0
