"""Edges against a dense autograd Jacobian, against measured interventions, and against sums."""

import itertools

import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitscope_core import (
    AttributionConfig,
    AttributionPlan,
    AttributionProgress,
    Direction,
    FeatureTarget,
    GraphError,
    Intervention,
    PromptError,
    TokenDifference,
    attribute,
    attribution_steps,
    intervene,
)
from circuitscope_core.attribution.plan import check_memory, plan_attribution
from circuitscope_core.language_model import Compute
from circuitscope_core.prompt_pass import run_prompt
from circuitscope_core.transformer import Transformer
from tests.samples import PROMPT, silence, tiny_replacement

KINDS = [
    {"model": {"positions": positions, "normalization": norm, "causal": causal}}
    | {"transcoder": {"read_point": read_point}}
    for positions, norm, causal, read_point in itertools.product(
        ("rotary", "learned"),
        ("LN", None),
        (True, False),
        ("in", "mid", "unit", "pre"),
    )
] + [
    {"model": {"positions": "learned", "causal": causal}}
    | {"transcoder": {"read_point": read_point, "cross_layer": cross, "skip_connection": True}}
    for causal, cross, read_point in itertools.product(
        (True, False), (True, False), ("in", "mid", "unit", "pre")
    )
]
KINDS += [
    {"transcoder": {"activation": activation, "k": 4, "read_point": read_point}}
    for activation, read_point in itertools.product(("topk", "topk_relu"), ("in", "pre"))
]


def assert_rows_add_up(graph):
    got = graph.adjacency.sum(1) + graph.bias
    for nodes in (graph.feature_nodes, graph.logit_nodes):
        torch.testing.assert_close(got[nodes], graph.pre_activations[nodes], rtol=1e-4, atol=1e-5)
    for nodes in (graph.error_nodes, graph.token_nodes):
        assert graph.adjacency[nodes].count_nonzero() == 0


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_row_and_its_bias_add_up_to_the_pre_activation(kind):
    graph = attribute(tiny_replacement(n_layers=3, **kind), PROMPT)
    assert graph.n_features > 20
    assert_rows_add_up(graph)


@pytest.mark.parametrize("activation", ["gelu_new", "relu"])
def test_rows_add_up_for_tied_embeddings_and_other_activations(activation):
    model = {"tied_embeddings": True, "activation": activation}
    assert_rows_add_up(attribute(tiny_replacement(model=model), PROMPT))


@pytest.mark.parametrize("model", [{}, {"normalization": None, "positions": "learned"}], ids=str)
@pytest.mark.parametrize("transcoder", [{}, {"read_point": "pre"}, {"skip_connection": True}])
def test_rows_add_up_where_there_is_one_layer(model, transcoder):
    """Tokens then reach the output through the heads of the layer that they enter."""
    parts = {"model": model, "transcoder": transcoder}
    graph = attribute(tiny_replacement(n_layers=1, threshold=0.1, **parts), PROMPT)
    assert_rows_add_up(graph)
    tokens = graph.adjacency[graph.logit_nodes, graph.token_nodes]
    assert (tokens.abs() > 1e-4).all()


def test_rows_add_up_for_per_layer_transcoders():
    replacement = tiny_replacement(n_layers=3, transcoder={"cross_layer": False})
    graph = attribute(replacement, PROMPT)
    assert_rows_add_up(graph)
    layer_0 = graph.features[:, 0] == 0
    layer_2 = graph.features[:, 0] == 2
    # what reaches layer 2 from layer 0 went through layer 0's output alone
    assert graph.adjacency[: graph.n_features][layer_2][:, : graph.n_features][:, layer_0].any()


@pytest.mark.parametrize("kind", KINDS[::5], ids=str)
def test_edges_equal_a_dense_autograd_jacobian_of_the_frozen_model(kind):
    replacement = tiny_replacement(**kind)
    graph = attribute(replacement, PROMPT)
    expected = dense_reference(replacement, graph)
    torch.testing.assert_close(graph.adjacency, expected, rtol=1e-4, atol=1e-5)


def dense_reference(replacement, graph):
    """Every edge through autograd on the model with patterns and norms frozen: slow and plain."""
    model, transcoder = replacement.model, replacement.transcoder
    tokens = graph.token_ids[None]
    clean = model.record(tokens)
    outputs = torch.stack([site.mlp_out for site in clean.sites]).requires_grad_()
    embedding = model.embed.W_E[graph.token_ids].clone().requires_grad_()
    targets = frozen_targets(replacement, graph, clean, outputs, embedding)
    adjacency = torch.zeros(graph.n_nodes, graph.n_nodes)
    nodes = [*range(graph.n_features), *range(graph.n_nodes - graph.n_logits, graph.n_nodes)]
    for row, target in zip(nodes, targets, strict=True):
        by_output, by_embedding = torch.autograd.grad(
            target, (outputs, embedding), retain_graph=True, allow_unused=True
        )
        if by_output is None:
            by_output = torch.zeros_like(outputs)
        for column, (layer, position, feature) in enumerate(graph.features.tolist()):
            vectors = transcoder.decoder_vectors(layer, torch.tensor([feature]))[0]
            effect = (by_output[:, 0, position] * vectors).sum()
            adjacency[row, column] = effect * graph.activations[column]
        errors = (by_output[:, 0] * graph.error_vectors).sum(-1)
        adjacency[row, graph.error_nodes] = errors.flatten()
        adjacency[row, graph.token_nodes] = (by_embedding * model.embed.W_E[graph.token_ids]).sum(
            -1
        )
    return adjacency


def frozen_targets(replacement, graph, clean, outputs, embedding):
    """Pre-activations and demeaned logits as functions of MLP outputs and embeddings."""
    model, transcoder = replacement.model, replacement.transcoder
    shift = (embedding - embedding.detach())[None]
    read_point = transcoder.config.read_point

    def replace_mlp(call):
        skipped = transcoder.skip(call.layer, call.read(read_point))
        return outputs[call.layer] + skipped - skipped.detach()

    tokens = graph.token_ids[None]
    record = model.record(tokens, edit_mlp=replace_mlp, embed_change=shift, clean=clean)
    for layer, position, feature in graph.features.tolist():
        read = record.sites[layer].read(read_point)[0, position]
        yield transcoder.pre_activations(layer, read)[feature]
    logits = record.logits[0, -1]
    for token in graph.logit_token_ids.tolist():
        yield logits[token] - logits.mean()


def assert_columns_are_measured(replacement, graph, prompt, columns):
    """Switch features off, all else frozen: every node must lose what its column says."""
    layers, positions, numbers = graph.features.T
    for column in columns:
        layer, position, feature = graph.features[column].tolist()
        result = intervene(replacement, prompt, [Intervention(layer, position, feature, 0.0)])
        moved = result.pre_activations_before - result.pre_activations_after
        expected = graph.adjacency[: graph.n_features, column]
        torch.testing.assert_close(
            moved[layers, positions, numbers], expected, rtol=1e-4, atol=2e-5
        )
        drop = (result.logits_before - result.logits_after)[-1]
        drop = (drop - drop.mean())[graph.logit_token_ids]
        torch.testing.assert_close(
            drop, graph.adjacency[graph.logit_nodes, column], rtol=1e-4, atol=2e-5
        )


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_an_ablation_moves_every_node_by_exactly_its_column(kind):
    replacement = tiny_replacement(n_layers=3, **kind)
    graph = attribute(replacement, PROMPT)
    assert_columns_are_measured(replacement, graph, PROMPT, range(0, graph.n_features, 6))


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    prompt=st.sampled_from(["N", "ab", PROMPT, "é€\n"]),
    silent=st.sampled_from(["nothing", "layer 0", "layer 1", "layer 2", "all", "last token"]),
    threshold=st.sampled_from([1e-6, 0.4, 1.0]),
)
def test_rows_add_up_whatever_is_silent(seed, prompt, silent, threshold):
    replacement = tiny_replacement(seed, n_layers=3, threshold=threshold)
    if silent == "last token":
        silence(replacement, last_position_of=prompt)
    elif silent == "all":
        silence(replacement)
    elif silent.startswith("layer"):
        silence(replacement, layer=int(silent[-1]))
    graph = attribute(replacement, prompt)
    assert_rows_add_up(graph)
    if silent == "all":
        assert graph.n_features == 0
    if silent == "last token":
        assert not (graph.features[:, 1] == graph.n_pos - 1).any()
    if silent.startswith("layer"):
        assert not (graph.features[:, 0] == int(silent[-1])).any()
    some = range(0, graph.n_features, max(1, graph.n_features // 3))
    assert_columns_are_measured(replacement, graph, prompt, some)


def test_a_lone_separator_has_a_graph_of_token_and_logits():
    graph = attribute(tiny_replacement(), [256])
    assert graph.n_features == 0
    assert graph.n_pos == 1
    assert graph.error_vectors.count_nonzero() == 0
    assert_rows_add_up(graph)


def test_all_features_active_still_add_up():
    replacement = tiny_replacement(n_layers=3, threshold=1e-9)
    replacement.transcoder.b_enc.fill_(30.0)
    graph = attribute(replacement, PROMPT)
    assert graph.n_features == 3 * 12 * len(PROMPT)
    got = graph.adjacency.double().sum(1) + graph.bias
    assert ((got - graph.pre_activations)[graph.feature_nodes].abs() < 1e-4 * 30).all()


def test_position_0_is_no_node_but_a_constant():
    graph = attribute(tiny_replacement(), PROMPT)
    assert (graph.features[:, 1] > 0).all()
    assert graph.error_vectors[:, 0].count_nonzero() == 0
    assert graph.error_vectors[:, 1:].count_nonzero() > 0
    assert graph.adjacency[:, graph.index_of_token(0)].count_nonzero() > 0


def test_reconstruction_and_error_make_the_mlp_output():
    replacement = tiny_replacement()
    clean = run_prompt(replacement, PROMPT)
    acts = torch.zeros(2, len(PROMPT) + 1, 12)
    acts[tuple(clean.features.T)] = clean.activations
    outputs = replacement.transcoder.decode(acts) + clean.error_vectors
    token_ids = torch.tensor([[256, *PROMPT.encode()]])
    sites = replacement.model.record(token_ids).sites
    expected = torch.stack([site.mlp_out[0] for site in sites])
    torch.testing.assert_close(outputs[:, 1:], expected[:, 1:])


def test_a_difference_is_the_row_of_one_token_minus_the_other():
    replacement = tiny_replacement()
    both = attribute(replacement, PROMPT, targets=["D", "G"])
    rows = both.adjacency[both.logit_nodes]
    order = both.logit_texts.index("D"), both.logit_texts.index("G")
    contrast = attribute(replacement, PROMPT, targets=[TokenDifference("D", "G")])
    expected = (rows[order[0]] - rows[order[1]])[: -both.n_logits]
    torch.testing.assert_close(contrast.adjacency[-1, :-1], expected, rtol=1e-4, atol=1e-6)
    assert_rows_add_up(contrast)


def test_logits_are_ordered_by_probability_and_reach_the_share_asked_for():
    graph = attribute(tiny_replacement(), PROMPT, max_logits=300, logit_probability=0.5)
    probabilities = graph.logit_probabilities
    assert (probabilities.diff() <= 0).all()
    assert probabilities.sum() >= 0.5
    assert probabilities[:-1].sum() < 0.5


@pytest.mark.parametrize("budget", [None, 7])
def test_the_steps_state_the_size_first_and_count_every_row(budget):
    replacement = tiny_replacement(n_layers=3, threshold=0.2)
    config = AttributionConfig(max_feature_nodes=budget)
    *events, graph = attribution_steps(replacement, PROMPT, config)
    plan = next(event for event in events if isinstance(event, AttributionPlan))
    assert (plan.n_active, plan.n_rows) == (graph.n_active_features, graph.n_features)
    assert plan.n_nodes == graph.n_nodes
    assert plan.n_bytes >= 4 * int((graph.adjacency != 0).sum())
    counted = [e.done for e in events if isinstance(e, AttributionProgress) and e.total]
    assert counted == sorted(counted)
    assert counted[0] == 0
    assert counted[-1] == graph.n_features


def test_a_graph_that_does_not_fit_is_refused_before_it_is_begun(monkeypatch):
    memory = psutil.virtual_memory()._replace(available=5000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    steps = attribution_steps(tiny_replacement(), PROMPT, AttributionConfig())
    assert next(steps) == AttributionProgress("Encode the features")
    with pytest.raises(GraphError, match=r"needs about .* GB .* keep fewer than \d+ features"):
        next(steps)


def test_a_prompt_whose_patterns_do_not_fit_is_refused_before_the_model_runs(monkeypatch):
    monkeypatch.setattr(Compute, "device_free_bytes", lambda _: 10)
    monkeypatch.setattr(Transformer, "record", lambda *_: pytest.fail("the model ran"))
    with pytest.raises(PromptError, match=r"patterns of 12 tokens take .* Give a shorter prompt"):
        run_prompt(tiny_replacement(), PROMPT)


def test_memory_of_a_card_and_of_the_host_are_asked_apart(monkeypatch):
    clean = run_prompt(tiny_replacement(n_layers=3), PROMPT)
    plan = plan_attribution(clean, len(clean.features), 5)
    graph = plan.n_bytes - plan.working_bytes
    assert 0 < plan.working_bytes < plan.n_bytes

    free = {"host": graph, "card": plan.working_bytes}
    monkeypatch.setattr(Compute, "free_bytes", lambda _: free["host"])
    monkeypatch.setattr(Compute, "device_free_bytes", lambda _: free["card"])
    compute = Compute(torch.device("cuda", 0), torch.float32)
    check_memory(plan, compute)
    free["card"] -= 1
    with pytest.raises(GraphError, match=r"GB of memory of cuda:0; .* Give a shorter prompt"):
        check_memory(plan, compute)
    free["host"] -= 1
    with pytest.raises(GraphError, match=r"GB of memory; "):
        check_memory(plan, compute)


def test_asking_for_steps_leaves_gradients_as_they_are():
    for _ in attribution_steps(tiny_replacement(), PROMPT, AttributionConfig()):
        assert torch.is_grad_enabled()


@pytest.mark.parametrize("budget", [0, 1, 7, 10_000])
def test_a_budget_keeps_that_many_features_and_rows_that_add_up(budget):
    replacement = tiny_replacement(n_layers=3)
    whole = attribute(replacement, PROMPT)
    graph = attribute(replacement, PROMPT, max_feature_nodes=budget)
    assert graph.n_features == min(budget, whole.n_features)
    assert graph.n_active_features == whole.n_features
    assert_rows_add_up(graph)
    kept = [whole.index_of_feature(*place) for place in graph.features.tolist()]
    assert kept == sorted(kept)
    columns = [*kept, *range(whole.n_features, whole.n_nodes)]
    torch.testing.assert_close(graph.adjacency, whole.adjacency[columns][:, columns])


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "prompt is empty"),
        ([], "no token ids"),
        ("x" * 32, "has 33 tokens .* at most 32. Shorten it by 1"),
        ([257], "257 is outside the vocabulary"),
    ],
)
def test_a_wrong_prompt_says_what_to_do(prompt, message):
    with pytest.raises(PromptError, match=message):
        attribute(tiny_replacement(), prompt)


def test_a_feature_as_target_is_its_own_row():
    replacement = tiny_replacement(n_layers=3)
    plain = attribute(replacement, PROMPT)
    node = next(i for i, row in enumerate(plain.features.tolist()) if row[0] == 2 and row[1] == 6)
    layer, position, feature = plain.features[node].tolist()
    graph = attribute(replacement, PROMPT, targets=[FeatureTarget(layer, position, feature)])
    assert_rows_add_up(graph)
    row = graph.adjacency[graph.logit_nodes][0]
    torch.testing.assert_close(row[: plain.n_features], plain.adjacency[node, : plain.n_features])
    assert graph.node(graph.n_nodes - 1).position == position
    assert graph.node_positions[-1] == position
    assert graph.logit_token_ids.tolist() == [-1]


def test_silent_features_and_directions_are_targets_too():
    replacement = silence(tiny_replacement(n_layers=3), layer=2)
    vector = torch.linspace(-1, 1, 8)
    targets = [FeatureTarget(2, 5, 7), FeatureTarget(0, 1, 0), Direction(vector, "up"), "D"]
    graph = attribute(replacement, PROMPT, targets=targets)
    assert_rows_add_up(graph)
    assert graph.logit_texts[2:] == ("up", "D")
    record = replacement.model.record(graph.token_ids[None])
    read = replacement.model.ln_final(record.streams[-1][0, -1])
    torch.testing.assert_close(graph.pre_activations[-2], read @ vector)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (FeatureTarget(3, 5, 0), r"Target at layer 3; it must be from 0 to 2"),
        (FeatureTarget(0, 0, 0), r"Target at position 0; it must be from 1"),
        (FeatureTarget(0, 1, 12), r"Target at feature 12; it must be from 0 to 11"),
        (Direction(torch.zeros(3)), r"direction has shape \(3,\); give \(8,\)"),
    ],
)
def test_a_target_that_does_not_exist_says_what_would(target, message):
    with pytest.raises(GraphError, match=message):
        attribute(tiny_replacement(n_layers=3), PROMPT, targets=[target])
