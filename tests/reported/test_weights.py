"""Weights, state dicts and configurations: what they hold is done, or refused by name."""

import math
import shutil
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import circuitscope_core as cs
from circuitscope_core.transformer.components import rotary_tables
from tests.samples import PROMPT, tiny_model, tiny_replacement, tiny_transcoder
from tests.unit.test_bundle import make_bundle

TOKENS = torch.tensor([[256, 84, 104, 101, 32, 78]])


def lens_config(model, **changes):
    """A model's configuration as TransformerLens has it, with some of its other fields."""
    ours = model.config
    fields = {name: getattr(ours, name) for name in ("n_layers", "d_model", "n_heads", "d_head")}
    fields |= {name: getattr(ours, name) for name in ("d_mlp", "n_ctx", "d_vocab")}
    rotary = ours.positions == "rotary"
    fields |= {
        "act_fn": ours.activation,
        "eps": ours.ln_eps,
        "normalization_type": ours.normalization,
        "positional_embedding_type": "rotary" if rotary else "standard",
        "attention_dir": "causal" if ours.causal else "bidirectional",
        "rotary_base": ours.rotary_base,
        "rotary_dim": ours.d_head if rotary else None,
        "attn_scale": np.sqrt(ours.d_head),
        "d_vocab_out": ours.d_vocab,
        "model_name": "custom",
        "dtype": torch.float32,
        "gated_mlp": False,
        "n_key_value_heads": None,
        "attn_scores_soft_cap": -1.0,
        "window_size": 256,
        "use_local_attn": False,
        "rotary_adjacent_pairs": not rotary,
        "n_params": 1234,
    }
    return SimpleNamespace(**(fields | changes))


def lens_state(model):
    """A state dict with the masks and tables that TransformerLens keeps in it."""
    state, n_ctx = dict(model.state_dict()), model.config.n_ctx
    for layer in range(model.config.n_layers):
        place = f"blocks.{layer}.attn"
        state[f"{place}.mask"] = torch.ones(n_ctx, n_ctx, dtype=torch.bool).tril()
        state[f"{place}.IGNORE"] = torch.tensor(-math.inf)
        if model.config.positions == "rotary":
            cos, sin = rotary_tables(model.config)
            state |= {f"{place}.rotary_cos": cos, f"{place}.rotary_sin": sin}
    return state


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"positions": "learned", "activation": "relu"},
        {"causal": False},
        {"normalization": None},
    ],
    ids=str,
)
def test_a_configuration_of_transformer_lens_is_taken(kind):
    model = tiny_model(**{"rotary_base": 10_000.0} | kind)
    for config in (lens_config(model), vars(lens_config(model)), model.config):
        again = cs.Transformer.from_transformer_lens(lens_state(model), config)
        assert torch.equal(again(TOKENS), model(TOKENS))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("parallel_attn_mlp", True),
        ("attn_only", True),
        ("gated_mlp", True),
        ("use_attn_scale", False),
        ("attn_scale", 16.0),
        ("attn_scores_soft_cap", 50.0),
        ("output_logits_soft_cap", 30.0),
        ("act_fn", "solu_ln"),
        ("act_fn", "silu"),
        ("normalization_type", "RMS"),
        ("normalization_type", "RMSPre"),
        ("positional_embedding_type", "shortformer"),
        ("positional_embedding_type", "alibi"),
        ("rotary_dim", 2),
        ("rotary_adjacent_pairs", True),
        ("use_NTK_by_parts_rope", True),
        ("use_local_attn", True),
        ("n_key_value_heads", 1),
        ("scale_attn_by_inverse_layer_idx", True),
        ("use_normalization_before_and_after", True),
        ("use_qk_norm", True),
        ("num_experts", 4),
        ("final_rms", True),
        ("post_embedding_ln", True),
        ("d_vocab_out", 100),
        ("a_field_of_tomorrow", True),
        ("d_mlp", None),
    ],
)
def test_a_configuration_that_asks_for_more_is_refused(field, value):
    model = tiny_model()
    with pytest.raises(cs.ConfigError, match=field):
        cs.Transformer.from_transformer_lens(
            lens_state(model), lens_config(model, **{field: value})
        )


def adjacent(table):
    """A table in which neighbouring coordinates turn together, as in GPT-J."""
    half = table.shape[1] // 2
    return table[:, :half].repeat_interleave(2, dim=1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda cos: cos[:, :2], "has the shape"),
        (adjacent, "adjacent pairs"),
        (lambda cos: cos[:16], "has the shape"),
    ],
    ids=["a part of the head", "adjacent pairs", "fewer positions"],
)
def test_a_rotary_table_of_another_kind_is_refused(change, said):
    model, state = tiny_model(), lens_state(tiny_model())
    state["blocks.1.attn.rotary_cos"] = change(state["blocks.1.attn.rotary_cos"])
    with pytest.raises(cs.BundleError, match=said):
        cs.Transformer.from_transformer_lens(state, model.config)


def test_a_rotary_base_that_is_not_the_configurations_is_refused():
    model = tiny_model(rotary_base=10_000.0)
    with pytest.raises(cs.BundleError, match="usual base is 10000"):
        cs.Transformer.from_transformer_lens(
            lens_state(model), replace(model.config, rotary_base=1000.0)
        )
    with pytest.raises(cs.BundleError, match="set positions='rotary'"):
        cs.Transformer.from_transformer_lens(
            lens_state(model), replace(model.config, positions="learned")
        )


def test_tables_of_half_precision_are_the_same_tables():
    model, state = tiny_model(n_ctx=300), lens_state(tiny_model(n_ctx=300))
    for name in [name for name in state if "rotary" in name]:
        state[name] = state[name].bfloat16()
    again = cs.Transformer.from_transformer_lens(state, model.config)
    assert torch.equal(again(TOKENS), model(TOKENS))


def test_local_attention_is_seen_in_the_mask():
    model, state = tiny_model(), lens_state(tiny_model())
    state["blocks.1.attn.mask"] = state["blocks.1.attn.mask"].triu(-3)
    with pytest.raises(cs.BundleError, match=r"blocks\.1\.attn\.mask.*local attention"):
        cs.Transformer.from_transformer_lens(state, model.config)


def test_folded_norms_are_gains_of_1():
    model = tiny_model()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if ".ln" in name or name.startswith("ln_final"):
                value.fill_(float(name.endswith("w")))
    state = {name: value for name, value in lens_state(model).items() if "ln" not in name}
    for config in (model.config, lens_config(model, normalization_type="LNPre")):
        again = cs.Transformer.from_transformer_lens(state, config)
        assert torch.equal(again(TOKENS), model(TOKENS))
    state["blocks.0.ln1.w"] = torch.ones(8)
    with pytest.raises(cs.BundleError, match="RMSNorm is not supported"):
        cs.Transformer.from_transformer_lens(state, model.config)


def test_the_names_of_a_bridge_are_told_from_a_hooked_transformers():
    state = lens_state(tiny_model()) | {"blocks.0.attn.q.weight": torch.zeros(8, 8)}
    with pytest.raises(cs.BundleError, match="TransformerBridge"):
        cs.Transformer.from_transformer_lens(state, tiny_model().config)


def test_arrays_are_weights_and_integers_are_not():
    model = tiny_model()
    arrays = {name: value.numpy() for name, value in model.state_dict().items()}
    assert torch.equal(
        cs.Transformer.from_transformer_lens(arrays, model.config)(TOKENS), model(TOKENS)
    )
    for wrong, said in (
        (torch.zeros(257, 8, dtype=torch.int8), "quantised"),
        ([[0.0] * 8] * 257, "is a list"),
        (torch.full((257, 8), math.nan), r"2,056 numbers that are not\s+finite"),
        (torch.full((257, 8), math.inf), "not finite"),
    ):
        with pytest.raises(cs.BundleError, match=said):
            cs.Transformer.from_transformer_lens(arrays | {"embed.W_E": wrong}, model.config)


def test_tied_weights_are_compared_as_precisely_as_they_are():
    model = tiny_model(tied_embeddings=True)
    state = dict(model.state_dict())
    rough = {"unembed.W_U": state["embed.W_E"].T.bfloat16()}
    assert torch.equal(
        cs.Transformer.from_transformer_lens(state | rough, model.config)(TOKENS), model(TOKENS)
    )
    with pytest.raises(cs.BundleError, match="tied_embeddings=False"):
        cs.Transformer.from_transformer_lens(
            state | {"unembed.W_U": -state["embed.W_E"].T}, model.config
        )
    lacking = {name: value for name, value in (state | rough).items() if name != "embed.W_E"}
    with pytest.raises(cs.BundleError, match=r"embed\.W_E is missing"):
        cs.Transformer.from_transformer_lens(lacking, model.config)


@pytest.fixture
def folder(tmp_path):
    cs.save_transcoder(tiny_transcoder(cross_layer=False), tmp_path)
    return tmp_path


def rewrite(path, **changes):
    weights = load_file(path)
    save_file(weights | changes, path)


@pytest.mark.parametrize("name", ["W_enc", "b_enc", "W_dec", "b_dec"])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_transcoder_with_numbers_that_are_not_finite_is_refused(folder, name, number):
    weights = load_file(folder / "layer_1.safetensors")
    weights[name].view(-1)[3] = number
    save_file(weights, folder / "layer_1.safetensors")
    with pytest.raises(cs.BundleError, match="not finite"):
        cs.load_transcoder(folder)


def test_decoders_on_disk_that_are_not_finite_are_refused_when_they_are_used(folder):
    weights = load_file(folder / "layer_1.safetensors")
    rewrite(folder / "layer_1.safetensors", W_dec=torch.full_like(weights["W_dec"], math.nan))
    transcoder = cs.load_transcoder(folder, lazy_decoders=True)
    replacement = cs.ReplacementModel(tiny_model(), transcoder, cs.ByteTokenizer())
    with pytest.raises(cs.BundleError, match="not finite"):
        cs.attribute(replacement, PROMPT)


def test_a_threshold_that_is_no_number_is_refused(folder):
    threshold = torch.full((12,), math.nan)
    rewrite(folder / "layer_0.safetensors", **{"activation_function.threshold": threshold})
    with pytest.raises(cs.BundleError, match="threshold"):
        cs.load_transcoder(folder)


def test_k_beside_the_weights_is_refused_without_the_setting_and_done_with_it(folder):
    for layer in range(2):
        weights = load_file(folder / f"layer_{layer}.safetensors")
        weights.pop("activation_function.threshold")
        save_file(weights | {"k": torch.tensor(2)}, folder / f"layer_{layer}.safetensors")
    with pytest.raises(cs.BundleError, match="has k = 2"):
        cs.load_transcoder(folder)
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(settings | {"activation": "topk", "k": 2}))
    read = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    assert (cs.load_transcoder(folder).encode(0, read) != 0).sum(1).tolist() == [2] * 20


def test_a_skip_of_a_later_layer_alone_is_kept(folder):
    skip = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    rewrite(folder / "layer_1.safetensors", W_skip=skip)
    transcoder, read = cs.load_transcoder(folder), torch.eye(8)
    torch.testing.assert_close(transcoder.skip(1, read), read @ skip.T)
    assert not transcoder.skip(0, read).any()


def test_both_layouts_in_one_folder_are_refused(folder, tmp_path):
    cs.save_transcoder(tiny_transcoder(), tmp_path / "cross_layer")
    for path in (tmp_path / "cross_layer").glob("*.safetensors"):
        shutil.copy(path, folder)
    with pytest.raises(cs.BundleError, match="move one of them"):
        cs.load_transcoder(folder)


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16"])
def test_settings_from_any_editor_are_read(folder, mark):
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_bytes(text.replace("\n", "\r\n").encode(mark))
    assert cs.load_transcoder(folder).config.n_layers == 2


@pytest.mark.parametrize(
    "again", ["read_point: in", "tags: {a: 1, a: 2}", "tags: &x [*x, {a: 1, a: 2}]"]
)
def test_a_setting_that_is_there_twice_is_refused(folder, again):
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(f"{text}{again}\n")
    with pytest.raises(cs.BundleError, match="is set twice"):
        cs.load_transcoder(folder)


@pytest.mark.parametrize("end", [-1, -100, 3, 0])
def test_a_weight_file_that_was_cut_short_is_refused(folder, end):
    file = folder / "layer_0.safetensors"
    file.write_bytes(file.read_bytes()[:end])
    with pytest.raises(cs.BundleError, match=r"layer_0\.safetensors cannot be read"):
        cs.load_transcoder(folder)


def test_a_weight_file_with_bytes_behind_its_tensors_is_refused(folder):
    with (folder / "layer_0.safetensors").open("ab") as file:
        file.write(b"\0" * 64)
    with pytest.raises(cs.BundleError, match=r"layer_0\.safetensors cannot be read"):
        cs.load_transcoder(folder)


@pytest.mark.parametrize(
    ("name", "said"),
    [("layer_7", "no transcoder of layer 1"), ("layer_01", None)],
)
def test_a_layer_that_is_missing_or_named_otherwise_is_named(folder, name, said):
    (folder / "layer_1.safetensors").rename(folder / f"{name}.safetensors")
    if said is None:
        assert cs.load_transcoder(folder).config.n_layers == 2
        return
    with pytest.raises(cs.BundleError, match=said):
        cs.load_transcoder(folder)


def test_weights_the_other_way_round_are_told_with_their_shape(folder):
    shapes = {"W_enc": (8, 12), "W_dec": (8, 12), "b_enc": (8,), "b_dec": (12,)}
    weights = {name: torch.zeros(shape) for name, shape in shapes.items()}
    save_file(weights, folder / "layer_1.safetensors")
    with pytest.raises(cs.BundleError, match=r"W_enc_1 is of shape \(8, 12\)"):
        cs.load_transcoder(folder)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_model_and_a_transcoder_of_two_precisions_are_told(dtype):
    model, transcoder = tiny_model().to(dtype), tiny_transcoder()
    with pytest.raises(cs.ConfigError, match=r"torch\.float32"):
        cs.ReplacementModel(model, transcoder, cs.ByteTokenizer())


def test_double_precision_gives_the_same_graph():
    single = cs.attribute(tiny_replacement(), PROMPT)
    exact = tiny_replacement()
    parts = (exact.model.double(), exact.transcoder.double())
    double = cs.ReplacementModel(*parts, cs.ByteTokenizer())
    graph = cs.attribute(double, PROMPT)
    assert torch.equal(graph.features, single.features)
    torch.testing.assert_close(graph.adjacency[:], single.adjacency[:], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_runs_and_is_not_explained(dtype):
    model = tiny_model().to(dtype)
    torch.testing.assert_close(model(TOKENS).float(), tiny_model()(TOKENS), rtol=0.1, atol=0.1)
    with pytest.raises(cs.ConfigError, match="do not add up"):
        cs.ReplacementModel(model, tiny_transcoder().to(dtype), cs.ByteTokenizer())


def test_another_precision_for_new_tensors_changes_nothing(tmp_path):
    folder = cs.save_bundle(make_bundle(), tmp_path / "tiny")
    plain = cs.trace(cs.load_bundle(folder), PROMPT)
    torch.set_default_dtype(torch.float64)
    try:
        bundle = cs.load_bundle(folder)
        found = cs.trace(bundle, PROMPT)
        again = cs.Transformer.from_transformer_lens(bundle.model.state_dict(), bundle.model.config)
        node = found.graph.features[0].tolist()
        for mode in ("direct", "constrained", "iterative"):
            cs.intervene(bundle, PROMPT, [cs.Intervention(*node, 0.0)], mode=mode)
        cs.export_html(found, bundle, tmp_path / "page.html")
        *_, cards = cs.collect_cards(bundle, ["a (NDAG) b"] * 9, [(0, 5), (1, 7)])
    finally:
        torch.set_default_dtype(torch.float32)
    assert len(cards) == 2
    assert again.embed.W_E.dtype is torch.float32
    assert torch.equal(found.graph.adjacency[:], plain.graph.adjacency[:])
    assert found.circuit.ids == plain.circuit.ids
    assert asdict(found.scores) == pytest.approx(asdict(plain.scores))
