"""A file's demand that cannot be met is an error that names it and says what to do."""

import shutil
import sys
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import circuitscope_core as cs
from circuitscope_core.transcoder_formats.hub import parse_address
from tests.formats import layouts
from tests.samples import tiny_transcoder

SCALE = {"scaling_factor": torch.ones(1)}


def hooks(read, write="blocks.{}.hook_mlp_out"):
    return partial(layouts.sae_lens, hooks=(read, write))


SETTINGS = [
    (layouts.per_layer, {"activation": "gelu"}, r"activation is 'gelu'.*must be one of relu"),
    (layouts.per_layer, {"activation": "topk"}, r"k is None; it must be a whole number above 0"),
    (layouts.per_layer, {"activation": "topk", "k": True}, r"k is True; it must be a whole"),
    (layouts.per_layer, {"k": 4}, r"k is 4 and activation is None.*Add activation: topk"),
    (layouts.per_layer, {"normalise": True}, r"setting normalise = True.*remove it if it does not"),
    (layouts.per_layer, {"model_kind": "plt"}, r"model_kind is 'plt'.*must be one of"),
    (layouts.per_layer, {"feature_input_hook": "hook_resid_post"}, r"reads 'hook_resid_post'"),
    (layouts.per_layer, {"feature_output_hook": "hook_resid_post"}, r"writes to 'hook_resid_post'"),
    (layouts.per_layer, {"read_point": "in"}, r"write_point is None.*must be one of added, raw"),
    (layouts.per_layer, {"read_point": "on", "write_point": "raw"}, r"read_point is 'on'"),
    (layouts.per_layer, {"transcoders": []}, r"transcoders is \[\]; it must be a list"),
    (layouts.per_layer, {"transcoders": ["../x.npz"]}, r"'\.\./x\.npz', which is not inside"),
    (layouts.per_layer, {"transcoders": ["/etc/x.npz"]}, r"'/etc/x\.npz', which is not inside"),
    (layouts.per_layer, {"transcoders": ["hf://x"]}, r"'hf://x' is no place on the Hugging Face"),
    (layouts.per_layer, {"transcoders": ["hf://a/b"]}, r"hf://a/b names no file"),
    (layouts.gemma_scope_2, {"architecture": "topk"}, r"architecture is 'topk'. Only jump_relu"),
    (layouts.gemma_scope_2, {"affine_connection": False}, r"affine_connection is False.*has an"),
    (layouts.gemma_scope_2, {"scale": 2.0}, r"setting scale = 2\.0"),
    (
        layouts.gemma_scope_2,
        {"hf_hook_point_in": "model.layers.{}.output"},
        r"reads 'model\.layers\.0\.output'.*an autoencoder",
    ),
    (layouts.sae_lens, {"normalize_activations": "layer_norm"}, r"is 'layer_norm'. Fold the scal"),
    (layouts.sae_lens, {"finetuning_scaling_factor": True}, r"scaling_factor is True. Fold"),
    (layouts.sae_lens, {"reshape_activations": "hook_z"}, r"reshape_activations is 'hook_z'"),
    (layouts.sae_lens, {"hook_head_index": 3}, r"hook_head_index is 3"),
    (layouts.sae_lens, {"metadata": {"hook_head_index": 0}}, r"hook_head_index is 0"),
    (layouts.sae_lens, {"architecture": "standard"}, r"architecture is 'standard'.*transcoder"),
    (layouts.sae_lens, {"activation_fn": "topk"}, r"activation_fn is 'topk'. Only relu"),
    (layouts.sae_lens, {"activation_fn_kwargs": {"k": 3}}, r"activation_fn_kwargs is \{'k': 3\}"),
    (layouts.sae_lens, {"rescale": 1}, r"setting rescale = 1"),
    (layouts.sae_lens, {"metadata": {}}, r"hook_name is None and hook_name_out None"),
    (layouts.sparsify, {"transcode": False}, r"transcode is False. It must be true"),
    (layouts.sparsify, {"activation": "groupmax"}, r"activation is 'groupmax'. Only topk"),
    (layouts.sparsify, {"signed": True}, r"signed is True"),
    (layouts.sparsify, {"k": 0}, r"k is 0; it must be a whole number above 0"),
    (layouts.sparsify, {"k": 13}, r"k is 13; topk_relu needs a k from 1 to 12"),
    (layouts.sparsify, {"centred": True}, r"setting centred = True"),
    (layouts.sparsify, {"skip_connection": False}, r"tensor W_skip .*does not know"),
]


@pytest.mark.parametrize(
    ("write", "settings", "message"),
    SETTINGS,
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_setting_that_is_not_done_is_refused(tmp_path, write, settings, message):
    write(tmp_path, settings)
    with pytest.raises((cs.BundleError, cs.ConfigError), match=message):
        cs.load_transcoder(tmp_path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (hooks("blocks.{}.hook_resid_post"), r"reads 'blocks\.0\.hook_resid_post'"),
        (hooks("blocks.{}.mlp.hook_in", "blocks.1.hook_mlp_out"), r"Both must name one layer"),
        (partial(layouts.sparsify, module="layers.{}"), r"layers\.0 is a coder of layers\.0"),
        (partial(layouts.sparsify, module="layers.{}.attention"), r"Only those of whole MLPs"),
    ],
)
def test_a_coder_of_another_place_is_refused(tmp_path, write, message):
    write(tmp_path)
    with pytest.raises(cs.BundleError, match=message):
        cs.load_transcoder(tmp_path)


@pytest.mark.parametrize(
    "write", [layouts.per_layer, layouts.gemma_scope_2, layouts.sae_lens, layouts.sparsify]
)
def test_a_tensor_that_is_not_known_is_refused(tmp_path, write):
    write(tmp_path, more=SCALE)
    with pytest.raises(cs.BundleError, match=r"tensor scaling_factor of shape \(1,\)"):
        cs.load_transcoder(tmp_path)


def test_a_tensor_that_is_not_known_is_refused_in_archives_and_cross_layer_files(tmp_path):
    layouts.gemma_scope_1(tmp_path / "npz", more={"scale": np.ones(1)})
    with pytest.raises(cs.BundleError, match=r"tensor scale of shape \(1,\)"):
        cs.load_transcoder(tmp_path / "npz")
    layouts.gemma_scope_2_cross_layer(tmp_path / "clt")
    path = tmp_path / "clt" / "params_layer_1.safetensors"
    save_file(load_file(path) | SCALE, path)
    with pytest.raises(cs.BundleError, match="tensor scaling_factor"):
        cs.load_transcoder(tmp_path / "clt")


def test_an_archive_of_objects_is_not_run(tmp_path):
    layouts.gemma_scope_1(tmp_path)
    path = next(tmp_path.glob("layer_1/**/params.npz"))
    with np.load(path) as file:
        held = dict(file)
    np.savez(path, **(held | {"b_enc": np.array([print], dtype=object)}))
    with pytest.raises(cs.BundleError, match=r"cannot be read as an npz archive.*allow_pickle"):
        cs.load_transcoder(tmp_path)
    for damaged in (b"PK\x03\x04 no archive", b"no archive", b""):
        path.write_bytes(damaged)
        with pytest.raises(cs.BundleError, match="cannot be read as an npz archive"):
            cs.load_transcoder(tmp_path)


@pytest.mark.parametrize("name", ["layer_0.pt", "sub/sae.bin", "coder.pth"])
def test_a_pickle_is_refused_with_the_way_to_convert_it(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"\x80\x04.")
    with pytest.raises(cs.BundleError, match=r"is a pickle.*b_enc - b_dec @ W_enc and b_dec_out"):
        cs.load_transcoder(tmp_path)


def test_a_layer_that_is_missing_or_twice_is_named(tmp_path):
    layouts.gemma_scope_2(tmp_path)
    one = tmp_path / "layer_1_width_16k_l0_small_affine"
    shutil.copytree(one, tmp_path / "layer_1_width_16k_l0_big")
    with pytest.raises(cs.BundleError, match=r"2 transcoders of layer 1: .*l0_big.*Choose one"):
        cs.load_transcoder(tmp_path)
    shutil.rmtree(tmp_path / "layer_1_width_16k_l0_big")
    one.rename(tmp_path / "layer_3_width_16k_l0_small_affine")
    with pytest.raises(cs.BundleError, match=r"no transcoder of layer 1; it has those of .* 0, 3"):
        cs.load_transcoder(tmp_path)


def test_layers_that_read_at_different_places_are_refused(tmp_path):
    layouts.sae_lens(tmp_path, {"model_name": "gemma-2-2b"})
    for name in ("hook_mlp_in", "hook_resid_pre"):
        record = layouts.json.loads((tmp_path / "blocks.1" / "cfg.json").read_text())
        record["metadata"]["hook_name"] = f"blocks.1.{name}"
        layouts.write_json(record, tmp_path / "blocks.1" / "cfg.json")
        with pytest.raises(cs.BundleError, match="read and write at different places"):
            cs.load_transcoder(tmp_path)


@pytest.mark.parametrize("lazy", [False, True])
def test_a_cross_layer_set_that_lacks_its_last_layer_is_refused(tmp_path, lazy):
    cs.save_transcoder(tiny_transcoder(n_layers=3), tmp_path)
    for name in ("W_enc_2.safetensors", "W_dec_2.safetensors"):
        (tmp_path / name).unlink()
    with pytest.raises(cs.BundleError, match=r"W_dec_0 is of shape \(12, 3, 8\).*\(12, 2, 8\)"):
        cs.load_transcoder(tmp_path, lazy_decoders=lazy)


def test_two_layouts_in_one_folder_are_refused(tmp_path):
    layouts.per_layer(tmp_path)
    shutil.copy(tmp_path / "layer_0.safetensors", tmp_path / "W_enc_0.safetensors")
    with pytest.raises(cs.BundleError, match="holds a cross-layer transcoder"):
        cs.load_transcoder(tmp_path)


def test_k_that_differs_between_layers_is_refused(tmp_path):
    layouts.sparsify(tmp_path)
    record = {**layouts.SPARSIFY_SETTINGS, "k": 5}
    layouts.write_json(record, tmp_path / "layers.1.mlp" / "cfg.json")
    with pytest.raises(cs.BundleError, match=r"k differs between layers \(4, 5\)"):
        cs.load_transcoder(tmp_path)


@pytest.mark.parametrize("write", [layouts.sae_lens, layouts.sparsify])
def test_one_layers_folder_is_no_transcoder(tmp_path, write):
    write(tmp_path)
    with pytest.raises(cs.BundleError, match="Give the folder above it"):
        cs.load_transcoder(next(path.parent for path in tmp_path.glob("*/cfg.json")))


def test_weights_that_are_quantised_negative_or_missing_are_named(tmp_path):
    layouts.per_layer(tmp_path)
    path = tmp_path / "layer_1.safetensors"
    held = load_file(path)
    threshold = {"activation_function.threshold": torch.full((12,), -0.5)}
    for changes, message in (
        ({"W_enc": held["W_enc"].to(torch.int8)}, r"W_enc in .* holds torch\.int8"),
        (threshold, r"threshold of layer 1 is -0\.5"),
        ({"W_dec": held["W_dec"].T.contiguous()}, r"W_dec_1 is of shape \(8, 1, 12\)"),
    ):
        save_file(held | changes, path)
        with pytest.raises(cs.BundleError, match=message):
            cs.load_transcoder(tmp_path)
    save_file({name: value for name, value in held.items() if name != "b_dec"}, path)
    with pytest.raises(cs.BundleError, match=r"lacks the tensor b_dec; it holds W_dec, W_enc"):
        cs.load_transcoder(tmp_path)


@pytest.mark.parametrize("settings", [{}, {"activation": "topk", "k": 3}])
def test_a_k_in_the_weights_that_the_settings_do_not_name_is_refused(tmp_path, settings):
    layouts.per_layer(tmp_path, settings, more={"k": torch.tensor(2)})
    with pytest.raises(cs.BundleError, match=r"has k = 2, and its settings say .*Write activation"):
        cs.load_transcoder(tmp_path)
    layouts.per_layer(tmp_path, {"activation": "topk", "k": 2}, more={"k": torch.tensor(2)})
    assert cs.load_transcoder(tmp_path).config.k == 2
    layouts.per_layer(tmp_path, settings, more={"k": torch.tensor([2.5])})
    with pytest.raises(cs.BundleError, match=r"k in .* of shape \(1,\) .* one whole number"):
        cs.load_transcoder(tmp_path)


@pytest.mark.parametrize("settings", [{"activation": "relu"}, {"activation": "topk", "k": 3}])
def test_thresholds_beside_an_activation_without_are_refused(tmp_path, settings):
    thresholds = {"activation_function.threshold": torch.full((12,), 0.3)}
    layouts.per_layer(tmp_path, settings, more=thresholds)
    with pytest.raises(cs.BundleError, match=r"Layer 0 .* has thresholds.*activation: jump_relu"):
        cs.load_transcoder(tmp_path)
    layouts.per_layer(tmp_path, {"activation": "jump_relu"}, more=thresholds)
    found = cs.load_transcoder(tmp_path).threshold.detach()
    torch.testing.assert_close(found, torch.full((2, 12), 0.3))


@pytest.mark.parametrize("record", ["wandb-config.yaml", "wanb-config.yaml"])
def test_a_set_without_settings_but_with_a_training_record_is_refused(tmp_path, record):
    layouts.per_layer(tmp_path)
    (tmp_path / "config.yaml").rename(tmp_path / record)
    with pytest.raises(cs.BundleError, match=r"nothing says where its features read.*in and added"):
        cs.load_transcoder(tmp_path)


def test_a_folder_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(cs.BundleError, match="is not there; give a transcoder's folder"):
        cs.load_transcoder(tmp_path / "missing")
    with pytest.raises(cs.BundleError, match=r"Gemma Scope, SAELens or sparsify; it is no"):
        cs.load_transcoder(tmp_path)


@pytest.mark.parametrize(
    "source",
    [
        "hf://",
        "hf://name",
        "hf://a/../b",
        "hf://a//",
        "hf://a/b/../../c",
        "hf://a b/c",
        "hf:///a/b/.c",
    ],
)
def test_an_address_that_is_none_is_refused(source):
    with pytest.raises(cs.BundleError, match=r"is no place on the Hugging Face hub; write hf://"):
        cs.load_transcoder(source)


def test_an_address_has_a_repository_a_folder_and_a_revision():
    whole, part = parse_address("hf://a/b"), parse_address("hf://a/b/c/d@v1.0")
    assert (whole.repository, whole.path, whole.revision) == ("a/b", "", None)
    assert (part.repository, part.path, part.revision) == ("a/b", "c/d", "v1.0")


def test_a_place_on_the_hub_that_cannot_be_fetched_is_said_so(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(cs.BundleError, match="not on this machine, and HF_HUB_OFFLINE forbids"):
        cs.load_transcoder("hf://nobody/nothing-of-this-name")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(cs.BundleError, match="needs the package huggingface_hub"):
        cs.load_transcoder("hf://nobody/nothing-of-this-name")
