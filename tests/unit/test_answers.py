"""Whole answers: how they are read, what is refused, and all that their graphs go through."""

import json
from dataclasses import replace

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.answers import first_token_of
from circuitscope_core.cli import main
from circuitscope_core.export import graph_to_json, render_svg
from circuitscope_core.graph import NodeKind, answer_among, output_weights
from circuitscope_core.graph_file import circuit_of_file, layout_graph_file, parse_graph_json
from circuitscope_core.interventions import Handle, ablate, run_experiment, sweep
from circuitscope_core.tokenizer import ByteTokenizer
from circuitscope_core.view import layout_graph
from tests.samples import tiny_replacement
from tests.unit.test_bundle import make_bundle

PROMPT, ANSWER = "The (N", "AVA"
"""The answer has one token twice."""


@pytest.fixture(scope="module")
def bundle():
    return make_bundle()


@pytest.fixture(scope="module")
def trace(bundle):
    return cs.trace(bundle, PROMPT, answer=ANSWER)


@pytest.fixture(scope="module")
def first():
    """The position at which the first token of the answer is read."""
    return len(PROMPT.encode())


# --- how an answer is read --------------------------------------------------------------------


def test_the_model_reads_all_but_the_last_token(bundle, first):
    found = cs.answer_prompt(bundle, PROMPT, ANSWER)
    assert found.token_ids == (256, *(PROMPT + ANSWER[:-1]).encode())
    assert found.answer_ids == tuple(ANSWER.encode())
    assert found.prompt == PROMPT + ANSWER[:-1]
    assert list(found.positions) == [first, first + 1, first + 2]


def test_text_ids_and_the_pass_give_the_same_graph(bundle):
    ids = [256, *PROMPT.encode()]
    clean = cs.run_prompt(bundle, PROMPT)
    graphs = [
        cs.attribute(bundle, PROMPT, answer=ANSWER),
        cs.attribute(bundle, ids, answer=list(ANSWER.encode())),
        cs.attribute(clean, PROMPT, answer=ANSWER),
        cs.attribute(bundle, cs.answer_prompt(bundle, PROMPT, ANSWER)),
        cs.trace(clean, PROMPT, answer=ANSWER).graph,
    ]
    for graph in graphs[1:]:
        assert torch.equal(graph.adjacency, graphs[0].adjacency)
        assert torch.equal(graph.logit_probabilities, graphs[0].logit_probabilities)


def test_a_number_asks_for_the_models_own_tokens(bundle):
    found = cs.answer_prompt(bundle, PROMPT, 3)
    ids = [256, *PROMPT.encode()]
    for token in found.answer_ids:
        assert token == int(bundle.model(torch.tensor([ids]))[0, -1].argmax())
        ids.append(token)
    assert found.token_ids == tuple(ids[:-1])


def test_the_models_own_answer_ends_with_the_separator():
    replacement = tiny_replacement()
    with torch.no_grad():
        replacement.model.unembed.b_U[256] = 1e3
    found = cs.answer_prompt(replacement, PROMPT, 5)
    assert found.answer_ids == (256,)


def test_bytes_of_one_character_stay_together_where_an_answer_begins():
    assert first_token_of(ByteTokenizer(), "aé", "ñb") == 3


def test_one_token_is_the_graph_of_that_target(bundle):
    one, other = (
        cs.attribute(bundle, PROMPT, **given) for given in ({"answer": "A"}, {"targets": ["A"]})
    )
    assert torch.equal(one.adjacency, other.adjacency)
    assert torch.equal(one.logit_weights, other.logit_weights)
    assert one.answer is None


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("", "The answer is empty"),
        ([], "The answer is empty"),
        (0, "is to have 0 tokens; ask for at least one"),
        (-2, "is to have -2 tokens"),
        ([65, 999], "Token id 999 of the answer is outside the vocabulary"),
        ("x" * 500, "Shorten them by"),
        (500, "Shorten them by"),
    ],
)
def test_an_impossible_answer_is_refused(bundle, answer, said):
    with pytest.raises(cs.PromptError, match=said):
        cs.attribute(bundle, PROMPT, answer=answer)


@pytest.mark.parametrize("answer", [True, 1.5, ["A"]])
def test_what_is_no_answer_is_refused_by_name(bundle, answer):
    with pytest.raises(cs.ConfigError, match="answer is"):
        cs.attribute(bundle, PROMPT, answer=answer)


def test_an_answer_as_long_as_the_model_reads_is_explained():
    replacement = tiny_replacement()
    n_ctx = replacement.model.shape.n_ctx
    graph = cs.attribute(replacement, PROMPT, answer="x" * (n_ctx - len(PROMPT)))
    assert graph.n_pos == n_ctx


def test_targets_and_an_answer_exclude_each_other(bundle):
    with pytest.raises(cs.GraphError, match="Targets were given together with an answer"):
        cs.attribute(bundle, PROMPT, answer=ANSWER, targets=["A"])
    with pytest.raises(cs.GraphError, match="has an answer already"):
        cs.attribute(bundle, cs.answer_prompt(bundle, PROMPT, 2), answer=ANSWER)


def test_a_token_at_no_position_is_refused(bundle, first):
    with pytest.raises(cs.GraphError, match=f"positions go from 0 to {first}"):
        cs.attribute(bundle, PROMPT, targets=[cs.TokenAt("A", first + 1)])
    with pytest.raises(cs.GraphError, match="given twice"):
        cs.attribute(bundle, PROMPT, targets=["A", cs.TokenAt("A", first)])


# --- weights ----------------------------------------------------------------------------------


def test_outputs_are_in_the_order_of_positions_then_of_probabilities(bundle):
    targets = [cs.TokenAt("A", 5), cs.TokenAt("B", 3), cs.TokenAt("C", 5), cs.TokenAt("D", 3)]
    graph = cs.attribute(bundle, PROMPT, targets=targets)
    assert graph.target_positions.tolist() == [3, 3, 5, 5]
    for pair in graph.logit_probabilities.split(2):
        assert pair[0] >= pair[1]


def test_all_positions_count_alike_and_never_more_than_one_together():
    places, tokens = torch.tensor([3, 4, 4]), torch.tensor([1, 2, 3])
    weights = output_weights(torch.tensor([0.2, 0.3, 0.1]), places, tokens)
    assert torch.allclose(weights, torch.tensor([0.15, 0.1125, 0.0375]))
    alone = torch.tensor([0.2, 0.3])
    assert output_weights(alone, torch.tensor([4, 4]), tokens[:2]) is alone
    assert output_weights(alone, torch.tensor([3, 4]), torch.tensor([1, -1])) is alone
    rare = output_weights(torch.tensor([0.0, 0.5]), torch.tensor([3, 4]), tokens[:2])
    assert torch.isfinite(rare).all()


def test_influence_stays_a_share_and_scores_stay_fractions(trace):
    graph = trace.graph
    total = float(graph.logit_weights.sum())
    assert total == pytest.approx(float(graph.logit_probabilities.mean()), rel=1e-5)
    influence = trace.pruned.node_influence
    ends = float(influence[graph.token_nodes].sum() + influence[graph.error_nodes].sum())
    assert ends == pytest.approx(total, rel=1e-4)
    assert 0 <= float(influence.min()) <= float(influence.max()) <= 1
    assert all(0 <= score <= 1 for score in vars(trace.scores).values())


def test_an_answer_is_named_by_its_tokens_and_the_chance_of_all():
    assert answer_among(["a", "b"], [0.5, 0.2], [3, 3]) is None
    found = answer_among(["x", "b", "c", "a"], [0.1, 0.5, 0.5, 0.4], [3, 4, 6, 3])
    assert found.text == "ab…c"
    assert found.probability == pytest.approx(0.4 * 0.5 * 0.5)


# --- files, pictures, comparison --------------------------------------------------------------


def test_a_graph_of_an_answer_is_the_same_after_it_was_saved(trace, tmp_path):
    graph = trace.graph
    found = cs.load_graph(graph.save(tmp_path / "graph.safetensors"))
    assert torch.equal(found.target_positions, graph.target_positions)
    assert torch.equal(found.logit_weights, graph.logit_weights)
    assert found.answer == graph.answer
    assert cs.graph_scores(found) == trace.scores


def test_outputs_stand_over_their_own_tokens(bundle, trace, first):
    view = layout_graph(trace, bundle.tokenizer, supernodes=trace.supernodes)
    for picture in (view.full, view.groups):
        outputs = [node for node in picture.nodes if node.kind == NodeKind.LOGIT]
        assert [node.position for node in outputs] == [first, first + 1, first + 2]
        for node in outputs:
            column = picture.columns[node.position]
            assert column.start <= node.x <= column.end
            assert f"token {node.position}" in node.detail
    assert view.facts[0].name == "Answer"
    assert view.facts[0].value.startswith(f"“{ANSWER}”")
    assert render_svg(view).count("<text") > 3


def test_the_json_has_each_outputs_place_and_is_read_back(trace, first):
    data = graph_to_json(trace, supernodes=trace.supernodes)
    outputs = [node for node in data["nodes"] if node["isLogit"]]
    assert [node["ctx_idx"] for node in outputs] == [first, first + 1, first + 2]
    assert len({node["node_id"] for node in outputs}) == 3
    probabilities = trace.graph.logit_probabilities.tolist()
    assert [node["token_prob"] for node in outputs] == pytest.approx(probabilities)
    file = parse_graph_json(json.dumps(data))
    circuit = circuit_of_file(file)
    own = trace.circuit
    assert circuit.ids == own.ids
    assert torch.allclose(circuit.worth, own.worth)
    assert torch.allclose(circuit.probabilities, own.probabilities, equal_nan=True)
    view = layout_graph_file(file)
    assert view.facts[0].name == "Answer"
    assert view.facts[0].value.startswith(f"“{ANSWER}”")


def test_a_file_of_an_answer_is_scored_against_its_model(bundle, trace):
    from circuitscope_core.evals.scoring import score_effects

    whole = cs.prune_graph(trace.graph, 1.0, 1.0)
    found = score_effects(parse_graph_json(json.dumps(graph_to_json(whole))), bundle)
    assert found.links > 0
    assert found.max_link_error < 1e-3


def test_graphml_and_pages_take_an_answer(bundle, trace, tmp_path):
    assert cs.export_graphml(trace, tmp_path / "graph.graphml").stat().st_size > 100
    page = cs.export_html(trace, bundle, tmp_path / "page.html").read_text()
    assert "output behind" in page


def test_equal_outputs_of_two_answers_are_compared_by_their_place(bundle, trace):
    other = cs.trace(bundle, "The (M", answer="AVB")
    found = cs.compare_graphs(trace.pruned, other.pruned, same_features=True)
    outputs = [node for node in found.nodes if node.kind is NodeKind.LOGIT]
    assert [str(node.side) for node in outputs] == ["both", "both", "a", "b"]
    same = cs.compare_graphs(trace.pruned, trace.pruned, same_features=True)
    assert same.is_same


# --- interventions ----------------------------------------------------------------------------


def test_an_experiment_has_a_row_for_each_token_at_its_position(bundle, trace, first):
    graph, clean = trace.graph, cs.run_prompt(bundle, trace.graph.token_ids.tolist())
    found = run_experiment(graph, clean, [Handle((0,), "ablate")], "direct")
    assert [row.token for row in found.outputs] == list(ANSWER)
    assert [row.position for row in found.outputs] == [first, first + 1, first + 2]
    for row, probability in zip(found.outputs, graph.logit_probabilities, strict=True):
        assert row.probability_before == pytest.approx(float(probability), rel=1e-4)
        assert row.measured == pytest.approx(row.predicted, abs=1e-4)
    for row in ablate(bundle, graph, [0]):
        assert row.measured == pytest.approx(row.predicted, abs=1e-4)


@pytest.mark.parametrize("mode", ["direct", "constrained", "iterative"])
def test_a_sweep_follows_each_token_of_the_answer(bundle, trace, mode):
    graph, clean = trace.graph, cs.run_prompt(bundle, trace.graph.token_ids.tolist())
    found = sweep(graph, clean, [Handle((0,), "scale", 1.0)], (1.0, 0.0), mode)
    assert found.tokens == ("1. A", "2. V", "3. A")
    assert found.probabilities[0] == pytest.approx(graph.logit_probabilities.tolist(), rel=1e-3)


def test_changes_of_another_graphs_outputs_are_refused(bundle, trace):
    result = cs.intervene(bundle, PROMPT, [])
    with pytest.raises(cs.GraphError, match="token_ids"):
        result.output_changes(trace.graph)


# --- neurons ----------------------------------------------------------------------------------


def test_neurons_are_chosen_for_a_whole_answer(bundle, first):
    own = cs.make_bundle(bundle.model, tokenizer=bundle.tokenizer)
    config = cs.TraceConfig(cs.AttributionConfig(max_feature_nodes=20))
    found = cs.trace(own, PROMPT, config, answer=ANSWER, against="Tho (M")
    graph = found.graph
    assert graph.target_positions.tolist() == [first, first + 1, first + 2]
    assert graph.choice.against == (256, *("Tho (M" + ANSWER[:-1]).encode())
    rows = graph.target_nodes
    got = graph.adjacency[rows].double().sum(1) + graph.bias[rows]
    assert torch.allclose(got, graph.pre_activations[rows].double(), atol=1e-4)
    effects = cs.predict_alone(own, graph)
    assert effects.shape == (graph.n_features,)


# --- many prompts, and the shell --------------------------------------------------------------


@pytest.fixture
def saved(bundle, tmp_path):
    return cs.save_bundle(replace(bundle), tmp_path / "tiny")


def test_many_prompts_are_each_explained_with_an_answer(saved, tmp_path):
    rows = list(cs.attribute_many(saved, [PROMPT, "x" * 400], tmp_path / "out", answer=2))
    assert len(rows[0].prediction) >= 2
    assert "reads at most" in rows[1].error


def test_the_shell_explains_an_answer(saved, capsys):
    given = ["trace", "--bundle", str(saved), "--prompt", PROMPT]
    assert main([*given, "--answer", ANSWER, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["answer"]["text"] == ANSWER
    assert [item["token"] for item in found["prediction"]] == list(ANSWER)
    assert main([*given, "--continue", "2"]) == 0
    assert "Answer      “" in capsys.readouterr().out
    assert main([*given, "--answer", ANSWER, "--target", "A"]) == 1
    assert "leave one of the two out" in capsys.readouterr().err
