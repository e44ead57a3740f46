"""The check at load: mistakes in the table of families are found, and named."""

from dataclasses import replace

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.pretrained import PretrainedModel, attention, check, families
from tests.pretrained_families import CONFIGURATIONS, random_module


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_family_passes(name):
    found = check.check_model(PretrainedModel(random_module(name, torch.float32)))
    assert found.largest < 1e-4


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_family_passes_in_16_bits(name):
    found = check.check_model(PretrainedModel(random_module(name, torch.bfloat16)))
    assert max(found.reads) < check.LARGEST_GAP_OF_HALF / 2


@torch.no_grad()
def test_pairs_of_layers_are_the_pass_and_start_from_the_models_own_stream():
    model = PretrainedModel(random_module("LLaMA-3", torch.float64))
    ids = model.tokens([1, 2, 3, 4])
    record, done = model.record(ids), model.mlp_pass(ids)
    made = check.layers_in_pairs(model, record, done)
    for one, other in zip(made, record.sites, strict=True):
        assert check.gap(one.mlp_in, other.mlp_in) < 1e-6
    moved = [replace(site, resid_pre=2 * site.resid_pre) for site in done.sites[:1]]
    moved = replace(done, sites=(*moved, *done.sites[1:]))
    gaps = [
        check.gap(one.mlp_in, other.mlp_in)
        for one, other in zip(check.layers_in_pairs(model, record, moved), made, strict=True)
    ]
    assert min(gaps[:2]) > 1e-3
    assert max(gaps[2:], default=0.0) < 1e-9


def model_with(monkeypatch, kind, dtype=torch.float32, **changes):
    """Return a model whose line in the table of families is wrong."""
    wrong = replace(families.FAMILIES[kind], **changes)
    monkeypatch.setitem(families.FAMILIES, kind, wrong)
    name = {"gemma2": "Gemma-2", "llama": "LLaMA-3", "gptj": "GPT-J", "phi": "Phi-2"}[kind]
    return PretrainedModel(random_module(name, dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("kind", "changes", "named"),
    [
        ("llama", {"split": families.separate(value="k_proj")}, "MLP in layer 0"),
        ("gptj", {"parallel": False}, "MLP in layer 0"),
        ("gemma2", {"attention_post_norm": None}, "MLP in layer 0"),
        ("gemma2", {"write_norm": None}, "MLP in layer 1"),
        ("phi", {"final_norm": "model.layers.0.input_layernorm"}, "logits"),
    ],
)
def test_a_wrong_line_of_the_table_is_found(monkeypatch, kind, changes, named, dtype):
    model = model_with(monkeypatch, kind, dtype, **changes)
    with pytest.raises(cs.ModelError, match=f"cannot be explained exactly.*{named}"):
        check.check_model(model)


def test_key_value_heads_in_another_order_are_found(monkeypatch):
    own = families.separate()

    def turned(attention, config):
        weights = own(attention, config)
        return replace(weights, W_V=weights.W_V.flip(0), b_V=weights.b_V.flip(0))

    model = model_with(monkeypatch, "llama", split=turned)
    with pytest.raises(cs.ModelError, match="cannot be explained exactly"):
        check.check_model(model)


def test_attention_that_sees_what_comes_later_is_found(monkeypatch):
    from transformers.masking_utils import AttentionMaskInterface

    model = PretrainedModel(random_module("Pythia"))
    # the name is known to attention and not to masks: then there is none, and no word of it
    monkeypatch.delitem(AttentionMaskInterface._global_mapping, attention.NAME)
    with pytest.raises(cs.ModelError, match="logits of the model while it is recorded"):
        check.check_model(model)


def test_positions_that_depend_on_tokens_are_found():
    model = PretrainedModel(random_module("GPT-2"))
    own = model._taps._around_embedding

    def half(run, call, number):
        out = own(run, call, number)
        run.embedded = run.embedded / 2
        return out

    embedding = model.module.get_input_embeddings()
    model._taps._tap(embedding, half)
    with pytest.raises(cs.ModelError, match="constant part of the first stream"):
        check.check_model(model)


def test_a_module_that_is_no_norm_is_refused(monkeypatch):
    module = random_module("LLaMA-2")
    monkeypatch.setattr(type(module.model.norm), "forward", lambda _, x: x.abs())
    with pytest.raises(cs.ModelError, match="neither a LayerNorm nor an RMSNorm"):
        PretrainedModel(module)


def test_a_model_in_memory_is_checked_when_a_bundle_is_made_of_it(monkeypatch):
    config = cs.TranscoderConfig(3, 48, d_transcoder=8, cross_layer=False)
    transcoder = cs.CrossLayerTranscoder(config)
    bundle = cs.make_bundle(PretrainedModel(random_module("LLaMA-3", torch.float32)), transcoder)
    assert bundle.feature_cards is None
    model = model_with(monkeypatch, "llama", split=families.separate(value="k_proj"))
    with pytest.raises(cs.ModelError, match="cannot be explained exactly"):
        cs.make_bundle(model, transcoder)


@torch.no_grad()
def test_the_first_pass_of_a_model_may_be_an_edited_one():
    model = PretrainedModel(random_module("GPT-OSS", torch.float32))
    ids = model.tokens([1, 5, 9])
    edited = model.mlp_pass(ids, lambda call: call.mlp_out())
    assert check.gap(edited.stream, model.mlp_pass(ids).stream) < 1e-5
