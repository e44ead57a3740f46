"""An intervention's outcome: what the graph predicts beside what the model does."""

import pytest
import torch

from circuitscope_core import GraphError, attribute
from circuitscope_core.interventions import (
    change_nodes,
    intervene_on,
    predict_direct,
    predict_total,
)
from circuitscope_core.prompt_pass import run_prompt
from circuitscope_core.view import (
    Handle,
    changes_of,
    node_changes,
    run_experiment,
    sweep,
)
from tests.samples import PROMPT, tiny_replacement


@pytest.fixture(scope="module")
def parts():
    replacement = tiny_replacement(n_layers=3)
    return attribute(replacement, PROMPT), run_prompt(replacement, PROMPT)


def test_with_all_else_frozen_prediction_and_measurement_are_one(parts):
    graph, clean = parts
    handles = (
        Handle((0, 4), "ablate"),
        Handle((graph.index_of_token(3),), "scale", 2.5),
        Handle((graph.index_of_error(1, 5),), "ablate"),
        Handle((7,), "set", 3.0),
    )
    found = run_experiment(graph, clean, handles, "direct")
    torch.testing.assert_close(found.losses_predicted, found.losses_measured, rtol=1e-3, atol=1e-4)
    assert found.losses_measured[[0, 4]].tolist() == [1, 1]
    told = [row for row in found.outputs if row.predicted is not None]
    assert told
    for row in told:
        assert row.predicted == pytest.approx(row.measured, rel=1e-3, abs=1e-4)
    assert found.losses_measured.abs().max() > 0.01


def test_the_outputs_are_those_of_the_intervention(parts):
    graph, clean = parts
    handles = (Handle((0, 4), "ablate"),)
    found = run_experiment(graph, clean, handles, "constrained")
    result = intervene_on(clean, changes_of(graph, handles), mode="constrained")
    before = sorted(row.probability_before for row in found.outputs)
    assert before[-1] == pytest.approx(float(result.probabilities_before.max()))
    assert max(row.probability_after for row in found.outputs) == pytest.approx(
        float(result.probabilities_after.max())
    )


def test_a_loss_goes_on_through_all_that_it_feeds(parts):
    graph, _ = parts
    taken = torch.zeros(graph.n_nodes)
    taken[[0, 5]] = torch.tensor([1.0, -0.5])
    found = predict_total(graph, taken)
    n = graph.n_features
    # every feature's own equation, none of them clamped to a full loss
    free = (taken[:n] == 0) & (found.losses[:n] < 1)
    assert free.sum() > n / 2
    lost = graph.adjacency[:n] @ found.losses / graph.activations
    torch.testing.assert_close(found.losses[:n][free], lost[free], rtol=1e-4, atol=1e-5)
    assert (lost[(taken[:n] == 0) & (found.losses[:n] == 1)] >= 1 - 1e-5).all()
    outputs = graph.adjacency[graph.logit_nodes] @ found.losses
    torch.testing.assert_close(found.changes[graph.logit_nodes], -outputs)
    direct = predict_direct(graph, taken)
    last = graph.features[:, 0] == 0
    torch.testing.assert_close(found.changes[:n][last], direct[:n][last])


def test_supernodes_change_as_their_members_do_together(parts):
    graph, clean = parts
    found = run_experiment(graph, clean, (Handle((0,), "ablate"),), "constrained")
    members = {"a": [0], "b": [0, 1], "token": [graph.index_of_token(1)]}
    changes = node_changes(found, graph, members)
    assert set(changes) == {"a", "b"}
    assert changes["a"].measured == changes["a"].predicted == -1
    weights = graph.activations[[0, 1]]
    expected = float((found.losses_measured[[0, 1]] * weights).sum() / weights.sum())
    assert changes["b"].measured == pytest.approx(-expected)


def test_a_sweep_is_one_intervention_after_the_other(parts):
    graph, clean = parts
    handles = (Handle((3,), "ablate"), Handle((0,), "scale", 1.0))
    found = sweep(graph, clean, handles, (-1.0, 0.0, 1.0, 3.0), "constrained")
    fixed = change_nodes(graph, [3])
    for strength, row in zip(found.strengths, found.probabilities, strict=True):
        changes = (*fixed, *change_nodes(graph, [0], "scale", strength))
        after = intervene_on(clean, changes, mode="constrained").probabilities_after
        assert max(row) == pytest.approx(float(after.max()), rel=1e-3)
    assert len(found.tokens) == len(set(found.tokens)) == len(found.probabilities[0])


def test_a_node_is_changed_once(parts):
    graph, clean = parts
    twice = (Handle((0,), "ablate"), Handle((1, 0), "scale", 2.0))
    with pytest.raises(GraphError, match="twice"):
        run_experiment(graph, clean, twice, "direct")
