"""Scores of graph files: the same from the file as in memory, and what is refused."""

import json
from dataclasses import replace

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.cli import main
from circuitscope_core.errors import ScoreError
from circuitscope_core.evals.exam import encode_question
from circuitscope_core.evals.known_circuits import live_node_edges
from circuitscope_core.evals.localization import share_at
from circuitscope_core.evals.scoring import (
    file_flow,
    find_question,
    rank_correlation,
    score_circuit,
    score_effects,
    score_localization,
)
from circuitscope_core.export.graph_json import graph_to_json
from circuitscope_core.graph import NodeKind
from circuitscope_core.pruning import compute_node_influence
from circuitscope_core.skills import exam
from tests.samples import PROMPT, tiny_replacement
from tests.unit.program_samples import edge, write_program
from tests.unit.test_bundle import make_bundle
from tests.unit.test_known_circuits import trace

WHOLE = {"node_threshold": 1.0, "edge_threshold": 1.0}


def as_file(graph, change=None, **thresholds):
    """Export a graph and read it again; ``change`` edits the JSON in between."""
    data = graph_to_json(cs.prune_graph(graph, **(thresholds or WHOLE)))
    if change is not None:
        change(data)
    return cs.parse_graph_json(json.dumps(data))


@pytest.fixture(scope="module")
def replacement():
    return tiny_replacement(n_layers=3, model={"n_ctx": 64})


@pytest.fixture(scope="module")
def graph(replacement):
    return cs.attribute(replacement, PROMPT)


def test_a_whole_file_scores_as_the_graph_in_memory(graph):
    expected, found = cs.graph_scores(graph), file_flow(as_file(graph)).scores()
    assert found.replacement == pytest.approx(expected.replacement, rel=1e-5)
    assert found.completeness == pytest.approx(expected.completeness, rel=1e-5)
    assert 0 < found.replacement < 1
    assert 0 < found.completeness < 1


def test_influence_from_the_file_is_that_of_the_graph(graph):
    file = as_file(graph)
    kept = cs.prune_graph(graph, **WHOLE).kept_nodes
    expected = compute_node_influence(graph)[kept]
    torch.testing.assert_close(file_flow(file).influence, expected, atol=1e-6, rtol=1e-4)


def test_outputs_without_probabilities_have_equal_weights(graph):
    def forget(data):
        for node in data["nodes"]:
            node["token_prob"] = None

    file = as_file(graph, forget)
    weights = file_flow(file).weights
    outputs = weights[[node.node.kind is NodeKind.LOGIT for node in file.nodes]]
    assert outputs.tolist() == pytest.approx([1 / graph.n_logits] * graph.n_logits)
    assert float(weights.sum()) == pytest.approx(1)


@pytest.mark.parametrize("skill", ["acronyms", "copying", "plurals", "articles"])
def test_localization_from_the_file_is_that_in_memory(replacement, skill):
    questions = exam(skill, 5)
    question = next(item for item in questions if len(item.prompt) < 60)
    tokenizer = replacement.tokenizer
    asked = encode_question(tokenizer, question)
    target = asked.answer[asked.decided]
    graph = cs.attribute(replacement, asked.before_decided, targets=[target])
    positions = torch.tensor(asked.evidence)
    expected = share_at(compute_node_influence(graph)[graph.token_nodes], positions)
    file = as_file(graph)
    assert find_question(file, questions) == question
    found = score_localization(file, question)
    assert found.localization == pytest.approx(expected, rel=1e-4)
    assert found.chance == pytest.approx(len(positions) / graph.n_pos)
    assert found.skill == skill


def test_the_output_that_begins_the_answer_is_scored_among_others(replacement):
    question = next(item for item in exam("acronyms", 5) if len(item.prompt) < 60)
    right = question.answer[0]
    alone = as_file(cs.attribute(replacement, question.prompt, targets=[right]))
    among = as_file(cs.attribute(replacement, question.prompt, targets=["~", right, "!"]))
    one, other = (score_localization(file, question) for file in (alone, among))
    assert one.localization == pytest.approx(other.localization, rel=1e-4)
    without = as_file(cs.attribute(replacement, question.prompt, targets=["~"]))
    with pytest.raises(ScoreError, match="no output that begins the answer"):
        score_localization(without, question)


def test_a_prompt_that_is_no_question_is_refused(graph):
    with pytest.raises(ScoreError, match="none of the 3 questions"):
        find_question(as_file(graph), exam("acronyms", 3))


def test_links_of_our_file_are_what_taking_sources_away_does(replacement, graph):
    file = as_file(graph)
    found = score_effects(file, replacement)
    assert found.features == sum(node.node.kind is NodeKind.FEATURE for node in file.nodes) > 5
    assert found.links > 50
    assert found.max_link_error < 1e-4
    assert -1 <= found.spearman <= 1


def test_a_wrong_link_is_measured(replacement, graph):
    def change(data):
        largest = max(data["links"], key=lambda link: abs(link["weight"]))
        largest["weight"] *= 1.5

    found = score_effects(as_file(graph, change), replacement)
    assert found.max_link_error == pytest.approx(1 / 3, rel=1e-3)


def test_spearman_is_that_of_influence_and_ablation(replacement, graph):
    file = as_file(graph)
    influence = compute_node_influence(graph)
    kept = cs.prune_graph(graph, **WHOLE).kept_nodes
    measured, predicted = [], []
    for node in kept[kept < graph.n_features].tolist():
        layer, position, feature = graph.features[node].tolist()
        changes = [cs.Intervention(layer, position, feature, 0.0)]
        result = cs.intervene(replacement, PROMPT, changes, mode="constrained")
        before, after = result.probabilities_before.double(), result.probabilities_after.double()
        measured.append(float((before * (before / after).log()).sum()))
        predicted.append(float(influence[node]))
    n = len(measured)
    ranks = [sorted(values).index for values in (measured, predicted)]
    gaps = sum(
        (ranks[0](one) - ranks[1](other)) ** 2
        for one, other in zip(measured, predicted, strict=True)
    )
    assert score_effects(file, replacement).spearman == pytest.approx(
        1 - 6 * gaps / (n * (n**2 - 1)), abs=0.02
    )


def test_rank_correlation_by_hand():
    up = torch.tensor([1.0, 2.0, 5.0, 9.0])
    assert rank_correlation(up, up**3) == pytest.approx(1)
    assert rank_correlation(up, -up) == pytest.approx(-1)
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4
    assert rank_correlation(torch.tensor([0.0, 3, 3, 8]), up) == pytest.approx(4.5 / 22.5**0.5)
    assert rank_correlation(up[:2], up[:2]) is None
    assert rank_correlation(up, torch.ones(4)) is None


def test_features_of_another_transcoder_are_refused(graph):
    other = tiny_replacement(seed=5, n_layers=3, model={"n_ctx": 64})
    with pytest.raises(ScoreError, match="those of another transcoder"):
        score_effects(as_file(graph), other)


def test_a_file_of_other_tokens_is_refused(replacement, graph):
    def change(data):
        data["metadata"]["prompt"] = "Other words"

    with pytest.raises(ScoreError, match="score it with the bundle"):
        score_effects(as_file(graph, change), replacement)


@pytest.fixture
def program(tmp_path):
    return cs.load_program(write_program(tmp_path))


def test_a_file_of_a_program_is_held_against_what_such_a_file_can_show(program):
    wanted = {
        edge("L1MLP output unembed"),
        edge("L0MLP L1MLP mlp_in"),  # through the head, which is no node
        edge("embed L0MLP mlp_in"),
    }
    assert live_node_edges(program, (0, 2, 1)) == wanted
    found = score_circuit(as_file(trace(program, (0, 2, 1))), program)
    assert (found.found, found.true) == (3, 3)
    assert found.precision == found.recall == found.average_precision == 1


def test_a_false_link_of_a_program_costs_precision(program):
    def change(data):
        names = {kind: [] for kind in ("embedding", "logit")}
        for node in data["nodes"]:
            if node["feature_type"] in names:
                names[node["feature_type"]].append(node["node_id"])
        (source, *_), (target,) = names["embedding"], names["logit"]
        data["links"].append({"source": source, "target": target, "weight": 0.5})

    found = score_circuit(as_file(trace(program, (0, 2, 1)), change), program)
    assert found.precision == pytest.approx(3 / 4)
    assert found.recall == 1


def test_a_file_of_something_else_is_not_held_against_a_program(program, graph):
    with pytest.raises(ScoreError, match="the program 'after_b' reads BOS, a, b"):
        score_circuit(as_file(graph), program)
    shorter = replace(program, n_ctx=2)
    with pytest.raises(ScoreError, match="reads at most 2"):
        score_circuit(as_file(trace(program, (0, 2, 1))), shorter)


def test_the_command_scores_a_file_and_a_folder(tmp_path, capsys):
    bundle = make_bundle()
    saved = cs.save_bundle(bundle, tmp_path / "tiny")
    graph = cs.attribute(bundle, "The (N")
    folder = tmp_path / "graphs"
    folder.mkdir()
    pruned = cs.prune_graph(graph, **WHOLE)
    path = cs.export_graph(pruned, folder / "one.json")
    assert main(["bench", "score", str(path), "--bundle", str(saved), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["completeness"] == pytest.approx(cs.graph_scores(graph).completeness, rel=1e-5)
    assert row["max_link_error"] < 1e-4
    assert main(["bench", "score", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "replacement" in said
    assert "spearman" not in said
    assert main(["bench", "score"]) == 1
    assert "needs FILE" in capsys.readouterr().err
    assert main(["bench", "score", str(folder), "--evidence"]) == 1
    assert "none of the" in capsys.readouterr().err
