"""Changed features, errors and tokens: every node moves as the graph says, alone or with many."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitscope_core import GraphError, attribute
from circuitscope_core.interventions import (
    ErrorIntervention,
    Intervention,
    TokenIntervention,
    change_nodes,
    continue_prompt,
    intervene,
    intervene_many,
    intervene_on,
)
from circuitscope_core.prompt_pass import run_prompt
from tests.samples import PROMPT, tiny_replacement

KINDS = (
    {},
    {"transcoder": {"cross_layer": False}},
    {"transcoder": {"skip_connection": True}},
    {"transcoder": {"read_point": "mid"}},
    {"transcoder": {"read_point": "unit"}},
    {"transcoder": {"read_point": "pre"}},
    {"transcoder": {"activation": "topk", "k": 3}},
    {"transcoder": {"activation": "topk_relu", "k": 8}},
    {"model": {"normalization": None}},
    {"model": {"causal": False, "positions": "learned"}},
)
MODES = ("direct", "constrained", "iterative")


def moved_by(clean, graph, changes):
    """Return what every feature and output loses, all else frozen."""
    result = intervene_on(clean, changes)
    lost = result.pre_activations_before - result.pre_activations_after
    layers, positions, numbers = graph.features.T
    drop = (result.logits_before - result.logits_after)[-1]
    drop = (drop - drop.mean())[graph.logit_token_ids]
    return torch.cat([lost[layers, positions, numbers], drop])


def all_changes(clean, position=None):
    """One change of each kind at its place, features that are silent included."""
    n_pos = clean.n_pos
    for place in range(1, n_pos) if position is None else [position]:
        for layer in range(clean.replacement.model.config.n_layers):
            yield Intervention(layer, place, 3, 1.5)
            yield ErrorIntervention(layer, place, 0.5)
        yield TokenIntervention(place)
        yield TokenIntervention(place, token_id=65)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_node_that_is_taken_away_moves_all_others_by_exactly_its_column(kind):
    replacement = tiny_replacement(n_layers=3, **kind)
    graph = attribute(replacement, PROMPT)
    clean = run_prompt(replacement, PROMPT)
    rows = torch.cat(
        [torch.arange(graph.n_features), torch.arange(graph.n_nodes)[-graph.n_logits :]]
    )
    sources = range(graph.token_nodes.stop)
    silent = {graph.index_of_error(layer, 0) for layer in range(graph.n_layers)}
    for column in sources:
        if column not in silent:
            moved = moved_by(clean, graph, change_nodes(graph, [column]))
            expected = graph.adjacency[rows, column]
            torch.testing.assert_close(moved, expected, rtol=1e-4, atol=2e-5)


def test_scaling_and_setting_move_in_proportion():
    replacement = tiny_replacement(n_layers=3)
    graph, clean = attribute(replacement, PROMPT), run_prompt(replacement, PROMPT)
    for node in (0, graph.index_of_error(1, 3), graph.index_of_token(4)):
        away = moved_by(clean, graph, change_nodes(graph, [node]))
        doubled = moved_by(clean, graph, change_nodes(graph, [node], "scale", 3.0))
        torch.testing.assert_close(doubled, -2 * away, rtol=1e-4, atol=2e-5)
    value = float(graph.activations[0]) * 2
    fixed = moved_by(clean, graph, change_nodes(graph, [0], "set", value))
    away = moved_by(clean, graph, change_nodes(graph, [0]))
    torch.testing.assert_close(fixed, -away, rtol=1e-4, atol=2e-5)


def test_a_group_moves_by_the_sum_of_its_columns():
    replacement = tiny_replacement(n_layers=3)
    graph, clean = attribute(replacement, PROMPT), run_prompt(replacement, PROMPT)
    group = [0, 3, graph.index_of_token(2), graph.index_of_error(0, 4)]
    together = moved_by(clean, graph, change_nodes(graph, group))
    alone = sum(moved_by(clean, graph, change_nodes(graph, [node])) for node in group)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=5e-5)


def test_patching_all_tokens_that_differ_gives_the_other_prompts_answer():
    replacement = tiny_replacement(n_layers=3)
    for layer in range(3):  # attention that looks at no token: its pattern is the same for both
        attn = replacement.model.block(layer).attn
        for weight in (attn.W_Q, attn.W_K, attn.b_Q, attn.b_K):
            weight.zero_()
    one, donor = "The Navy (N", run_prompt(replacement, "The Nazy (M")
    graph = attribute(replacement, one)
    nodes = [graph.index_of_token(position) for position in range(graph.n_pos)]
    patched = change_nodes(graph, nodes, "patch", donor=donor)
    result = intervene(replacement, one, patched, mode="constrained")
    torch.testing.assert_close(result.logits_after, donor.record.logits[0], rtol=1e-4, atol=1e-4)


def test_patching_a_feature_sets_what_it_is_in_the_other_prompt():
    replacement = tiny_replacement(n_layers=3)
    graph, donor = attribute(replacement, PROMPT), run_prompt(replacement, PROMPT[:-1] + "M")
    last = [n for n, (_, p, _) in enumerate(graph.features.tolist()) if p == graph.n_pos - 1]
    for change in change_nodes(graph, last, "patch", donor=donor):
        assert (
            change.value == donor.dense_activations[change.layer, change.position, change.feature]
        )


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_many_at_once_are_the_same_as_one_by_one(kind, mode):
    replacement = tiny_replacement(n_layers=3, **kind)
    clean = run_prompt(replacement, PROMPT)
    sets = [[change] for change in all_changes(clean)]
    sets += [list(all_changes(clean, 5))[:-1], [], [Intervention(1, None, 2, 0.7)]]
    many = intervene_many(clean, (), sets, mode=mode)
    one_by_one = [intervene_on(clean, changes, mode=mode).logits_after[-1] for changes in sets]
    torch.testing.assert_close(many.logits_after, torch.stack(one_by_one), rtol=1e-4, atol=1e-4)
    assert torch.equal(many.logits_before, clean.record.logits[0, -1])
    assert not torch.allclose(many.logits_after[0], many.logits_after[10])


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), layer=st.integers(0, 2), mode=st.sampled_from(MODES[:2]))
def test_many_at_once_with_a_layer_of_ones_own(seed, layer, mode):
    replacement = tiny_replacement(seed, n_layers=3)
    clean = run_prompt(replacement, PROMPT)
    below = [item for item in all_changes(clean) if getattr(item, "layer", -1) <= layer]
    sets = [[change] for change in below[::7]]
    many = intervene_many(clean, (), sets, mode=mode, constrained_layer=layer)
    for changes, logits in zip(sets, many.logits_after, strict=True):
        one = intervene_on(clean, changes, mode=mode, constrained_layer=layer)
        torch.testing.assert_close(logits, one.logits_after[-1], rtol=1e-3, atol=1e-4)


def test_a_change_at_every_position_is_that_change_at_each():
    replacement = tiny_replacement(n_layers=3)
    clean = run_prompt(replacement, PROMPT)
    everywhere = intervene_on(clean, [Intervention(1, None, 2, 0.7)]).logits_after
    each = [Intervention(1, position, 2, 0.7) for position in range(1, clean.n_pos)]
    torch.testing.assert_close(everywhere, intervene_on(clean, each).logits_after)


def test_a_token_that_takes_its_own_place_changes_nothing():
    replacement = tiny_replacement()
    clean = run_prompt(replacement, PROMPT)
    same = [TokenIntervention(3, token_id=clean.token_ids[3])]
    for mode in MODES:
        result = intervene_on(clean, same, mode=mode)
        torch.testing.assert_close(result.logits_after, result.logits_before, rtol=0, atol=1e-5)


def test_a_text_goes_on_under_an_intervention_as_it_does_step_by_step():
    replacement = tiny_replacement(n_layers=3)
    changes = [Intervention(0, None, 2, 5.0)]
    text = continue_prompt(replacement, PROMPT, changes, n_tokens=4)
    token_ids = list(run_prompt(replacement, PROMPT).token_ids)
    for token, probability in zip(text.token_ids, text.probabilities, strict=True):
        result = intervene(replacement, token_ids, changes, mode="constrained")
        assert token == int(result.logits_after[-1].argmax())
        assert probability == pytest.approx(float(result.probabilities_after.max()), rel=1e-4)
        token_ids.append(token)
    untouched = continue_prompt(replacement, PROMPT, n_tokens=4)
    likely = replacement.model(torch.tensor([run_prompt(replacement, PROMPT).token_ids]))[0, -1]
    assert untouched.token_ids[0] == int(likely.argmax())


def test_a_text_ends_where_the_model_can_read_no_more():
    replacement = tiny_replacement(model={"n_ctx": 14})
    text = continue_prompt(replacement, PROMPT, n_tokens=50)
    assert 0 < len(text.token_ids) <= 14 - len(PROMPT)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([Intervention(9, 1, 0, 0.0)], "layer 9"),
        ([Intervention(0, 0, 0, 0.0)], "position 0"),
        ([ErrorIntervention(0, 99)], "position 99"),
        ([ErrorIntervention(0, 0)], "position 0"),
        ([TokenIntervention(-1)], "position -1"),
        ([TokenIntervention(1, token_id=999)], "no token 999"),
        ([TokenIntervention(1), TokenIntervention(1, 2.0)], "set twice"),
        ([Intervention(0, None, 3, 0.0), Intervention(0, 2, 3, 1.0)], "set twice"),
    ],
)
def test_a_wrong_place_is_named(changes, message):
    with pytest.raises(GraphError, match=message):
        intervene(tiny_replacement(), PROMPT, changes)


def test_a_change_above_the_clamped_layers_is_refused_rather_than_lost():
    with pytest.raises(GraphError, match="constrained_layer is 0, and layer 1 is changed"):
        intervene(
            tiny_replacement(),
            PROMPT,
            [Intervention(1, 2, 0, 0.0)],
            mode="constrained",
            constrained_layer=0,
        )


def test_what_cannot_be_done_to_a_node_is_said():
    replacement = tiny_replacement()
    graph = attribute(replacement, PROMPT)
    with pytest.raises(GraphError, match="an output, which cannot be ablated"):
        change_nodes(graph, [graph.logit_nodes.start])
    with pytest.raises(GraphError, match="an error, which cannot be set"):
        change_nodes(graph, [graph.index_of_error(0, 1)], "set", 1.0)
    with pytest.raises(GraphError, match="none was given"):
        change_nodes(graph, [0], "patch")
    with pytest.raises(GraphError, match="it has 3"):
        change_nodes(graph, [0], "patch", donor=run_prompt(replacement, "ab"))
