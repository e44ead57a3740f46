"""Graphs of a model's own neurons: rows add up to activations, edits are exact in every family."""

from dataclasses import replace

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.attribution.edges import pass_of
from circuitscope_core.attribution.neuron_choice import measure_effects
from circuitscope_core.attribution.targets import select_targets
from circuitscope_core.config import AttributionConfig
from circuitscope_core.neuron_dictionary import NeuronDictionary
from circuitscope_core.pretrained import PretrainedModel
from circuitscope_core.prompt_pass import run_prompt
from tests.pretrained_families import CONFIGURATIONS, random_module, with_mask

IDS = [3, 7, 1, 30, 12, 5, 5, 21, 9, 64, 90, 2, 44, 17]
OTHER = [3, 7, 1, 31, 12, 5, 5, 21, 9, 64, 90, 2, 44, 17]
N_NODES = 60
FLOAT32_NORM = 1e-5
"""Families like Llama compute norms in float32 even in a model in double precision."""
OUT = ("down_proj", "c_proj", "fc2", "fc_out", "dense_4h_to_h", "lin2")
"""Modules whose input is the neurons' activations."""


@pytest.fixture(scope="module", params=CONFIGURATIONS)
def model(request):
    return PretrainedModel(random_module(request.param))


@pytest.fixture
def prompt(model):
    return with_mask(model, IDS)


def graph_of(model, other_neurons):
    replacement = cs.ReplacementModel(model, NeuronDictionary(model))
    config = AttributionConfig(max_feature_nodes=N_NODES, other_neurons=other_neurons)
    *_, graph = cs.attribution_steps(replacement, with_mask(model, IDS), config)
    return pass_of(replacement, graph)[0], graph


def gaps(graph):
    """Return how far each row is from its node's value, as a share of its absolute input."""
    rows = graph.target_nodes
    size = graph.adjacency[rows].abs().sum(1) + graph.bias[rows].abs()
    got = graph.adjacency[rows].double().sum(1) + graph.bias[rows]
    return (got - graph.pre_activations[rows]).abs() / size


@pytest.mark.parametrize("other_neurons", ["folded", "nodes"])
def test_rows_add_up_to_activations_and_columns_are_interventions(model, prompt, other_neurons):
    clean, graph = graph_of(model, other_neurons)
    assert graph.n_features == N_NODES
    assert graph.choice.folded == (other_neurons == "folded")
    assert int(graph.features[:, 1].min()) >= 1  # the opening position is a constant
    if model.neurons(0).W_up is not None:  # GELU alone hardly goes below 0
        assert bool((graph.activations < 0).any())
    assert float(gaps(graph).max()) < 1e-6  # kept in float32
    layers, positions, numbers = graph.features.T
    own = clean.dense_activations[layers, positions, numbers]
    assert torch.allclose(own.float(), graph.pre_activations[:N_NODES].float(), rtol=1e-5)
    errors = graph.adjacency[:, graph.error_nodes]
    assert bool((errors == 0).all()) == graph.choice.folded
    largest = float(graph.adjacency[graph.target_nodes].abs().max())
    rest = [] if graph.choice.folded else [graph.index_of_error(1, 4)]
    for node in [*range(0, N_NODES, 13), graph.index_of_token(2), *rest]:
        result = cs.intervene(clean, prompt, cs.change_nodes(graph, [node]), mode="direct")
        lost = result.pre_activations_before - result.pre_activations_after
        column = graph.adjacency[:N_NODES, node].double()
        assert float((lost[layers, positions, numbers] - column).abs().max()) < 1e-5 * largest
        logits = (result.logits_before - result.logits_after)[clean.asked]
        token, minus = graph.targets.tokens[0].tolist()
        moved = float(logits[token] - logits[minus])
        assert moved == pytest.approx(float(graph.adjacency[-1, node]), abs=1e-5 * largest)


def test_effects_over_all_paths_of_a_folded_graph_are_those_of_one_pass_back(model):
    clean, graph = graph_of(model, "folded")
    tokens = [cs.TokenDifference(*graph.targets.tokens[0].tolist())]
    chosen = select_targets(clean, tokens, AttributionConfig())
    found = measure_effects(clean, chosen)
    edges = graph.adjacency.double().clone()
    edges[:N_NODES] /= graph.activations[:, None]  # as shares of what each neuron then gives on
    identity = torch.eye(len(edges), dtype=torch.float64)
    totals = torch.linalg.inv(identity - edges)[-1, :N_NODES]
    wanted = found.effects[tuple(graph.features.T)]
    assert torch.allclose(totals, wanted, atol=1e-6 * float(wanted.abs().max()))
    # the nodes are the neurons with the largest effects
    others = found.effects.flatten().topk(N_NODES).values
    assert torch.allclose(wanted.sort(descending=True).values, others)
    assert graph.choice.n_candidates == int((found.effects != 0).sum())
    share = float(wanted.square().sum() / found.effects.square().sum())
    assert graph.choice.share_of_squares == pytest.approx(share)


@torch.no_grad()
def test_a_neuron_that_is_set_is_the_models_own(model, prompt):
    replacement = cs.ReplacementModel(model, NeuronDictionary(model))
    changes = [cs.Intervention(0, 4, 3, 2.0), cs.Intervention(1, 6, 11, -1.5)]
    given = cs.intervene(replacement, prompt, changes, mode="iterative").logits_after
    hidden = {
        layer: module
        for layer, own in enumerate(model._layers)
        for name, module in own.named_modules()
        if name.rpartition(".")[2] in OUT and "att" not in name
    }
    if not hidden:
        return  # experts have no module of their own; the test below covers them
    hooks = []
    for change in changes:

        def put(_, args, change=change):
            (acts,) = args
            rows = acts.reshape(1, len(prompt), -1).clone()
            rows[0, change.position, change.feature] = change.value
            return rows.reshape(acts.shape)

        hooks.append(hidden[change.layer].register_forward_pre_hook(put))
    wanted = model(model.tokens(prompt))[0]
    for hook in hooks:
        hook.remove()
    clean = model(model.tokens(prompt))[0]
    assert float((wanted - clean).abs().max()) > 1e-3
    far = (model.shape.capped(given) - wanted).abs().max()
    assert float(far / wanted.abs().max()) < FLOAT32_NORM


def test_many_sets_at_once_do_what_each_does_alone(model, prompt):
    clean, graph = graph_of(model, "nodes")
    sets = [cs.change_nodes(graph, [node], "scale", 0.3) for node in (0, 9, 30, 59)]
    sets.append(cs.change_nodes(graph, list(range(0, 60, 5))))
    sets.append(cs.change_nodes(graph, [graph.index_of_error(2, 5), 3]))
    for mode in ("direct", "constrained", "iterative"):
        many = cs.intervene_many(clean, prompt, sets, mode=mode).logits_after
        for row, changes in zip(many, sets, strict=True):
            alone = cs.intervene(clean, prompt, changes, mode=mode).logits_after[clean.asked]
            assert float((row - alone).abs().max() / alone.abs().max()) < FLOAT32_NORM, mode


def test_a_second_prompt_chooses_what_differs_and_patching_it_is_an_intervention(model, prompt):
    replacement = cs.ReplacementModel(model, NeuronDictionary(model))
    config = AttributionConfig(max_feature_nodes=N_NODES)
    other_prompt = with_mask(model, OTHER)
    *_, graph = cs.attribution_steps(replacement, prompt, config, None, other_prompt)
    assert graph.choice.against == tuple(other_prompt)
    # nothing differs on the left of the other token, unless a model looks to both sides
    assert int(graph.features[:, 1].min()) >= (3 if model.shape.causal else 1)
    assert float(gaps(graph).max()) < 1e-6
    curve = cs.verify_by_patching(replacement, graph, sizes=[1, 10])
    assert curve.sizes == (1, 10, N_NODES)
    token, minus = graph.targets.tokens[0].tolist()
    clean, other = run_prompt(replacement, prompt), run_prompt(replacement, other_prompt)
    assert curve.clean == pytest.approx(float(clean.logits[token] - clean.logits[minus]))
    assert curve.other == pytest.approx(float(other.logits[token] - other.logits[minus]))
    patches = [
        cs.Intervention(*place, float(other.dense_activations[tuple(place)]))
        for place in graph.features.tolist()
    ]
    logits = cs.intervene(clean, prompt, patches, mode="iterative").logits_after[clean.asked]
    wanted = float(logits[token] - logits[minus])
    assert curve.patched[-1] == pytest.approx(wanted, abs=1e-5 * float(logits.abs().max()))
    assert abs(curve.left[-1] - 1) > abs(curve.left_by_chance[-1] - 1)


def test_neurons_make_the_mlp_outputs_and_a_bundle_needs_nothing_else(model, prompt):
    bundle = cs.make_bundle(model)
    assert bundle.transcoder.shape.exact
    found = cs.trace(bundle, prompt)
    assert found.graph.choice is not None
    assert len(found.circuit) > 10


def test_neurons_that_do_not_make_the_output_are_refused_with_their_layer(monkeypatch):
    model = PretrainedModel(random_module("LLaMA-2"))
    own = PretrainedModel.neurons

    def swapped(self, layer):
        neurons = own(self, layer)
        if layer == 1:  # the gate for the other projection: an easy mistake
            return replace(neurons, W_in=neurons.W_up, W_up=neurons.W_in)
        return neurons

    monkeypatch.setattr(PretrainedModel, "neurons", swapped)
    with pytest.raises(cs.ModelError, match="MLP output that neurons make in layer 1"):
        cs.make_bundle(model)
