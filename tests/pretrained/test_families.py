"""Hugging Face models of every family: records are the pass, rows add up, edits are exact."""

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.config import TranscoderConfig
from circuitscope_core.language_model import LanguageModel
from circuitscope_core.pretrained import PretrainedModel
from circuitscope_core.prompt_pass import run_prompt
from circuitscope_core.transcoder import CrossLayerTranscoder
from tests.pretrained_families import CONFIGURATIONS, random_module, transformers, with_mask

IDS = [3, 7, 1, 30, 12, 5, 5, 21, 9, 64, 90, 2, 44, 17]
FLOAT32_NORM = 1e-5
"""Families like Llama compute norms in float32 even in a model in double precision."""
HIDE_QUERIES = {"falcon", "gptj"}
"""Families whose attention calls its own function; GPT-J only in older releases."""
KINDS = {
    "per-layer": {"cross_layer": False},
    "cross-layer": {"read_point": "mid"},
    "skip": {"cross_layer": False, "skip_connection": True},
    "unit": {"read_point": "unit", "cross_layer": False, "skip_connection": True},
    "pre": {"read_point": "pre", "skip_connection": True},
    "raw": {"write_point": "raw"},
}


def far(given, wanted):
    """Return the largest difference, as a share of the largest value."""
    return float((given - wanted).abs().max() / wanted.abs().max())


def replacement_of(model, kind):
    shape = model.shape
    config = TranscoderConfig(shape.n_layers, shape.d_model, d_transcoder=24, **KINDS[kind])
    torch.manual_seed(1)
    transcoder = CrossLayerTranscoder(config).double().requires_grad_(False)
    for parameter in transcoder.parameters():
        parameter.copy_(torch.randn(parameter.shape) * 0.2)
    transcoder.log_threshold.fill_(-3.0)
    return cs.ReplacementModel(model, transcoder)


@pytest.fixture(scope="module", params=CONFIGURATIONS)
def model(request):
    return PretrainedModel(random_module(request.param))


@pytest.fixture
def prompt(model):
    return with_mask(model, IDS)


@torch.no_grad()
def test_a_record_is_the_models_own_pass(model, prompt):
    ids = model.tokens(prompt)
    assert isinstance(model, LanguageModel)
    record, done = model.record(ids), model.mlp_pass(ids)
    for mine, theirs in zip(record.sites, done.sites, strict=True):
        assert far(mine.resid_mid, theirs.resid_mid) < FLOAT32_NORM
        assert far(mine.mlp_in, theirs.mlp_in) < FLOAT32_NORM
        assert far(mine.mlp_out, theirs.mlp_out) < FLOAT32_NORM
    logits = model(ids)
    cap = getattr(model.config, "final_logit_softcapping", None)
    given = record.logits if not cap else cap * torch.tanh(record.logits / cap)
    assert far(given, logits) < FLOAT32_NORM
    assert far(model.logits_after(done), record.logits) < FLOAT32_NORM


@pytest.mark.parametrize("kind", KINDS)
def test_rows_add_up_and_columns_are_interventions(model, prompt, kind):
    replacement = replacement_of(model, kind)
    clean = run_prompt(replacement, prompt)
    graph = cs.attribute(clean, prompt)
    assert graph.n_features > 50
    assert int(graph.features[:, 1].min()) == 1
    own = model(model.tokens(prompt))[0, clean.asked].detach().softmax(dim=0)[graph.logit_token_ids]
    assert far(graph.logit_probabilities, own) < FLOAT32_NORM
    rows = graph.target_nodes
    size = graph.adjacency[rows].abs().sum(1) + graph.bias[rows].abs()  # kept in float32
    got = graph.adjacency[rows].double().sum(1) + graph.bias[rows]
    assert float(((got - graph.pre_activations[rows]).abs() / size).max()) < 1e-6
    layers, positions, numbers = graph.features.T
    largest = float(graph.adjacency[rows].abs().max())
    for node in [
        *range(0, graph.n_features, 29),
        graph.index_of_token(2),
        graph.index_of_error(1, 4),
    ]:
        result = cs.intervene(clean, prompt, cs.change_nodes(graph, [node]), mode="direct")
        lost = result.pre_activations_before - result.pre_activations_after
        column = graph.adjacency[: graph.n_features, node].double()
        assert float((lost[layers, positions, numbers] - column).abs().max()) < 1e-5 * largest
        logits = (result.logits_before - result.logits_after)[clean.asked]
        expected = graph.adjacency[graph.logit_nodes, node].double()
        difference = logits[graph.logit_token_ids] - logits.mean() - expected
        assert float(difference.abs().max()) < 1e-5 * largest


@torch.no_grad()
def test_an_edit_of_nothing_changes_nothing_and_a_suffix_is_the_rest_of_a_pass(model, prompt):
    ids = model.tokens(prompt)
    clean = model.record(ids)
    same = model.record(ids, edit_mlp=lambda call: call.mlp_out())
    assert far(same.logits, clean.logits) < FLOAT32_NORM
    assert far(model.mlp_pass(ids, lambda call: call.mlp_out()).stream, clean.streams[-1]) < 1e-5
    change = torch.randn(1, len(IDS), model.shape.d_model, dtype=torch.float64)
    changed = model.record(ids, embed_change=change)
    moved = far(changed.logits, clean.logits)
    assert moved > 0.01
    start = 6
    late = torch.zeros_like(change)
    start = start if model.shape.causal else 0  # to both sides, all positions may change
    late[:, start:] = change[:, start:]
    for frozen in ("nothing", "patterns", "norms"):
        whole = model.record(ids, embed_change=late, clean=clean, frozen=frozen)
        for layer in range(model.shape.n_layers + 1):
            stream = whole.streams[layer][:, start:].expand(2, -1, -1)
            logits = model.run_suffix(clean, stream, layer, start, frozen=frozen)
            assert far(logits[1], whole.logits[0, model.shape.asked(ids[0])]) < FLOAT32_NORM, (
                frozen,
                layer,
            )


@torch.no_grad()
def test_a_suffix_hands_changed_positions_to_its_edit(model, prompt):
    ids, start = model.tokens(prompt), 6 if model.shape.causal else 0
    clean = model.record(ids)

    def double(call):
        return 2 * call.mlp_out()

    def double_late(call):
        out = call.mlp_out()
        out[:, start:] *= 2
        return out

    whole = model.record(ids, edit_mlp=double_late)
    stream = whole.streams[1][:, start:]
    logits = model.run_suffix(clean, stream, 1, start, edit_mlp=double)
    assert far(logits[0], whole.logits[0, model.shape.asked(ids[0])]) < FLOAT32_NORM


def test_a_family_that_is_not_in_the_table_is_refused_with_those_that_are():
    config = transformers.BloomConfig(vocab_size=97, hidden_size=48, n_layer=1, n_head=4)
    with pytest.raises(cs.ModelError, match=r"'bloom' cannot be opened.*falcon.*qwen3"):
        PretrainedModel(transformers.BloomForCausalLM(config))


@torch.no_grad()
def test_queries_and_keys_make_the_scores_behind_the_pattern(model, prompt):
    clean = model.record(model.tokens(prompt))
    if not model.shows_queries:
        assert model.config.model_type in HIDE_QUERIES
        with pytest.raises(cs.ModelError, match="does not show its queries"):
            model.head_reads(clean, 0, 0, 3, "query")
        return
    query, keys, layer, head = 9, (7, 8, 9), 1, 3
    stream = clean.streams[layer][0]

    def made(position, side):
        directions, biases = model.head_reads(clean, layer, head, position, side)
        return directions @ stream[position] + biases

    asked = made(query, "query")
    scores = torch.stack([asked @ made(key, "key") for key in keys]) / len(asked) ** 0.5
    cap = getattr(model.config, "attn_logit_softcapping", None)
    scores = scores if cap is None else cap * torch.tanh(scores / cap)
    logs = clean.layers[layer].pattern[0, head, query, list(keys)].log()
    assert far(scores - scores[0], logs - logs[0]) < 1e-4


def test_a_key_that_lies_in_the_query_is_split_exactly(model, prompt):
    if not model.shows_queries:
        return  # the test above holds that it says so
    clean = run_prompt(replacement_of(model, "per-layer"), prompt)
    graph = cs.attribute(clean, prompt)
    found = cs.explain_attention(clean, graph, (2, 1), 9, 8)
    asked, key = (
        directions @ clean.record.streams[2][0, position] + biases
        for position, (directions, biases) in (
            (position, model.head_reads(clean.record, 2, 1, position, side))
            for position, side in ((9, "query"), (8, "key"))
        )
    )
    wanted = float(asked @ key) / len(asked) ** 0.5
    assert found.score == pytest.approx(wanted, rel=1e-5, abs=1e-6)


def test_divergence_is_behind_the_soft_cap():
    from circuitscope_core.evals.faithfulness.measured_nodes import as_divergence
    from circuitscope_core.evals.faithfulness.traced import TracedPrompt

    model = PretrainedModel(random_module("Gemma-2"))
    clean = run_prompt(replacement_of(model, "per-layer"), IDS)
    graph = cs.attribute(clean, IDS, max_logits=97, logit_probability=1.0)
    traced = TracedPrompt(clean, graph, clean.replacement)
    losses = torch.randn(graph.n_logits, 3, dtype=torch.float64)
    before = model.shape.capped(clean.logits).log_softmax(0)
    moved = clean.logits.expand(3, -1).clone()
    moved[:, graph.logit_token_ids] -= losses.T
    after = model.shape.capped(moved).log_softmax(-1)
    wanted = (before.exp() * (before - after)).sum(-1) / torch.log(torch.tensor(2.0))
    assert torch.allclose(as_divergence(traced, losses), wanted.float(), rtol=1e-3, atol=1e-6)
