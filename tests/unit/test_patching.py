"""Features given the activations of another prompt: what they carry of the change of the answer."""

import json

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.cli import main
from circuitscope_core.interventions.curve import asked_of
from circuitscope_core.interventions.patched_features import PromptPair, effects_on_answer
from tests.samples import tiny_replacement
from tests.unit.test_bundle import make_bundle

PROMPT, SECOND = "The Navy (N", "The Army (A"
KINDS = (
    {},
    {"transcoder": {"cross_layer": False}},
    {"transcoder": {"skip_connection": True}},
    {"transcoder": {"activation": "topk", "k": 3}},
    {"model": {"causal": False, "positions": "learned"}},
)


def value_after(replacement, prompt, token, minus):
    logits = cs.run_prompt(replacement, prompt).logits
    return float(logits[token] - logits[minus])


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("answer", [None, "avy)"])
def test_patching_everything_gives_the_other_prompts_answer(kind, answer):
    replacement = tiny_replacement(n_layers=3, **kind)
    if answer is not None and not replacement.model.shape.causal:
        pytest.skip("such a model takes no answer")
    graph = cs.attribute(replacement, PROMPT, answer=answer)
    curve = cs.verify_by_patching(replacement, graph, SECOND)
    assert curve.rest.tokens == pytest.approx(curve.other, abs=1e-4)
    assert curve.share_carried(curve.rest.tokens) == pytest.approx(1, abs=1e-3)


def test_a_token_is_compared_with_the_likeliest_after_the_second_prompt():
    replacement = tiny_replacement(n_layers=3)
    second = cs.run_prompt(replacement, SECOND).logits
    best = int(second.argmax())
    token = next(number for number in (65, 66) if number != best)
    curve = cs.verify_by_patching(
        replacement, cs.attribute(replacement, PROMPT, targets=[token]), SECOND
    )
    assert curve.clean == pytest.approx(value_after(replacement, PROMPT, token, best), abs=1e-5)
    assert curve.other == pytest.approx(value_after(replacement, SECOND, token, best), abs=1e-5)
    asked = cs.TokenDifference("x", "y")
    given = cs.attribute(replacement, PROMPT, targets=[asked])
    curve = cs.verify_by_patching(replacement, given, SECOND)
    assert curve.answer == "x − y"
    assert curve.clean == pytest.approx(value_after(replacement, PROMPT, 120, 121), abs=1e-5)


def test_each_set_is_an_intervention():
    replacement = tiny_replacement(n_layers=3)
    graph = cs.attribute(replacement, PROMPT, targets=[cs.TokenDifference("x", "y")])
    curve = cs.verify_by_patching(replacement, graph, SECOND, sizes=[2])
    assert curve.sizes == (2, len(curve.nodes))
    for size, value in zip(curve.sizes, curve.patched, strict=True):
        changes = [
            cs.Intervention(node.layer, node.position, node.feature, node.other)
            for node in curve.nodes[:size]
        ]
        logits = cs.intervene(replacement, PROMPT, changes, mode="iterative").logits_after[-1]
        assert value == pytest.approx(float(logits[120] - logits[121]), abs=1e-4)
    effects = [node.effect for node in curve.nodes]
    assert effects == sorted(effects, reverse=True)
    assert len(curve.random) == len(curve.sizes)
    again = cs.verify_by_patching(replacement, graph, SECOND, sizes=[2])
    assert again == curve
    assert not cs.verify_by_patching(replacement, graph, SECOND, by_chance=False).random


def test_only_what_is_kept_and_differs_is_patched():
    replacement = tiny_replacement(n_layers=3)
    trace = cs.trace(replacement, PROMPT, cs.TraceConfig(prune=cs.PruneConfig(0.5, 0.9)))
    curve = cs.verify_by_patching(replacement, trace, SECOND)
    kept = {
        tuple(place)
        for place in trace.graph.features[trace.pruned.node_mask[: trace.graph.n_features]].tolist()
    }
    patched = {(node.layer, node.position, node.feature) for node in curve.nodes}
    assert patched <= kept
    assert curve == cs.verify_by_patching(replacement, trace.pruned, SECOND)
    own = cs.run_prompt(replacement, PROMPT).dense_activations
    other = cs.run_prompt(replacement, SECOND).dense_activations
    for node in curve.nodes:
        place = node.layer, node.position, node.feature
        assert node.activation == pytest.approx(float(own[place]), abs=1e-5)
        assert node.other == pytest.approx(float(other[place]), abs=1e-5)
        assert node.activation != node.other
    first = next(n for n, (a, b) in enumerate(zip(PROMPT, SECOND, strict=True)) if a != b) + 1
    assert all(position >= first for _, position, _ in patched)


def test_a_graph_of_the_second_prompt_adds_what_is_active_there_alone():
    replacement = tiny_replacement(n_layers=3)
    graph, second = (cs.attribute(replacement, prompt) for prompt in (PROMPT, SECOND))
    alone = cs.verify_by_patching(replacement, graph, SECOND)
    both = cs.verify_by_patching(replacement, graph, second)
    assert all(node.activation != 0 for node in alone.nodes)
    added = [node for node in both.nodes if node.activation == 0]
    assert added
    assert len(both.nodes) == len(alone.nodes) + len(added)
    # all that differ are in one of the two graphs
    assert both.patched[-1] == pytest.approx(both.rest.features, abs=1e-4)


def test_effects_are_what_the_graph_says_a_lost_feature_does():
    replacement = tiny_replacement(n_layers=3)
    graph = cs.attribute(replacement, PROMPT, targets=["x"])
    found = effects_on_answer(graph, graph.every_node[graph.feature_nodes], asked_of(graph).ranks)
    for node in (0, graph.n_features // 2, graph.n_features - 1):
        taken = torch.zeros(graph.n_nodes)
        taken[node] = 1
        never = torch.full_like(graph.activations, -torch.inf)
        lost = -cs.predict_total(graph, taken, never).changes[graph.logit_nodes]
        assert float(found.effects[node]) == pytest.approx(float(lost[0]), abs=1e-4)


def test_an_answer_is_looked_at_where_the_second_prompt_says_otherwise():
    replacement = tiny_replacement(n_layers=3)
    graph = cs.attribute(replacement, PROMPT, answer="avy)")
    curve = cs.verify_by_patching(replacement, graph, SECOND)
    read = cs.answer_prompt(replacement, SECOND, "avy)")
    other = cs.run_prompt(replacement, read)
    own = cs.run_prompt(replacement, graph.token_ids.tolist())
    values = {"clean": [], "other": []}
    for token, place in zip(read.answer_ids, read.positions, strict=True):
        best = int(other.record.logits[0, place].argmax())
        if best != token:
            for name, clean in (("clean", own), ("other", other)):
                logits = clean.record.logits[0, place]
                values[name].append(float(logits[token] - logits[best]))
    assert curve.clean == pytest.approx(sum(values["clean"]) / len(values["clean"]), abs=1e-4)
    assert curve.other == pytest.approx(sum(values["other"]) / len(values["other"]), abs=1e-4)


# --- what is refused --------------------------------------------------------------------------


def test_prompts_of_other_lengths_are_refused_with_both_counts():
    replacement = tiny_replacement()
    graph = cs.attribute(replacement, PROMPT)
    with pytest.raises(cs.GraphError, match="has 12 tokens and the second prompt 4"):
        cs.verify_by_patching(replacement, graph, "The")


def test_the_same_prompt_twice_has_nothing_to_patch():
    replacement = tiny_replacement()
    with pytest.raises(cs.GraphError, match="No feature that is patched differs"):
        cs.verify_by_patching(replacement, cs.attribute(replacement, PROMPT), PROMPT)


def test_a_pair_needs_a_second_prompt():
    replacement = tiny_replacement()
    for missing in (None, "", []):
        with pytest.raises(cs.GraphError, match="needs a second prompt"):
            cs.verify_by_patching(replacement, cs.attribute(replacement, PROMPT), missing)


def test_activations_of_silent_features_are_0():
    replacement = tiny_replacement()
    clean, other = (cs.run_prompt(replacement, prompt) for prompt in (PROMPT, SECOND))
    pair = PromptPair(clean, other)
    every = torch.cartesian_prod(torch.arange(2), torch.arange(1, 12), torch.arange(12))
    found = pair.activations_of(clean, every)
    assert torch.allclose(found, clean.dense_activations[tuple(every.T)], atol=1e-6)


# --- neurons ----------------------------------------------------------------------------------


def test_neurons_of_an_answer_are_patched_at_all_its_positions():
    own = make_bundle()
    bundle = cs.make_bundle(own.model, tokenizer=own.tokenizer)
    config = cs.TraceConfig(cs.AttributionConfig(max_feature_nodes=20))
    trace = cs.trace(bundle, PROMPT, config, answer="avy", against=SECOND)
    curve = cs.verify_by_patching(bundle, trace.graph, sizes=[5])
    assert curve.answer == "avy"
    assert curve.rest is None
    assert len(curve.nodes) == 20
    clean = cs.run_prompt(bundle, trace.graph.token_ids.tolist())
    logits = [clean.record.logits[0, place] for place in trace.graph.target_positions.tolist()]
    tokens = trace.graph.logit_token_ids.tolist()
    wanted = sum(float(row[t] - row.mean()) for row, t in zip(logits, tokens, strict=True)) / 3
    assert curve.clean == pytest.approx(wanted, abs=1e-4)
    again = cs.verify_by_patching(bundle, trace.graph, SECOND, sizes=[5])
    assert again.patched == pytest.approx(curve.patched)


# --- the shell --------------------------------------------------------------------------------


def test_the_shell_patches_the_kept_features_from_a_second_prompt(tmp_path, capsys):
    saved = cs.save_bundle(make_bundle(), tmp_path / "tiny")
    given = ["trace", "--bundle", str(saved), "--prompt", PROMPT, "--against", SECOND]
    assert main([*given, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["patching"]
    assert told["sizes"][-1] == len(told["nodes"])
    assert told["rest"]["tokens"] == pytest.approx(told["other"], abs=1e-3)
    assert main(given) == 0
    assert "of the change" in capsys.readouterr().out
    assert main([*given[:-1], "The"]) == 1
    assert "the second prompt 4" in capsys.readouterr().err
    assert main([*given[:-2], "--patch"]) == 1
    assert "add --against" in capsys.readouterr().err
