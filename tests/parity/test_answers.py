"""The graph of an answer holds the rows of the graphs of all the prompts that end in it."""

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.graph import NodeKind
from circuitscope_core.interventions import logits_at, predict_direct, predict_total
from tests.any_model import variants
from tests.parity.test_any_model import IDS, replacement_of
from tests.samples import tiny_replacement

PROMPT, ANSWER = "The Navy (N", "avy)"
KINDS = (
    {},
    {"transcoder": {"cross_layer": False}},
    {"transcoder": {"skip_connection": True}},
    {"transcoder": {"read_point": "pre", "skip_connection": True}},
    {"model": {"positions": "learned", "normalization": None}},
)
MODES = ("direct", "constrained", "iterative")


def row_of_prefix(graph, prefix):
    """Return a prefix graph's one output row in the columns of the whole graph, 0 elsewhere."""
    row = torch.zeros(graph.n_nodes)
    for index in range(prefix.logit_nodes.start):
        node = prefix.node(index)
        if node.kind is NodeKind.FEATURE:
            place = graph.index_of_feature(node.layer, node.position, node.feature)
        elif node.kind is NodeKind.ERROR:
            place = graph.index_of_error(node.layer, node.position)
        else:
            place = graph.index_of_token(node.position)
        row[place] = prefix.adjacency[-1, index]
    return row


def assert_rows_are_those_of_prefixes(bundle, graph, tolerance):
    ids, largest = graph.token_ids.tolist(), float(graph.adjacency.abs().max())
    assert (graph.target_positions.diff() > 0).all()
    for rank, node in enumerate(graph.every_node[graph.logit_nodes].tolist()):
        token, position = int(graph.logit_token_ids[rank]), int(graph.target_positions[rank])
        prefix = cs.attribute(bundle, ids[: position + 1], targets=[token])
        wanted = row_of_prefix(graph, prefix)
        assert (graph.adjacency[node] - wanted).abs().max() <= tolerance * largest
        assert float(graph.bias[node]) == pytest.approx(float(prefix.bias[-1]), abs=1e-4)
        added_up = float(graph.adjacency[node].double().sum() + graph.bias[node])
        assert added_up == pytest.approx(float(graph.pre_activations[node]), abs=1e-4)
        assert float(graph.logit_probabilities[rank]) == pytest.approx(
            float(prefix.logit_probabilities[0]), rel=1e-4
        )


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_each_row_is_that_of_the_prefixs_own_graph(kind):
    replacement = tiny_replacement(n_layers=3, **kind)
    graph = cs.attribute(replacement, PROMPT, answer=ANSWER)
    assert graph.logit_texts == tuple(ANSWER)
    assert_rows_are_those_of_prefixes(replacement, graph, 1e-6)


def test_each_row_of_the_demo_is_that_of_the_prefixs_own_graph():
    bundle = cs.load_bundle("models/demo")
    graph = cs.attribute(bundle, "The National Digital Analytics Group (N", answer="DAG)")
    assert_rows_are_those_of_prefixes(bundle, graph, 1e-6)


@pytest.mark.parametrize("structure", variants(), ids=str)
def test_it_holds_for_models_of_every_structure(structure):
    replacement = replacement_of(structure, {"skip_connection": True, "read_point": "mid"})
    if not replacement.model.shape.causal:
        with pytest.raises(cs.ModelError, match="does not continue texts"):
            cs.attribute(replacement, IDS, answer=3)
        return
    graph = cs.attribute(replacement, IDS[:-3], answer=IDS[-3:])
    assert graph.token_ids.tolist() == IDS[:-1]
    assert_rows_are_those_of_prefixes(replacement, graph, 1e-5)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_output_moves_by_the_graphs_own_column(kind):
    replacement = tiny_replacement(n_layers=3, **kind)
    graph = cs.attribute(replacement, PROMPT, answer=ANSWER)
    answered = cs.answer_prompt(replacement, PROMPT, ANSWER)
    largest = float(graph.adjacency.abs().max())
    nodes = [*range(0, graph.n_features, 7), graph.index_of_token(3), graph.index_of_error(0, 2)]
    for node in nodes:
        changes = cs.change_nodes(graph, [node])
        result = cs.intervene(replacement, answered, changes)
        taken = torch.zeros(graph.n_nodes)
        taken[node] = 1
        predicted = predict_direct(graph, taken)[graph.logit_nodes]
        assert (result.output_changes(graph) - predicted).abs().max() < 1e-5 * max(1, largest)


@pytest.mark.parametrize("mode", MODES)
def test_what_is_measured_at_a_position_is_measured_without_what_follows(mode):
    replacement = tiny_replacement(n_layers=3)
    graph = cs.attribute(replacement, PROMPT, answer=ANSWER)
    ids = graph.token_ids.tolist()
    changes = cs.change_nodes(graph, [0, 5, 9])
    moved = cs.intervene(replacement, ids, changes, mode=mode).output_changes(graph)
    last = max(change.position for change in changes)
    for rank, position in enumerate(graph.target_positions.tolist()):
        if position < last:
            continue
        alone = cs.intervene(replacement, ids[: position + 1], changes, mode=mode)
        change = (alone.logits_after - alone.logits_before)[-1]
        wanted = change[int(graph.logit_token_ids[rank])] - change.mean()
        assert float(moved[rank]) == pytest.approx(float(wanted), abs=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_many_sets_at_several_positions_are_what_single_ones_are(mode):
    replacement = tiny_replacement(n_layers=3)
    graph = cs.attribute(replacement, PROMPT, answer=ANSWER)
    clean = cs.run_prompt(replacement, graph.token_ids.tolist())
    sets = [cs.change_nodes(graph, [node]) for node in (0, 11, graph.n_features - 1, 4, 2)] + [()]
    places = graph.target_positions.tolist()
    found = logits_at(clean, sets, places, mode)
    for row, changes in zip(found, sets, strict=True):
        single = cs.intervene(clean, (), changes, mode=mode) if changes else None
        wanted = clean.record.logits[0] if single is None else single.logits_after
        assert torch.allclose(row, wanted[places], atol=1e-4)


def test_a_loss_that_goes_on_reaches_every_output():
    replacement = tiny_replacement(n_layers=3)
    graph = cs.attribute(replacement, PROMPT, answer=ANSWER)
    taken = torch.zeros(graph.n_nodes)
    taken[graph.index_of_token(2)] = 1
    changes = predict_total(graph, taken).changes[graph.logit_nodes]
    assert bool((changes != 0).all())
