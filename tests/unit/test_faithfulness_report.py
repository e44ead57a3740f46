"""Predictions and flips, the control, and the report that holds all figures."""

import json
import math

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.cli import main
from circuitscope_core.evals.faithfulness import (
    MEASURES,
    METHODS,
    describe_measure,
    held_out_prompts,
)
from circuitscope_core.evals.faithfulness.figures import spearman
from circuitscope_core.evals.faithfulness.flips import flip_by_sum, measure_flips, predict_flip
from circuitscope_core.evals.faithfulness.measured_nodes import within_places
from circuitscope_core.evals.faithfulness.totals import total_effects
from circuitscope_core.evals.faithfulness.traced import shuffle_decoders, trace
from circuitscope_core.interventions import intervene_on, predict_direct, predict_total
from tests.samples import PROMPT, make_graph, random_graph, silence, tiny_replacement
from tests.texts import write_parquet
from tests.unit.faithfulness_samples import generator, traced
from tests.unit.test_bundle import make_bundle

# --- predictions


@pytest.mark.parametrize("seed", range(4))
def test_total_effects_are_what_a_loss_takes_away_where_nothing_falls_silent(seed):
    graph = random_graph(seed, n_layers=4, n_features=16)
    small = torch.zeros(graph.n_nodes)
    totals = total_effects(graph, small)
    for node in range(graph.n_features):
        losses = small.clone()
        losses[node] = 1e-3
        outputs = predict_total(graph, losses).changes[graph.logit_nodes]
        torch.testing.assert_close(-outputs / 1e-3, totals[:, node], rtol=1e-3, atol=1e-4)


def test_a_prediction_along_direct_edges_is_exact():
    replacement = tiny_replacement(n_layers=3)
    prompt = traced(replacement)
    graph = prompt.graph
    losses = torch.zeros(graph.n_nodes)
    losses[[0, 4]] = 1
    changes = predict_direct(graph, losses)
    sets = (*prompt.ablation(0), *prompt.ablation(4))
    result = intervene_on(prompt.clean, sets, mode="direct")
    layers, positions, numbers = graph.features.T
    moved = result.pre_activations_after - result.pre_activations_before
    torch.testing.assert_close(
        changes[: graph.n_features], moved[layers, positions, numbers], rtol=1e-3, atol=2e-5
    )


def test_a_feature_below_its_threshold_is_lost_whole():
    # source 0 takes 0.6 of feature 1's activation of 1, which drives the output by 2
    adjacency = torch.zeros(6, 6)
    adjacency[1, 0], adjacency[5, 1] = 0.6, 2.0
    graph = make_graph(adjacency, [[0, 0, 1], [1, 0, 1]], n_layers=2, n_pos=1)
    losses = torch.tensor([1.0, 0, 0, 0, 0, 0])
    linear = predict_total(graph, losses)
    assert float(linear.changes[5]) == pytest.approx(-1.2)
    silent = predict_total(graph, losses, torch.tensor([0.0, 0.5]))
    assert float(silent.changes[5]) == pytest.approx(-2.0)
    assert float(silent.losses[1]) == 1
    above = predict_total(graph, losses, torch.tensor([0.0, 0.3]))
    assert float(above.changes[5]) == pytest.approx(-1.2)


def test_every_flip_predicted_of_a_linear_model_happens():
    happened, predicted = [], []
    for seed in range(12):
        replacement = tiny_replacement(
            seed, n_layers=1, threshold=0.1, model={"normalization": None}
        )
        for prompt in (PROMPT, "abc", "In 1998 (x"):
            found = measure_flips(traced(replacement, prompt), generator())
            predicted.append(found["flips.predicted", "graph"])
            if predicted[-1]:
                happened.append(found["flips.passed", "graph"])
                assert found["flips.local.ratio", "graph"] == pytest.approx(1, abs=1e-2)
                assert found["flips.ratio", "graph"] == pytest.approx(1, abs=1e-2)
                assert found["flips.size", "graph"] <= 5
    assert sum(predicted) >= 10
    assert happened == [1.0] * len(happened)


def test_a_flip_is_the_fewest_features_and_none_where_five_are_too_few():
    adjacency = torch.zeros(9, 9)
    adjacency[8, :6] = torch.tensor([0.5, 0.2, 0.4, -1.0, 0.1, 0.1])
    features = [[0, 0, number] for number in range(6)]
    graph = make_graph(adjacency, features, n_layers=1, n_pos=1)
    thresholds = torch.zeros(6)
    assert predict_flip(graph, 0.45, thresholds).nodes == (0,)
    two = predict_flip(graph, 0.85, thresholds)
    assert two.nodes == (0, 2)
    assert two.margin == pytest.approx(-0.05)
    assert predict_flip(graph, 1.25, thresholds).nodes[:4] == (0, 2, 1, 4)
    assert predict_flip(graph, 1.35, thresholds) is None
    effects = adjacency[8, :6]
    assert flip_by_sum(effects, 0.85).nodes == (0, 2)
    assert flip_by_sum(effects, 1.35) is None


def test_shuffled_decoders_fire_as_before_and_write_what_another_feature_wrote():
    replacement = tiny_replacement(n_layers=3)
    control = shuffle_decoders(replacement, 1)
    prompt = trace(replacement, control, PROMPT)
    assert torch.equal(prompt.graph.features, prompt.control_graph.features)
    for ours, theirs in zip(control.transcoder.W_dec, replacement.transcoder.W_dec, strict=True):
        assert not torch.equal(ours, theirs)
        for row in ours:
            assert (theirs == row).flatten(1).all(dim=1).any()
    assert torch.equal(control.transcoder.W_enc, replacement.transcoder.W_enc)


def test_within_one_place_nothing_else_helps():
    prompt = traced(tiny_replacement(n_layers=2, threshold=0.05))
    layers, positions, _ = prompt.graph.features.T
    by_place = (layers * 100 + positions).float()
    noise = torch.rand(len(layers), generator=generator())
    assert math.isnan(within_places(prompt, by_place, by_place))
    assert within_places(prompt, by_place + noise, noise) == pytest.approx(1)
    assert spearman(by_place, by_place + noise) > 0.9


# --- the report


def test_a_report_has_every_figure_and_is_plain_data():
    replacement = tiny_replacement(n_layers=3, threshold=0.1)
    *steps, report = cs.measure_faithfulness(replacement, [PROMPT, "abc def", "In (x"], n_direct=1)
    assert [step.done for step in steps] == [0, 1, 2, 0]
    measured = {name.partition(" ")[0] for name in report.figures}
    assert measured == set(MEASURES)
    assert {method for by in report.figures.values() for method in by} == set(METHODS)
    assert report.direct.n_columns > 20
    assert report.direct.largest < report.direct.bar
    assert json.loads(json.dumps(report.to_json()))["figures"]["nodes.all"]["graph"]["n"] == 3
    assert report.figures["nodes.all"]["graph"].mean > 0
    assert describe_measure("jacobians.layer 2").title == "Jacobian of layer 2: cosine"
    *_, again = cs.measure_faithfulness(replacement, [PROMPT, "abc def", "In (x"], n_direct=0)
    assert again.figures == report.figures
    assert again.direct is None


def test_no_prompt_is_an_error_that_says_so():
    with pytest.raises(cs.PromptError, match="no prompt to measure on"):
        next(cs.measure_faithfulness(tiny_replacement(), []))


@pytest.mark.parametrize("silent", ["all", 0, 1, 2])
def test_silent_layers_have_no_figures_and_no_errors(silent):
    replacement = silence(tiny_replacement(n_layers=3), None if silent == "all" else silent)
    *_, report = cs.measure_faithfulness(replacement, [PROMPT], n_direct=1)
    if silent == "all":
        assert "nodes.all" not in report.figures
        assert report.figures["flips.predicted"]["graph"].mean == 0
    assert report.direct.largest < 1e-3


# --- prompts and the command


def test_held_out_prompts_are_beginnings_of_the_documents_that_a_training_holds_out(tmp_path):
    texts = [f"{number:03d} " + "x" * 80 for number in range(40)]
    path = write_parquet(tmp_path / "text.parquet", texts)
    config = cs.CorpusConfig(validation_every=4)
    found = held_out_prompts(str(path), 5, cs.ByteTokenizer(), config)
    numbers = [int(bytes(ids[1:4])) for ids in found.token_ids]
    assert len(numbers) == 5
    assert all(number % 4 == 3 for number in numbers)
    assert {(ids[0], len(ids)) for ids in found.token_ids} == {(256, 65)}
    short = write_parquet(tmp_path / "short.parquet", ["short"] * 3 + [f"s{n}" for n in range(9)])
    with pytest.raises(cs.CorpusError, match="No held-out document"):
        held_out_prompts(str(short), 5, cs.ByteTokenizer(), config)


def test_without_text_prompts_are_exam_questions_and_built_in_text_and_it_is_said():
    found = held_out_prompts(None, 7, cs.ByteTokenizer(), cs.CorpusConfig())
    assert len(found.token_ids) == 7
    assert len(set(found.token_ids)) == 7
    assert "4 exam questions" in found.text
    assert "3 beginnings of the built-in text" in found.text
    assert all(ids[0] == 256 for ids in found.token_ids)


def test_the_command_prints_the_report_and_how_far_it_is(tmp_path, capsys):
    bundle = cs.save_bundle(make_bundle(), tmp_path / "tiny")
    texts = write_parquet(tmp_path / "t.parquet", [f"{n:03d} " + "abc " * 30 for n in range(120)])
    command = ["bench", "faithfulness", "--bundle", str(bundle), "--source", str(texts)]
    assert main([*command, "--prompts", "2", "--json"]) == 0
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert report["n_prompts"] == 2
    assert "held out in" in report["text"]
    assert -1 <= report["figures"]["nodes.all"]["graph"]["mean"] <= 1
    assert "Ablate features: 1 of 2 prompts" in said.err
    assert main([*command, "--prompts", "2"]) == 0
    text = capsys.readouterr().out
    assert "Changed stream one layer on: cosine: graph" in text
    assert "bar 0.9, published 0.8" in text
    assert "Direct effects" in text
