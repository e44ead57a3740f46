"""Features switched off one at a time in the replacement model."""

from dataclasses import replace

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.graph import NodeKind
from circuitscope_core.interventions import ablation
from circuitscope_core.interventions.changes import deltas_of
from circuitscope_core.interventions.divergence import kl_bits
from circuitscope_core.interventions.runs import run_iterative
from tests.samples import PROMPT, tiny_model, tiny_replacement
from tests.unit.faithfulness_samples import KINDS


def off(graph, node):
    layer, position, number = graph.features[node].tolist()
    return (cs.Intervention(layer, position, number, 0.0),)


def one_run(clean, changes):
    """The local replacement model's logits, all positions and layers run."""
    with torch.no_grad():
        deltas = deltas_of(clean, [changes])
        return run_iterative(clean, [changes], deltas, freeze_patterns=True).logits[0]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_batch_gives_what_a_run_of_its_own_gives(kind):
    replacement = tiny_replacement(n_layers=3, threshold=0.1, **kind)
    clean = cs.run_prompt(replacement, PROMPT)
    graph = cs.attribute(clean, PROMPT)
    nodes = list(range(0, graph.n_features, 7))
    found = cs.ablate_in_replacement(replacement, graph, nodes)
    alone = [kl_bits(clean.logits, one_run(clean, off(graph, node))[-1]) for node in nodes]
    torch.testing.assert_close(found, torch.stack(alone).float(), rtol=1e-2, atol=1e-6)
    assert found.max() > 1e-4


def test_several_positions_add_up_and_are_run_whole():
    """Outputs that are read at two positions, as those of a whole answer are."""
    clean = cs.run_prompt(tiny_replacement(n_layers=3, threshold=0.1), PROMPT)
    graph = cs.attribute(clean, PROMPT, max_logits=2, logit_probability=1.0)
    earlier = clean.asked - 2
    places = torch.tensor([earlier, clean.asked])
    both = replace(graph, targets=replace(graph.targets, positions=places))
    nodes = list(range(0, graph.n_features, 9))
    found = cs.ablate_in_replacement(clean, both, nodes)
    expected = []
    for node in nodes:
        after = one_run(clean, off(graph, node))
        parts = [kl_bits(clean.record.logits[0, place], after[place]) for place in places.tolist()]
        expected.append(sum(parts))
    torch.testing.assert_close(found, torch.stack(expected).float(), rtol=1e-2, atol=1e-6)


def test_a_difference_is_between_its_two_tokens_alone():
    clean = cs.run_prompt(tiny_replacement(n_layers=3, threshold=0.1), PROMPT)
    graph = cs.attribute(clean, PROMPT, targets=[cs.TokenDifference("a", "b")])
    nodes = [0, graph.n_features // 2]
    found = cs.ablate_in_replacement(clean, graph, nodes)
    pair = [ord("a"), ord("b")]
    for node, value in zip(nodes, found.tolist(), strict=True):
        after = one_run(clean, off(graph, node))[-1]
        assert value == pytest.approx(float(kl_bits(clean.logits[pair], after[pair])), abs=1e-7)


def test_neurons_are_set_in_the_model_itself():
    model = tiny_model(n_layers=3)
    bundle = cs.make_bundle(model)
    graph = cs.attribute(bundle, [65, 66, 67, 68])
    found = cs.ablate_in_replacement(bundle, graph, range(graph.n_features))
    clean = cs.run_prompt(bundle, [65, 66, 67, 68])
    off_in_model = one_run(clean, off(graph, 0))[-1]
    token, minus = graph.targets.tokens[0].tolist()
    pair = [token, minus]
    expected = float(kl_bits(clean.logits[pair], off_in_model[pair]))
    assert float(found[0]) == pytest.approx(expected, rel=1e-3, abs=1e-9)


def test_what_cannot_be_switched_off_or_has_no_answer_is_refused():
    replacement = tiny_replacement()
    graph = cs.attribute(replacement, PROMPT)
    with pytest.raises(cs.GraphError, match="Only features can be switched off; give numbers"):
        cs.ablate_in_replacement(replacement, graph, [graph.n_features])
    feature = cs.attribute(replacement, PROMPT, targets=[cs.FeatureTarget(1, 2, 3)])
    with pytest.raises(cs.GraphError, match="no token and no difference"):
        cs.ablate_in_replacement(replacement, feature, [0])


# --- in a trace


def test_a_trace_knows_what_each_kept_feature_does_alone():
    replacement = tiny_replacement(n_layers=3, threshold=0.1)
    trace = cs.trace(replacement, PROMPT)
    circuit = trace.circuit
    rows = circuit.rows_of(NodeKind.FEATURE)
    expected = cs.ablate_in_replacement(replacement, trace.graph, circuit.index[rows].tolist())
    torch.testing.assert_close(circuit.ablation_bits[rows], expected)
    assert trace.not_ablated == ""
    others = ~circuit.are(NodeKind.FEATURE)
    assert circuit.ablation_bits[others].isnan().all()
    assert circuit.strength[rows].equal(circuit.ablation_bits[rows])
    assert circuit.strength[others].equal(circuit.influence[others])
    assert circuit.to_pandas()["ablation_bits"].notna().sum() == len(rows)


def test_features_are_not_switched_off_where_that_is_slow_or_not_wanted(monkeypatch):
    replacement = tiny_replacement(n_layers=3, threshold=0.1)
    never = cs.trace(replacement, PROMPT, cs.TraceConfig(ablation="never"))
    assert never.circuit.ablation_bits.isnan().all()
    assert "settings say never" in never.not_ablated
    assert never.circuit.strength.equal(never.circuit.influence)
    feature = cs.trace(replacement, PROMPT, targets=[cs.FeatureTarget(1, 2, 3)])
    assert "explains no token" in feature.not_ablated
    monkeypatch.setattr(ablation, "MOST_WORK", 1.0)
    slow = cs.trace(replacement, PROMPT)
    assert "runs of this model take about" in slow.not_ablated
    wanted = cs.trace(replacement, PROMPT, cs.TraceConfig(ablation="always"))
    assert wanted.not_ablated == ""


def test_a_setting_that_does_not_exist_is_refused():
    with pytest.raises(cs.ConfigError, match="ablation is 'often'"):
        cs.TraceConfig(ablation="often")
