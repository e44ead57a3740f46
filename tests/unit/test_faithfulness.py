"""Faithfulness: every figure against an identity, or against the slow way to it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import circuitscope_core as cs
from circuitscope_core.evals.faithfulness.figures import (
    cosine,
    kl_bits,
    normalized_error,
    rank,
    spearman,
    summarize,
)
from circuitscope_core.evals.faithfulness.gradients import (
    explained_directions,
    gradient_effects,
    slopes_at_features,
)
from circuitscope_core.evals.faithfulness.jacobians import (
    measure_jacobians,
    mlp_jacobians,
    push_through,
    transcoder_jacobians,
)
from circuitscope_core.evals.faithfulness.measured_nodes import (
    as_divergence,
    measure_effects,
    measure_nodes,
)
from circuitscope_core.evals.faithfulness.pairs import activation_changes, path_influence
from circuitscope_core.evals.faithfulness.states import measure_states
from circuitscope_core.evals.faithfulness.totals import total_effects
from circuitscope_core.interventions import intervene_on
from circuitscope_core.interventions.changes import Deltas
from circuitscope_core.interventions.runs import run_clamped, run_iterative
from tests.samples import PROMPT, random_graph, tiny_replacement
from tests.unit.faithfulness_samples import KINDS, generator, oracle_replacement, traced

# --- figures


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12))
def test_ranks_are_the_mean_of_the_places_that_equal_values_take(values):
    slow = [
        sum(other < value for other in values) + (values.count(value) - 1) / 2 for value in values
    ]
    assert rank(torch.tensor(values, dtype=torch.float32)).tolist() == slow


def test_rank_correlation_sees_order_alone_and_is_worked_out_by_hand():
    one = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert spearman(one, one.exp()) == pytest.approx(1)
    assert spearman(one, -one) == pytest.approx(-1)
    # differences of ranks 1, 1, 0, 0: 1 - 6 * 2 / (4 * 15)
    assert spearman(one, torch.tensor([2.0, 1.0, 3.0, 4.0])) == pytest.approx(0.8)
    assert math.isnan(spearman(one, torch.zeros(4)))
    assert math.isnan(spearman(one[:2], one[:2]))


def test_the_error_of_a_change_is_0_where_it_is_right_and_1_where_it_is_left_out():
    real = torch.randn(3, 4, 5)
    assert normalized_error(real, real).tolist() == [0, 0, 0]
    assert normalized_error(torch.zeros_like(real), real).tolist() == pytest.approx([1, 1, 1])
    assert cosine(-2 * real, real).tolist() == pytest.approx([-1, -1, -1])


def test_divergence_is_in_bits():
    even, sure = torch.zeros(4), torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, -99.0, -99.0]])
    # half of the mass lies where the other has nearly none: 0.5 * (log2(1/4 / 2^-143.8) ...)
    expected = sum(0.25 * (math.log2(0.25) - lp / math.log(2)) for lp in sure[1].log_softmax(0))
    assert kl_bits(even, sure).tolist() == pytest.approx([0, float(expected)], rel=1e-6)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.integers(0, 99))
def test_an_interval_holds_the_mean_and_depends_on_the_seed_alone(values, seed):
    figure = summarize(values, seed)
    assert figure.low <= figure.mean <= figure.high
    assert figure == summarize([*values, math.nan], seed)
    assert figure.n == len(values)


def test_an_interval_is_as_wide_as_the_standard_error_says():
    values = np.random.default_rng(0).normal(3, 2, 400)
    figure = summarize(values.tolist())
    assert figure.high - figure.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert summarize([math.nan]) is None


# --- where the transcoder is the MLPs, everything is exact


@pytest.mark.parametrize("seed", range(3))
def test_an_oracle_transcoder_answers_every_push_as_the_model_does(seed):
    found = measure_states(traced(oracle_replacement(seed)), 12, generator())
    assert {key[0] for key in found} == {
        f"states.{what}.{on}.{name}"
        for what in ("stream", "mlp")
        for on in (1, 2)
        for name in ("cosine", "error")
    }
    for (name, method), value in found.items():
        if method == "graph":
            assert value == pytest.approx(float(name.endswith("cosine")), abs=1e-4), name
    carried = found["states.stream.1.error", "carried"]
    assert carried > 1e-3
    # such features write to no later layer
    assert found["states.stream.1.error", "writes"] == pytest.approx(carried, rel=1e-5)
    assert found["states.mlp.1.error", "shuffled"] > 0.1
    assert abs(found["states.mlp.1.cosine", "shuffled"]) < 0.6


@pytest.mark.parametrize("norm", [None, "LN"])
def test_an_oracle_transcoder_has_the_jacobians_of_the_mlps(norm):
    prompt = traced(oracle_replacement(normalization=norm))
    found = measure_jacobians(prompt, generator())
    for (name, method), value in found.items():
        if method == "graph":
            assert value == pytest.approx(1, abs=1e-5), name
    assert found["jacobians.whole", "shuffled"] < 0.8
    assert abs(found["jacobians.layer 0", "shuffled"]) < 0.6


def test_the_slope_of_an_oracle_is_what_its_graph_says_without_norms_and_attention_that_moves():
    replacement = oracle_replacement()
    for layer in range(3):  # the same attention whatever is read
        attn = replacement.model.block(layer).attn
        for weight in (attn.W_Q, attn.W_K, attn.b_Q, attn.b_K):
            weight.zero_()
    prompt = traced(replacement)
    totals = total_effects(prompt.graph, torch.zeros(prompt.graph.n_nodes))
    slopes = gradient_effects(prompt, explained_directions(prompt))
    # position 0 is no node: what passes through its features is missing in the graph, and nothing
    # passes from a later position to it
    torch.testing.assert_close(slopes, totals, rtol=1e-3, atol=1e-5)


def test_influence_ranks_effects_exactly_where_there_is_one_layer_and_one_output():
    replacement = tiny_replacement(n_layers=1, threshold=0.1, model={"normalization": None})
    graph = cs.attribute(replacement, PROMPT, max_logits=1)
    prompt = replace(traced(replacement), graph=graph)
    _, moved = measure_effects(prompt)
    influence = cs.prune_graph(graph).node_influence[graph.feature_nodes]
    assert (influence > 0).sum() >= 3
    assert spearman(influence, moved) == pytest.approx(1, abs=1e-3)
    expected = graph.adjacency[-1, : graph.n_features].abs() * graph.logit_probabilities
    torch.testing.assert_close(moved, expected, rtol=1e-3, atol=1e-5)


def test_what_a_feature_writes_later_is_no_answer_of_the_next_mlp():
    """Later MLPs that are 0 do not answer: all that the replacement moves there is its own."""
    replacement = tiny_replacement(n_layers=3, threshold=0.1)
    for layer in (1, 2):
        replacement.model.block(layer).mlp.W_out.zero_()
    found = measure_states(traced(replacement), 12, generator())
    assert found["states.stream.1.cosine", "carried"] == pytest.approx(1, abs=1e-5)
    assert found["states.stream.1.error", "carried"] == pytest.approx(0, abs=1e-9)
    assert found["states.stream.1.error", "writes"] > 0.05
    assert found["states.stream.1.error", "graph"] > 0.05


def test_shuffled_decoders_say_less_of_effects_and_nothing_of_jacobians():
    nodes, shuffled, jacobians = [], [], []
    for seed in range(6):
        prompt = traced(oracle_replacement(seed))
        found = measure_nodes(prompt)
        nodes.append(found["nodes.place", "graph"])
        shuffled.append(found["nodes.place", "shuffled"])
        jacobians.append(measure_jacobians(prompt, generator())["jacobians.layer 1", "shuffled"])
    assert np.nanmean(nodes) > np.nanmean(shuffled) + 0.2
    assert abs(np.mean(jacobians)) < 0.2


# --- every measure against the slow way to it


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_effects_are_those_of_one_ablation_after_the_other(kind):
    prompt = traced(tiny_replacement(n_layers=3, **kind))
    by_bits, by_logits = measure_effects(prompt)
    graph, clean = prompt.graph, prompt.clean
    for node in range(0, graph.n_features, 5):
        result = intervene_on(clean, prompt.ablation(node), mode="constrained")
        old, new = result.probabilities_before, result.probabilities_after
        bits = float((old * (old / new).log2()).sum())
        assert float(by_bits[node]) == pytest.approx(bits, rel=1e-2, abs=1e-5)
        moved = (result.logits_after - result.logits_before)[-1]
        moved = (moved - moved.mean())[graph.logit_token_ids].abs()
        assert float(by_logits[node]) == pytest.approx(
            float(moved @ graph.logit_probabilities), rel=1e-3, abs=1e-5
        )


def test_losses_of_every_logit_are_the_divergence_of_the_model_without_the_feature():
    replacement = tiny_replacement(n_layers=2)
    graph = cs.attribute(replacement, PROMPT, max_logits=257, logit_probability=1.0)
    prompt = replace(traced(replacement), graph=graph)
    some = torch.randn(graph.n_logits, 3, generator=generator())
    before = prompt.clean.record.logits[0, -1]
    after = before.repeat(3, 1)
    after[:, graph.logit_token_ids] -= some.T
    left_out = 257 - graph.n_logits
    assert left_out <= 2
    expected = kl_bits(before, after).float()
    torch.testing.assert_close(as_divergence(prompt, some), expected, rtol=1e-3, atol=1e-5)


def test_one_explained_token_moves_against_all_others():
    replacement = tiny_replacement(n_layers=2)
    graph = cs.attribute(replacement, PROMPT, max_logits=1)
    prompt = replace(traced(replacement), graph=graph)
    p = float(graph.logit_probabilities[0])
    odds = p / (1 - p) * math.exp(-1.0)
    q = odds / (1 + odds)
    bits = p * math.log2(p / q) + (1 - p) * math.log2((1 - p) / (1 - q))
    assert as_divergence(prompt, torch.ones(1, 1)).tolist() == pytest.approx([bits], rel=1e-3)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_changed_activations_are_those_of_one_ablation_after_the_other(kind):
    prompt = traced(tiny_replacement(n_layers=3, **kind))
    layers, positions, numbers = prompt.graph.features.T
    for layer, nodes in prompt.by_layer(prompt.sample(6, generator())):
        changes = activation_changes(prompt, layer, nodes)
        for node, change in zip(nodes.tolist(), changes, strict=True):
            result = intervene_on(prompt.clean, prompt.ablation(node), mode="constrained")
            after = result.pre_activations_after[layers, positions, numbers]
            after = after * (after > prompt.thresholds)
            expected = (after - prompt.graph.activations).abs()
            torch.testing.assert_close(change, expected, rtol=1e-3, atol=1e-4)
            assert change[layers <= layer].max() < 1e-5


def test_slopes_are_differences_of_small_steps():
    prompt = traced(tiny_replacement(n_layers=3))
    plain = tiny_replacement(n_layers=3)
    model = plain.model.double()
    node = int(prompt.sample(1, generator())[0])
    layer, position, feature = prompt.graph.features[node].tolist()
    write = plain.transcoder.W_dec[layer][feature, 0] * prompt.graph.activations[node]

    def values(scale):
        def edit(site):
            out = site.mlp_out()
            if site.layer == layer:
                out[0, position] -= scale * write
            return out

        return prompt.feature_values(model.record(prompt.graph.token_ids[None], edit_mlp=edit))[0]

    numeric = (values(1e-5) - values(-1e-5)) / 2e-5
    slopes = slopes_at_features(prompt, layer, torch.tensor([node]))[0]
    assert numeric.abs().max() > 0.01
    torch.testing.assert_close(slopes.double(), numeric, rtol=1e-3, atol=1e-4)


def test_path_influence_adds_up_every_path():
    graph = random_graph(3, n_layers=4, n_features=14)
    n, sources = graph.n_features, torch.arange(0, graph.n_features, 3)
    shares = graph.adjacency.abs() / graph.adjacency.abs().sum(dim=1, keepdim=True).clamp(min=1e-10)
    paths = torch.linalg.inv(torch.eye(len(shares)).double() - shares.double()) - torch.eye(
        len(shares)
    )
    expected = (paths * graph.adjacency.abs().sum(dim=1)[:, None])[:n, sources].T
    torch.testing.assert_close(
        path_influence(graph, sources).double(), expected, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_jacobians_are_those_of_autograd(kind):
    replacement = tiny_replacement(n_layers=3, **kind)
    prompt = traced(replacement)
    clean, transcoder = prompt.clean, replacement.transcoder
    read_point = transcoder.config.read_point
    for layer in range(3):
        site, block = clean.record.sites[layer], replacement.model.block(layer)
        norm = clean.frozen.record.layers[layer].read_norm

        def mlp(x, site=site, block=block, norm=norm):
            if read_point == "pre":
                x = x + (site.resid_mid - site.resid_pre)[0, 4]
            if read_point in ("mid", "pre") and norm is not None:
                x = (x - x.mean()) / norm.scale[4]
            if read_point != "in" and norm is not None:
                x = x * block.ln2.w + block.ln2.b
            return block.mlp(x)

        def features(x, layer=layer):
            acts = transcoder.encode(layer, x)
            return transcoder.write(layer, acts)[0] + transcoder.skip(layer, x)

        at = site.read(read_point)[0, 4]
        slow = torch.autograd.functional.jacobian(mlp, at)
        torch.testing.assert_close(mlp_jacobians(clean, layer)[3], slow, rtol=1e-4, atol=1e-6)
        slow = torch.autograd.functional.jacobian(features, at)
        torch.testing.assert_close(
            transcoder_jacobians(clean, layer)[3], slow, rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("features", [True, False])
def test_a_push_through_all_layers_is_the_difference_of_small_steps(features):
    prompt = traced(tiny_replacement(n_layers=3))
    push = torch.randn(1, prompt.graph.n_pos, 8, generator=generator())
    ours = push_through(prompt.clean, push, features=features)
    nothing = torch.zeros(1, 3, prompt.graph.n_pos, 8)

    def out(step):
        deltas = Deltas(push * step, nothing)
        if features:
            run = run_iterative(prompt.clean, [()], deltas, freeze_patterns=True)
        else:
            run = run_clamped(prompt.clean, deltas, -1, freeze_norms=False)
        return run.sites[-1].mlp_out

    numeric = (out(1e-3) - out(-1e-3)) / 2e-3
    torch.testing.assert_close(ours, numeric, rtol=2e-2, atol=2e-2)
