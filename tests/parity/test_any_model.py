"""The frozen algebra on models of every structure: rows add up, columns are interventions."""

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.attribution import pass_of, sources
from circuitscope_core.attribution.alternatives import find_alternatives
from circuitscope_core.attribution.budget import reads_of, score_features
from circuitscope_core.attribution.carry_through import total_feature_effects
from circuitscope_core.attribution.sources import lay_out_sources
from circuitscope_core.attribution.targets import select_targets
from circuitscope_core.config import TranscoderConfig
from circuitscope_core.language_model import Compute, LanguageModel
from circuitscope_core.prompt_pass import run_prompt
from circuitscope_core.pruning import outcomes_of, total_effects
from circuitscope_core.transcoder import CrossLayerTranscoder
from tests.any_model import AnyModel, variants

IDS = [3, 7, 1, 30, 12, 5, 5, 21, 9]
KINDS = [
    {},
    {"cross_layer": False},
    {"skip_connection": True, "read_point": "mid"},
    {"cross_layer": False, "skip_connection": True},
    {"skip_connection": True, "read_point": "unit"},
    {"cross_layer": False, "skip_connection": True, "read_point": "pre"},
]


def replacement_of(structure, kind, n_layers=3):
    config = TranscoderConfig(n_layers, 8, d_transcoder=12, **kind)
    torch.manual_seed(1)
    transcoder = CrossLayerTranscoder(config).double().requires_grad_(False)
    for parameter in transcoder.parameters():
        parameter.copy_(torch.randn(parameter.shape) * 0.3)
    transcoder.log_threshold.fill_(-3.0)
    return cs.ReplacementModel(AnyModel(structure, n_layers), transcoder)


def with_all(structures, kinds):
    return [
        pytest.param(structure, kind, id=f"{structure}-{kind}")
        for structure in structures
        for kind in kinds
    ]


@pytest.mark.parametrize(("structure", "kind"), with_all(variants(), KINDS))
def test_rows_add_up_and_columns_are_interventions(structure, kind):
    replacement = replacement_of(structure, kind)
    assert isinstance(replacement.model, LanguageModel)
    graph = cs.attribute(replacement, IDS)
    assert graph.n_features > 20
    assert int(graph.features[:, 1].min()) >= structure.n_opening
    got = graph.adjacency.double().sum(1) + graph.bias
    rows = torch.cat(
        [torch.arange(graph.n_features), torch.arange(graph.n_nodes)[graph.logit_nodes]]
    )
    largest = graph.adjacency[rows].abs().max()
    assert (got - graph.pre_activations)[rows].abs().max() < 1e-5 * largest
    layers, positions, numbers = graph.features.T
    for node in [*range(0, graph.n_features, 9), graph.index_of_token(2), graph.index_of_token(0)]:
        changes = cs.change_nodes(graph, [node])
        result = cs.intervene(replacement, IDS, changes, mode="direct")
        lost = result.pre_activations_before - result.pre_activations_after
        column = graph.adjacency[: graph.n_features, node].double()
        moved = lost[layers, positions, numbers]
        assert (moved - column).abs().max() < 1e-5 * largest
        logits = (result.logits_before - result.logits_after)[-1]
        expected = graph.adjacency[graph.logit_nodes, node].double()
        difference = logits[graph.logit_token_ids] - logits.mean() - expected
        assert difference.abs().max() < 1e-5 * largest


@pytest.mark.parametrize(("structure", "kind"), with_all(variants()[1:], KINDS[2:]))
def test_an_edge_is_the_sum_of_its_paths_through_heads(structure, kind):
    replacement = replacement_of(structure, kind)
    clean = run_prompt(replacement, IDS)
    graph = cs.attribute(clean, IDS)
    largest = float(graph.adjacency.abs().max())
    for target, source in graph.adjacency.nonzero().tolist()[::173]:
        found = cs.explain_edge(clean, graph, source, target, max_routes=4096)
        assert abs(found.rest) < 1e-5 * largest, (graph.node(source), graph.node(target))


def test_a_models_own_ids_are_read_without_a_tokenizer():
    replacement = replacement_of(variants()[0], {})
    graph = cs.attribute(replacement, IDS)
    assert graph.token_texts[1] == "<7>"
    assert graph.prompt.startswith("<3><7>")
    with pytest.raises(cs.PromptError, match="no tokenizer"):
        cs.attribute(replacement, "text")


def test_a_padded_vocabulary_offers_no_id_without_a_text():
    class FewTokens(cs.ByteTokenizer):
        d_vocab = 20

    model = AnyModel(variants()[0])
    model.b_U[20:] += 100.0  # the ids that pad would win
    transcoder = replacement_of(variants()[0], {}).transcoder
    replacement = cs.ReplacementModel(model, transcoder, FewTokens())
    graph = cs.attribute(replacement, [3, 7, 1], max_logits=5)
    assert int(graph.logit_token_ids.max()) < 20
    with pytest.raises(cs.PromptError, match="outside the vocabulary"):
        cs.attribute(replacement, [3, 25])


def test_sources_that_write_to_their_own_layer_have_slots_there_alone():
    deep = 8
    own = lay_out_sources(run_prompt(replacement_of(variants()[0], KINDS[1], deep), IDS))
    across = lay_out_sources(run_prompt(replacement_of(variants()[0], {}, deep), IDS))
    assert own.n_bytes < 0.4 * across.n_bytes
    n_slots = sum(block.shape[1] for block in own.vectors[deep - 1])
    assert n_slots < sum(block.shape[1] for block in across.vectors[deep - 1]) / 3


@pytest.mark.parametrize(("structure", "kind"), with_all(variants(), KINDS))
def test_targets_that_go_back_together_have_the_rows_of_each_alone(structure, kind, monkeypatch):
    replacement = replacement_of(structure, kind, 7)
    together = cs.attribute(replacement, IDS)
    monkeypatch.setattr(Compute, "rows_at_once", lambda *_: 1)
    alone = cs.attribute(replacement, IDS)
    assert_same_rows(together, alone)


@pytest.mark.parametrize(("structure", "kind"), with_all(variants(), KINDS))
@pytest.mark.parametrize("budget", [None, 40])
def test_tokens_carried_up_and_targets_carried_down_give_the_same(
    structure, kind, budget, monkeypatch
):
    replacement = replacement_of(structure, kind, 4)
    up = cs.attribute(replacement, IDS, max_feature_nodes=budget)
    monkeypatch.setattr(sources, "MOST_TOKEN_BYTES", 0)
    down = cs.attribute(replacement, IDS, max_feature_nodes=budget)
    assert_same_rows(up, down)


@pytest.mark.parametrize(("structure", "kind"), with_all(variants(), KINDS))
def test_a_budget_adds_the_other_features_up_at_each_layer_and_position(structure, kind):
    replacement = replacement_of(structure, kind, 4)
    whole = cs.attribute(replacement, IDS)
    part = cs.attribute(replacement, IDS, max_feature_nodes=40)
    kept = torch.tensor([whole.index_of_feature(*row) for row in part.features.tolist()])
    others = torch.ones(whole.n_features, dtype=torch.bool)
    others[kept] = False
    layers, positions, _ = whole.features[others].T
    rows = whole.adjacency[torch.cat([kept, whole.every_node[whole.logit_nodes]])]
    expected = torch.zeros(len(rows), whole.n_errors)
    left_out = rows[:, : whole.n_features][:, others]
    expected.index_add_(1, layers * whole.n_pos + positions, left_out)
    largest = whole.adjacency.abs().max()
    assert float((part.rest - expected).abs().max()) < 1e-5 * float(largest)


def assert_same_rows(ours, theirs):
    assert torch.equal(ours.features, theirs.features)
    largest = theirs.adjacency.abs().amax(dim=1, keepdim=True).clamp(min=1e-30)
    assert float(((ours.adjacency - theirs.adjacency) / largest).abs().max()) < 1e-5
    assert torch.allclose(ours.bias, theirs.bias, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("structure", "kind"), with_all(variants(), KINDS))
def test_the_effects_that_choose_nodes_are_those_over_all_paths(structure, kind):
    replacement = replacement_of(structure, kind, 4)
    clean, config = run_prompt(replacement, IDS), cs.AttributionConfig()
    graph = cs.attribute(clean, IDS)
    chosen = select_targets(clean, graph.logit_token_ids.tolist(), config)
    ((_, reads),) = reads_of(chosen)
    found = total_feature_effects(clean, reads)
    expected = total_effects(graph, graph.adjacency[graph.logit_nodes])[:, : graph.n_features]
    largest = float(expected.abs().max())
    assert float((found.T - expected).abs().max()) < 1e-4 * largest
    scores = score_features(clean, chosen, find_alternatives(clean, chosen))
    (outcomes,) = outcomes_of(graph)
    totals = total_effects(graph, outcomes.rows)[:, : graph.n_features]
    squares = (outcomes.weights @ totals.square()).sqrt()
    assert float((scores - squares).abs().max()) < 1e-4 * float(squares.max())


@pytest.mark.parametrize("other_neurons", ["folded", "nodes"])
@pytest.mark.parametrize("structure", variants(), ids=str)
def test_graphs_of_neurons_are_exact_whatever_the_structure(structure, other_neurons):
    bundle = cs.make_bundle(AnyModel(structure))
    config = cs.AttributionConfig(max_feature_nodes=30, other_neurons=other_neurons)
    *_, graph = cs.attribution_steps(bundle, IDS, config)
    clean, _ = pass_of(bundle, graph)
    rows = graph.target_nodes
    got = graph.adjacency[rows].double().sum(1) + graph.bias[rows]
    largest = graph.adjacency[rows].abs().max()
    assert float((got - graph.pre_activations[rows]).abs().max()) < 1e-5 * float(largest)
    layers, positions, numbers = graph.features.T
    for node in [0, 11, 29, graph.index_of_token(2)]:
        result = cs.intervene(clean, IDS, cs.change_nodes(graph, [node]), mode="direct")
        lost = result.pre_activations_before - result.pre_activations_after
        column = graph.adjacency[: graph.n_features, node].double()
        gap = (lost[layers, positions, numbers] - column).abs().max()
        assert float(gap) < 1e-5 * float(largest)
