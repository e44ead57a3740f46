"""Top-k transcoders: who is active depends on all others, and values may be below 0."""

import dataclasses

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.interventions.experiment import Handle, node_changes, run_experiment
from circuitscope_core.interventions.intervene import Mode
from circuitscope_core.prompt_pass import run_prompt
from tests.samples import PROMPT, tiny_replacement, tiny_transcoder
from tests.texts import tiny_config

TOPK = {"activation": "topk", "k": 3}


def test_the_k_largest_are_active_whatever_their_sign():
    transcoder = tiny_transcoder(**TOPK)
    with torch.no_grad():
        transcoder.b_enc.sub_(20)  # all pre-activations are below 0
    x = torch.randn(7, 8)
    pre, acts = transcoder.pre_activations(0, x), transcoder.encode(0, x)
    assert bool((acts <= 0).all())
    assert (acts != 0).sum(dim=1).tolist() == [3] * 7
    least = pre.sort(dim=1).values[:, -3:]
    torch.testing.assert_close(acts.sort(dim=1).values[:, :3], least)
    behind_relu = tiny_transcoder(activation="topk_relu", k=3)
    behind_relu.load_state_dict(transcoder.state_dict())
    assert behind_relu.encode(0, x).count_nonzero() == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation": "topk"}, "k is None; topk needs a k from 1 to 2048"),
        ({"activation": "topk", "k": 0}, "k is 0; topk needs a k from 1 to 2048"),
        ({"activation": "topk_relu", "k": 4096}, "k is 4096; topk_relu needs a k from 1 to 2048"),
        ({"k": 3}, "k is 3; a JumpReLU has none"),
        ({"activation": "gelu"}, "activation is 'gelu'"),
    ],
)
def test_an_activation_and_its_k_go_together(changes, message):
    with pytest.raises(cs.ConfigError, match=message):
        cs.TranscoderConfig(**changes)


def test_a_graph_has_features_below_0_and_predicts_them_without_a_relu():
    replacement = tiny_replacement(n_layers=3, transcoder={"activation": "topk", "k": 9})
    graph = cs.attribute(replacement, PROMPT)
    below = (graph.activations < 0).nonzero()[:, 0]
    assert len(below) > 5
    thresholds = replacement.transcoder.thresholds(graph.features)
    losses = torch.zeros(graph.n_nodes)
    losses[0] = 1
    found = cs.predict_total(graph, losses, thresholds)
    # every feature is linear: what it loses is what all that feed it lose, at any sign
    for node in range(1, graph.n_features):
        if graph.features[node, 0] > 0:
            lost = float(graph.adjacency[node] @ found.losses) / float(graph.activations[node])
            assert float(found.losses[node]) == pytest.approx(lost, rel=1e-4, abs=1e-5)
    with_relu = cs.predict_total(graph, losses)
    assert not torch.allclose(with_relu.losses, found.losses)


@pytest.mark.parametrize("mode", ["direct", "constrained", "iterative"])
def test_measured_losses_of_an_experiment_rank_features_again(mode: Mode):
    replacement = tiny_replacement(n_layers=3, transcoder={"activation": "topk", "k": 4})
    clean = run_prompt(replacement, PROMPT)
    graph = cs.attribute(clean, PROMPT)
    nodes = [n for n in range(graph.n_features) if graph.features[n, 0] == 0]
    done = run_experiment(graph, clean, [Handle(tuple(nodes), "ablate")], mode)
    layers, positions, numbers = graph.features.T
    off = cs.change_nodes(graph, nodes)
    after = cs.intervene(clean, PROMPT, off, mode=mode).pre_activations_after
    rows = after if mode == "direct" else ranked(after, 4)
    kept = layers > 0
    expected = 1 - rows[layers, positions, numbers] / graph.activations
    torch.testing.assert_close(done.losses_measured[kept], expected[kept], rtol=1e-4, atol=1e-4)
    assert torch.equal(done.losses_measured[~kept], torch.ones(len(nodes)))
    if mode != "direct":
        assert bool((done.losses_measured[kept] == 1).any())  # one fell out of the largest
    shares = node_changes(done, graph, {"all": range(graph.n_features)})
    assert abs(shares["all"].measured) < 100


def ranked(pre, k):
    least = pre.topk(k, dim=-1).values[..., -1:]
    return torch.where(pre >= least, pre, torch.zeros_like(pre))


def test_measures_that_need_thresholds_are_refused():
    replacement = tiny_replacement(transcoder=TOPK)
    message = r"activation is 'topk'.*depends on all others.*JumpReLU"
    with pytest.raises(cs.ConfigError, match=message):
        list(cs.measure_faithfulness(replacement, [PROMPT]))
    with pytest.raises(cs.ConfigError, match=message):
        list(cs.measure_global_weights(replacement, torch.zeros(1, 8, dtype=torch.int64)))
    config = tiny_config()
    wanted = dataclasses.replace(config.transcoder, **TOPK)
    with pytest.raises(cs.ConfigError, match="trained here have jump_relu"):
        dataclasses.replace(config, transcoder=wanted)
