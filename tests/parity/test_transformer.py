"""The transformer against torch's own parts, and its three passes against each other."""

import math

import pytest
import torch
import torch.nn.functional as F

from circuitscope_core import BundleError, ModelConfig, Transformer
from tests.samples import tiny_model

TOKENS = torch.tensor([[256, 84, 104, 101, 32], [256, 40, 78, 41, 46]])
KINDS = [
    {},
    {"positions": "learned", "tied_embeddings": True},
    {"normalization": None},
    {"causal": False, "activation": "relu"},
    {"activation": "gelu_new"},
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_recorded_pass_gives_the_logits_of_the_fused_one(kind):
    model = tiny_model(**kind)
    torch.testing.assert_close(model.record(TOKENS).logits, model(TOKENS), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_pass_for_harvesting_sees_what_the_record_holds(kind):
    model = tiny_model(**kind)
    recorded = model.record(TOKENS).sites
    for fast, slow in zip(model.mlp_pass(TOKENS).sites, recorded, strict=True):
        for name in ("resid_mid", "mlp_in", "mlp_out"):
            torch.testing.assert_close(
                getattr(fast, name), getattr(slow, name), rtol=1e-5, atol=1e-5
            )


def test_attention_matches_torchs_own_multi_head_attention():
    model = tiny_model(positions="learned")
    attn = model.block(0).attn
    x = torch.randn(2, 5, 8)
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        weights = [w.permute(1, 0, 2).reshape(8, 8).T for w in (attn.W_Q, attn.W_K, attn.W_V)]
        theirs.in_proj_weight.copy_(torch.cat(weights))
        biases = [b.flatten() for b in (attn.b_Q, attn.b_K, attn.b_V)]
        theirs.in_proj_bias.copy_(torch.cat(biases))
        theirs.out_proj.weight.copy_(attn.W_O.reshape(8, 8).T)
        theirs.out_proj.bias.copy_(attn.b_O)
        future = torch.ones(5, 5, dtype=torch.bool).triu(1)
        expected, patterns = theirs(x, x, x, attn_mask=future, average_attn_weights=False)
        torch.testing.assert_close(attn(x), expected)
        torch.testing.assert_close(attn.pattern(x), patterns)


def test_rotary_scores_depend_on_the_distance_alone():
    attn = tiny_model().block(0).attn
    x = torch.randn(1, 1, 8).expand(1, 12, 8)
    query, key = attn.queries_and_keys(x)
    scores = (query @ key.transpose(-1, -2))[0, 0]
    for distance in range(1, 6):
        diagonal = scores.diagonal(-distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal))
    assert scores.diagonal(-1)[0] != scores.diagonal(-5)[0]


def test_positions_do_not_see_their_future():
    model = tiny_model()
    changed = TOKENS.clone()
    changed[:, 3:] = 99
    torch.testing.assert_close(model(TOKENS)[:, :3], model(changed)[:, :3])


def test_the_fused_norm_is_centre_scale_gain():
    norm = tiny_model().block(1).ln2
    x = torch.randn(3, 4, 8)
    slow = norm.measure(x).apply(x)
    torch.testing.assert_close(norm(x), slow)
    torch.testing.assert_close(norm(x), F.layer_norm(x, (8,), norm.w, norm.b, 1e-5))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (ModelConfig(), 385_056),
        (ModelConfig(positions="learned", tied_embeddings=True), 384_960),
    ],
    ids=["rotary, untied", "learned, tied"],
)
def test_the_default_sizes_have_the_documented_number_of_parameters(config, expected):
    counted = sum(weight.numel() for weight in Transformer(config).parameters())
    assert counted == config.count_parameters() == expected


def test_a_new_model_predicts_from_the_embedding_alone():
    model = Transformer(ModelConfig())
    record = model.record(TOKENS)
    torch.testing.assert_close(record.streams[-1], model.embed_tokens(TOKENS))
    loss = F.cross_entropy(model(TOKENS).flatten(0, 1), TOKENS.flatten())
    assert abs(loss.item() - math.log(257)) < 1.0


def test_a_transformer_lens_state_dict_round_trips():
    model = tiny_model(positions="learned")
    state = dict(model.state_dict())
    state["blocks.0.attn.mask"] = torch.ones(32, 32).tril().bool()
    state["blocks.0.attn.IGNORE"] = torch.tensor(-1e5)
    state.pop("unembed.b_U")
    again = Transformer.from_transformer_lens(state, model.config)
    with torch.no_grad():
        model.unembed.b_U.zero_()
    assert torch.equal(again(TOKENS), model(TOKENS))


def test_a_wrong_state_dict_names_the_weight():
    model = tiny_model()
    state = dict(model.state_dict())
    missing = {name: value for name, value in state.items() if name != "embed.W_E"}
    with pytest.raises(BundleError, match=r"embed\.W_E is missing"):
        Transformer.from_transformer_lens(missing, model.config)
    with pytest.raises(BundleError, match=r"blocks\.9\.ln1\.w is unknown"):
        Transformer.from_transformer_lens(
            state | {"blocks.9.ln1.w": state["ln_final.w"]}, model.config
        )
    with pytest.raises(BundleError, match=r"ln_final\.w has shape \(3,\).*needs \(8,\)"):
        Transformer.from_transformer_lens(state | {"ln_final.w": torch.ones(3)}, model.config)
