"""Compiled programs: what is read, and whether graphs show exactly the compiled circuit."""

import json
import os
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.attribution import explain_attention, explain_edge
from circuitscope_core.attribution.effects import scatter_targets, start_vectors
from circuitscope_core.cli import main
from circuitscope_core.errors import CircuitError, PromptError
from circuitscope_core.evals.known_circuits import (
    PROGRAM_TRAINING,
    average_precision,
    find_programs,
    oracle_replacement,
    possible_edges,
    program_outputs,
    strongest_edges,
    train_on_program,
)
from circuitscope_core.evals.known_circuits.measure import output_target
from circuitscope_core.evals.known_circuits.routes import (
    gather_sources,
    routed_row,
    shared_by_tokens,
)
from circuitscope_core.evals.known_circuits.truth import live_node_edges
from circuitscope_core.prompt_pass import run_prompt
from tests.samples import PROMPT, tiny_replacement
from tests.unit.program_samples import BEFORE, FIRST, ONE, YES, B, edge, write_program

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("CIRCUITSCOPE_TEST_DATA", ROOT.parent / "shared" / "data"))
PROGRAMS, MORE = DATA / "tracr", DATA / "tracr_more"
with_data = pytest.mark.skipif(
    not PROGRAMS.is_dir(), reason="the compiled programs are not on this machine"
)


@pytest.fixture
def program(tmp_path):
    return cs.load_program(write_program(tmp_path))


def trace(program, token_ids, replacement=None):
    replacement = replacement or oracle_replacement(program)
    target = output_target(program, replacement, token_ids)
    return cs.attribute(replacement, token_ids, targets=[target])


def flows_of(program, token_ids, replacement=None):
    replacement = replacement or oracle_replacement(program)
    return cs.component_flows(replacement, trace(program, token_ids, replacement))


YES_EDGES = {
    "L1MLP output unembed",
    "L1H0 L1MLP mlp_in",
    "L0MLP L1H0 v",
    "embed L0MLP mlp_in",
    "pos_embed L1H0 q",
    "embed L1H0 q",
    "pos_embed L1H0 k",
    "embed L1H0 k",
}
# the head read an a: it carried nothing, and "no" comes from the constant alone
NO_EDGES = {"L1MLP output unembed", "embed L1MLP mlp_in"}


@pytest.mark.parametrize(("ids", "expected"), [((0, 2, 1), YES_EDGES), ((0, 1, 2), NO_EDGES)])
def test_a_program_by_hand_has_the_edges_that_were_worked_out_by_hand(program, ids, expected):
    wanted = {edge(text) for text in expected}
    assert cs.live_edges(program, ids) == wanted
    assert set(flows_of(program, ids)) == wanted


def change_head(files):
    """The MLP adds up what the head brings and an equal amount with the other sign."""
    files.weights["l1.mlp.W1"][:, 1] = files.weights["l1.mlp.W1"][:, 0]
    files.weights["l1.mlp.W2"][:] = 0
    files.weights["l1.mlp.W2"][[0, 1], YES] = 1, -1


def test_neurons_that_cancel_are_both_behind_the_answer(tmp_path):
    program = cs.load_program(write_program(tmp_path, change_head))
    found = set(flows_of(program, (0, 2, 1)))
    assert found == cs.live_edges(program, (0, 2, 1)) == {edge(text) for text in YES_EDGES}
    # of a file the same: each neuron is a node of its own
    shown = live_node_edges(program, (0, 2, 1))
    assert edge("L1MLP output unembed") in shown
    # nothing is brought, and so there is nothing that could cancel
    assert cs.live_edges(program, (0, 1, 2)) == set(flows_of(program, (0, 1, 2))) == set()


def read_token_less_one(files):
    """The first MLP reads a b less the constant that all tokens have, and the position."""
    files.weights["l0.mlp.W1"][[B, ONE, FIRST], 0] = 1, -1, 1
    files.data["edges"] += [
        {"src": src, "dst": "L0MLP", "slot": "mlp_in", "variable": variable, "live": True}
        for src, variable in (("embed", "one"), ("pos_embed", "indices"))
    ]


def test_a_token_is_told_from_what_all_tokens_have(tmp_path):
    program = cs.load_program(write_program(tmp_path, read_token_less_one))
    # at position 1 the b and the constant cancel, and the position alone is left
    wanted = {edge(text) for text in YES_EDGES} | {edge("pos_embed L0MLP mlp_in")}
    assert cs.live_edges(program, (0, 2, 1)) == set(flows_of(program, (0, 2, 1))) == wanted
    replacement = oracle_replacement(program)
    shared = shared_by_tokens(run_prompt(replacement, (0, 2, 1)))
    assert shared.nonzero().tolist() == [[ONE]]
    assert edge("embed L0MLP mlp_in") not in live_node_edges(program, (0, 2, 1))
    assert not shared_by_tokens(run_prompt(tiny_replacement(), PROMPT)).any()


def test_the_opening_token_has_features_of_its_own(program):
    replacement = oracle_replacement(program)
    assert replacement.model.shape.n_opening == 0
    assert replacement.explained(3) == range(3)


def test_what_rounding_switched_on_is_no_edge(tmp_path):
    def almost(files):
        files.weights["l1.mlp.W1"][[ONE, BEFORE], 1] = 1, -1 + 2**-23  # 1.2e-7 instead of 0

    program = cs.load_program(write_program(tmp_path, almost))
    graph = trace(program, (0, 2, 1))
    assert graph.activations.min() < 1e-6
    assert set(flows_of(program, (0, 2, 1))) == cs.live_edges(program, (0, 2, 1))


def test_a_program_runs_as_our_transformer(program):
    model = oracle_replacement(program).model
    for example in program.examples:
        assert program_outputs(program, model, example.token_ids) == list(example.output[1:])


def test_the_oracle_transcoder_leaves_no_error(program):
    graph = trace(program, (0, 2, 1))
    assert graph.error_vectors.abs().max() == 0
    scores = cs.graph_scores(graph)
    assert scores.replacement == scores.completeness == 1


def test_flow_is_handed_on_by_shares_that_can_be_worked_out(program):
    flows = flows_of(program, (0, 2, 1))
    for text in ("L1MLP output unembed", "L1H0 L1MLP mlp_in", "L0MLP L1H0 v", "embed L0MLP mlp_in"):
        assert flows[edge(text)] == pytest.approx(1)
    # keys seen: BOS, with the score 50 = one times BOS, and the b, with 100 = indices times indices
    assert flows[edge("embed L1H0 q")] == pytest.approx(50 / 150)
    assert flows[edge("pos_embed L1H0 q")] == pytest.approx(100 / 150)
    assert flows[edge("embed L1H0 k")] == pytest.approx(50 / 150)


def test_a_program_scores_perfectly_and_a_wrong_circuit_does_not(program):
    score = cs.measure_circuit(program, oracle_replacement(program))
    assert (score.every.precision, score.every.recall, score.exact) == (1, 1, 1)
    assert score.average_precision == 1
    assert score.n_compiled == 18
    assert score.every.true == len(YES_EDGES) + len(NO_EDGES)
    lacking = tuple(item for item in program.edges if item.edge.src != "pos_embed")
    wrong = cs.measure_circuit(replace(program, edges=lacking), oracle_replacement(program))
    assert wrong.every.precision == pytest.approx(8 / 10)
    assert wrong.exact == 0.5


def test_silent_features_leave_errors_that_are_the_mlps_own_edges(program):
    replacement = oracle_replacement(program)
    with torch.no_grad():
        replacement.transcoder.log_threshold.fill_(10)
    flows = flows_of(program, (0, 2, 1), replacement)
    assert set(flows) == {edge("L1MLP output unembed")}  # an error's causes are not known


def rows_by_route(replacement, graph, layer, vector):
    clean = run_prompt(replacement, graph.token_ids.tolist())
    at = torch.tensor([graph.n_pos - 1])
    gradient = scatter_targets(clean, start_vectors(clean, layer, at, vector[None]), at)
    return routed_row(clean, gather_sources(clean), gradient, layer, own_heads=True)


def test_routes_are_those_of_explained_edges_and_add_up_to_the_graph():
    replacement = tiny_replacement(n_layers=3)
    graph = cs.attribute(replacement, PROMPT)
    node = graph.logit_nodes.start
    row = rows_by_route(replacement, graph, 3, graph.targets.directions[0])
    summed = row.effects.sum(dim=0)[: graph.logit_nodes.start]
    torch.testing.assert_close(summed, graph.adjacency[node, :node], atol=1e-5, rtol=1e-4)
    for source in (graph.index_of_token(0), graph.index_of_token(graph.n_pos - 1)):
        paths = explain_edge(replacement, graph, source, node).paths
        expected = {path.heads: path.weight for path in paths}
        found = defaultdict(float)
        for route, weight in zip(row.routes, row.effects[:, source].tolist(), strict=True):
            found[tuple((hop.layer, hop.head) for hop in route)] += weight
        found = {heads: weight for heads, weight in found.items() if weight != 0}
        assert found == pytest.approx(expected, abs=1e-5)


def test_a_position_embeddings_effect_is_what_taking_it_away_changes():
    replacement = tiny_replacement(n_layers=2, model={"positions": "learned"})
    graph = cs.attribute(replacement, PROMPT)
    row = rows_by_route(replacement, graph, 2, graph.targets.directions[0])
    found = row.effects[:, -graph.n_pos :].sum()
    moved = replacement.model.pos_embed.W_pos
    with torch.no_grad():
        clean = replacement.model.record(graph.token_ids[None])
        held = replacement.model.record(
            graph.token_ids[None],
            clean=clean,
            embed_change=-moved[: graph.n_pos][None],
            edit_mlp=lambda call: clean.sites[call.layer].mlp_out,
        )
    change = clean.logits[0, -1] - held.logits[0, -1]
    measured = change[graph.logit_token_ids[0]] - change.mean()
    assert float(found) == pytest.approx(float(measured), rel=1e-3, abs=1e-4)
    assert abs(float(found)) > 1e-3


def test_what_makes_a_score_is_what_explained_attention_says(program):
    graph = trace(program, (0, 2, 1))
    explained = explain_attention(oracle_replacement(program), graph, (1, 0), 2, 0)
    assert explained.score == pytest.approx(50 / 3**0.5)
    assert {(str(pair.query.kind), pair.key.position) for pair in explained.pairs} == {("token", 0)}


def test_a_graph_cut_by_a_budget_or_of_unknown_origin_is_refused(program):
    replacement = oracle_replacement(program)
    cut = cs.attribute(replacement, (0, 2, 1), targets=[4], max_feature_nodes=1)
    with pytest.raises(CircuitError, match="max_feature_nodes"):
        cs.component_flows(replacement, cut)
    with pytest.raises(CircuitError, match="make it with attribute"):
        cs.component_flows(replacement, replace(cut, targets=None))


def test_a_graph_whose_edges_are_not_its_models_is_refused(program):
    graph = trace(program, (0, 2, 1))
    graph.adjacency[graph.logit_nodes.start, 0] += 1
    with pytest.raises(CircuitError, match="does not belong to its model"):
        cs.component_flows(oracle_replacement(program), graph)


def test_more_routes_than_can_be_followed_are_refused():
    replacement = tiny_replacement(n_layers=3)
    graph = cs.attribute(replacement, PROMPT.ljust(31, "!"))
    with pytest.raises(CircuitError, match="routes through the heads; at most"):
        cs.component_flows(replacement, graph)


def test_the_tokenizer_reads_words(program):
    tokenizer = oracle_replacement(program).tokenizer
    assert tokenizer.encode("b a") == [2, 1]
    assert tokenizer.decode([0, 2, 4]) == "BOS b =yes"
    with pytest.raises(PromptError, match="no token 'x'"):
        tokenizer.encode("a x")
    assert cs.attribute(oracle_replacement(program), "b a").token_ids.tolist() == [0, 2, 1]


def test_ranking_and_strongest_edges():
    one, two, three = (edge(f"embed L{n}MLP mlp_in") for n in range(3))
    flows = {one: 0.6, two: 0.3, three: 0.1}
    assert strongest_edges(flows, 0.6) == {one}
    assert strongest_edges(flows, 0.61) == {one, two}
    assert strongest_edges(flows, 1.0) == {one, two, three}
    assert average_precision(flows, frozenset({one, three})) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(flows, frozenset({edge("pos_embed L0MLP mlp_in"), one})) == 0.5
    tied = dict.fromkeys(flows, 1.0)
    assert average_precision(tied, frozenset({one})) == average_precision(tied, frozenset({three}))


def test_possible_edges_hold_the_true_ones(program):
    possible = possible_edges(program)
    assert program.true_edges < possible
    assert len(possible) == (6 + 3) + (4 * 3 + 5) + 6


def test_a_transcoder_trained_on_a_program_explains_it(program):
    settings = replace(
        PROGRAM_TRAINING,
        n_tokens=100_000,
        batch_size=128,
        buffer_sequences=512,
    )
    replacement = train_on_program(program, settings)
    score = cs.measure_circuit(program, replacement)
    assert score.replacement > 0.5
    assert score.average_precision > score.chance


def set_config(**changes):
    return lambda files: files.data["config"].update(changes)


def break_weight(files):
    files.weights["W_E"] = files.weights["W_E"][:, :-1]


def put_infinity(files):
    files.weights["W_E"][0, 0] = np.inf


def put_object(files):
    files.weights["W_E"] = np.array([{"code": 1}], dtype=object)


def set_first(name, **changes):
    return lambda files: files.data[name][0].update(changes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_config(num_layers=10**9), "num_layers is 1000000000"),
        (set_config(d_model="10"), "d_model is '10'"),
        (set_config(layer_norm=True), "without layer_norm"),
        (set_config(bos="<s>"), "'<s>' is not in input_encoding"),
        (lambda files: files.data.pop("edges"), "edges is None"),
        (set_first("edges", src="L9H9"), r"edges\[0\] must have src"),
        (set_first("edges", src=["x"]), r"edges\[0\] must have src"),
        (set_first("examples", ids=[0, 99]), r"examples\[0\] must have ids"),
        (set_first("examples", ids=[0]), r"examples\[0\] has 1 ids"),
        (lambda files: files.data["output_dims"].append(0), "output_dims must name"),
        (lambda files: files.data["input_encoding"].update(a=7), "its own id"),
        (lambda files: files.weights.pop("W_pos"), "weight W_pos is missing"),
        (break_weight, "weight W_E has shape"),
        (put_infinity, "finite"),
        (put_object, "without pickle"),
    ],
)
def test_a_wrong_file_is_refused_with_a_sentence(tmp_path, change, words):
    with pytest.raises(CircuitError, match=words):
        cs.load_program(write_program(tmp_path, change))


def test_files_that_are_something_else_are_refused(tmp_path):
    path = write_program(tmp_path)
    path.with_suffix(".npz").write_bytes(b"no zip")
    with pytest.raises(CircuitError, match="cannot be read as arrays"):
        cs.load_program(path)
    path.write_text("{")
    with pytest.raises(CircuitError, match="is no JSON"):
        cs.load_program(path)
    with pytest.raises(CircuitError, match="cannot be read"):
        cs.load_program(tmp_path / "nope.json")
    with pytest.raises(CircuitError, match="no compiled program"):
        find_programs(tmp_path / "nope")


def test_the_command_scores_every_program_of_a_folder(tmp_path, capsys):
    write_program(tmp_path)
    assert main(["bench", "circuits", "--data", str(tmp_path), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["program"], row["precision"], row["recall"]) == ("after_b", 1, 1)
    assert main(["bench", "circuits", "--data", str(tmp_path), "--inputs", "1"]) == 0
    assert "after_b: inputs 1" in capsys.readouterr().out
    assert main(["bench", "circuits"]) == 1
    assert "needs --data FOLDER" in capsys.readouterr().err


@with_data
@pytest.mark.parametrize(
    "name", ["count_a", "detect_ab", "frac_prevs", "hist", "length", "reverse"]
)
def test_the_graphs_of_a_compiled_program_show_its_circuit_exactly(name):
    assert_exact(PROGRAMS / f"{name}.json")


@pytest.mark.skipif(not MORE.is_dir(), reason="no further compiled programs are on this machine")
@pytest.mark.parametrize("name", ["pair_balance", "sort"])
def test_programs_in_which_parts_cancel_are_shown_exactly(name):
    """The shares of two brackets that are equal, and a token against the constant of all tokens."""
    assert_exact(MORE / f"{name}.json")


def assert_exact(path):
    program = cs.load_program(path)
    replacement = oracle_replacement(program)
    for example in program.examples:
        given = program_outputs(program, replacement.model, example.token_ids)
        if program.numeric:
            wanted = [float(value) for value in example.output[1:]]
            assert [float(value) for value in given] == pytest.approx(wanted, abs=1e-5)
        else:
            assert given == list(example.output[1:])
    score = cs.measure_circuit(program, replacement)
    assert (score.n, score.exact) == (60, 1)
    assert (score.every.precision, score.every.recall) == (1, 1)
    assert score.every.true > 0
