"""Hugging Face folders: opened offline, and refused with a reason when something is wrong."""

import json
import shutil

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file

import circuitscope_core as cs
from circuitscope_core.pretrained import PretrainedModel, read_model_files
from tests.pretrained_families import random_module

TEXTS = ["▁a", "▁the", "cat", "▁", "s"]


def write_tokenizer(folder):
    """Write a tiny SentencePiece-like tokenizer that asks for truncation and padding."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(60)), *TEXTS]
    special = [
        {"id": number, "content": pieces[number], "special": True, "normalized": False}
        | {"single_word": False, "lstrip": False, "rstrip": False}
        for number in range(3)
    ]
    data = {
        "version": "1.0",
        "truncation": {
            "direction": "Right",
            "max_length": 2,
            "strategy": "LongestFirst",
            "stride": 0,
        },
        "padding": {
            "strategy": {"Fixed": 9},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "<unk>",
        },
        "added_tokens": special,
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        "model": {
            "type": "Unigram",
            "unk_id": 0,
            "vocab": [[piece, -1.0] for piece in pieces],
            "byte_fallback": True,
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(data))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": {"content": "<s>"}}))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "llama"
    random_module("LLaMA-3", torch.float32).save_pretrained(folder)
    write_tokenizer(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def test_a_folder_is_opened_with_its_own_opener_and_all_of_a_text(saved):
    model = cs.load_model(saved)
    tokenizer = model.tokenizer
    ids = tokenizer.encode(" the cats the cats")
    assert [tokenizer.token_text(number) for number in ids] == [" the", " ", "cat", "s"] * 2
    assert tokenizer.opener == "<s>"
    assert tokenizer.is_special(tokenizer.separator_id)
    assert tokenizer.token_text(3 + 0x1B) == "\x1b"
    assert model.shape.n_opening == 1
    assert model.n_parameters == read_model_files(saved).n_parameters
    module = random_module("LLaMA-3", torch.float32)
    with torch.no_grad():
        wanted = module(input_ids=torch.tensor([ids])).logits
        assert torch.allclose(model(model.tokens(ids)), wanted, atol=1e-5)


def test_shards_are_one_model(saved, folder):
    whole = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names, parts = sorted(whole), {}
    for number, name in enumerate(names):
        parts.setdefault(f"model-{number % 2}.safetensors", {})[name] = whole[name]
    for name, tensors in parts.items():
        save_file(tensors, folder / name, metadata={"format": "pt"})
    index = {key: name for name, tensors in parts.items() for key in tensors}
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": index})
    )
    ids = [1, 5, 7]
    with torch.no_grad():
        one, other = (cs.load_model(path) for path in (saved, folder))
        assert torch.equal(one(one.tokens(ids)), other(other.tokens(ids)))
    (folder / "model-1.safetensors").unlink()
    with pytest.raises(cs.ModelError, match=r"lacks its weights: there is no model-1\.safetensors"):
        cs.load_model(folder)


def test_shards_outside_the_folder_are_refused(folder):
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"lm_head.weight": "../../secret.safetensors"}})
    )
    with pytest.raises(cs.ModelError, match="not in the folder"):
        cs.load_model(folder)


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def spoil_weights(folder, change):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-500])


def pickled(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


WEIGHT = "model.layers.1.mlp.up_proj.weight"
SPOILED = {
    "no config": (lambda f: (f / "config.json").unlink(), "has no config.json"),
    "broken config": (lambda f: (f / "config.json").write_text("{"), "cannot be read"),
    "list as config": (lambda f: (f / "config.json").write_text("[]"), "holds no JSON object"),
    "unknown family": (
        lambda f: change_config(f, model_type="mamba"),
        r"family 'mamba'.*gpt2.*qwen3",
    ),
    "quantised": (lambda f: change_config(f, quantization_config={"bits": 4}), "quantised"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "lacks its weights"),
    "pickle": (pickled, "weights as pickles.*safe_serialization"),
    "cut off": (cut, "no whole safetensors file"),
    "NaN": (
        lambda f: spoil_weights(f, lambda t: t[WEIGHT][0].fill_(float("nan"))),
        f"weight {WEIGHT}.*not finite",
    ),
    "weight missing": (lambda f: spoil_weights(f, lambda t: t.pop(WEIGHT)), f"lack {WEIGHT}"),
    "weight unknown": (
        lambda f: spoil_weights(f, lambda t: t.update(extra=torch.zeros(3))),
        "hold unknown extra",
    ),
    "another size": (lambda f: change_config(f, intermediate_size=65), "do not fit|cannot open"),
}


@pytest.mark.parametrize("what", SPOILED)
def test_a_spoiled_folder_is_refused_with_a_reason(folder, what):
    spoil, reason = SPOILED[what]
    spoil(folder)
    with pytest.raises(cs.ModelError, match=reason):
        cs.load_model(folder)


def test_a_model_that_does_not_fit_into_memory_is_refused_before_it_is_read(saved, monkeypatch):
    little = psutil.virtual_memory()._replace(available=2**20)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: little)
    with pytest.raises(cs.ModelError, match=r"needs 0\.3 GiB in float32; 0\.0 GiB are free"):
        cs.load_model(saved)


def test_a_name_that_is_no_folder_is_looked_up_and_not_fetched_offline(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(cs.ModelError, match="is neither a folder nor the owner/name"):
        cs.load_model("nowhere")
    with pytest.raises(cs.ModelError, match="not on this machine, and HF_HUB_OFFLINE"):
        cs.load_model("nobody/nothing-here")


def test_precision_is_chosen_and_named(saved):
    assert cs.load_model(saved, dtype="bfloat16").weight_dtype == torch.bfloat16
    with pytest.raises(cs.ModelError, match="'float8'; it must be one of float32, bfloat16"):
        cs.load_model(saved, dtype="float8")


def test_rows_add_up_in_sixteen_bits(saved):
    model = cs.load_model(saved, dtype="bfloat16")
    config = cs.TranscoderConfig(3, 48, d_transcoder=24, cross_layer=False)
    torch.manual_seed(1)
    transcoder = cs.CrossLayerTranscoder(config).requires_grad_(False)
    for parameter in transcoder.parameters():
        parameter.copy_(torch.randn(parameter.shape) * 0.2)
    transcoder.log_threshold.fill_(-3.0)
    graph = cs.attribute(cs.make_bundle(model, transcoder), " the cats the cats")
    rows = graph.target_nodes
    size = graph.adjacency[rows].abs().sum(1) + graph.bias[rows].abs()
    got = graph.adjacency[rows].sum(1) + graph.bias[rows]
    assert float(((got - graph.pre_activations[rows]).abs() / size).max()) < 1e-5


def test_the_shell_takes_a_bundle_or_a_model_and_not_both(capsys):
    from circuitscope_core.cli.main import main

    with pytest.raises(SystemExit):
        main(["trace", "--bundle", "models/demo", "--model", "somewhere"])
    assert "not allowed with argument" in capsys.readouterr().err
    assert main(["trace", "--model", "somewhere"]) == 1
    assert "neither a folder nor" in capsys.readouterr().err
    assert main(["trace", "--minus", "a"]) == 1
    assert "give that one as --target" in capsys.readouterr().err
    assert main(["trace", "--against", "another prompt"]) == 1
    assert "and the second prompt" in capsys.readouterr().err
    assert main(["trace", "--transcoder", "somewhere"]) == 1
    assert "add --model" in capsys.readouterr().err


def test_the_shell_traces_a_models_own_neurons(saved, capsys):
    from circuitscope_core.cli.main import main

    words = ["--prompt", " the cats", "--against", " the dogs", "--json"]
    assert main(["trace", "--model", str(saved), *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 100 < found["nodes"]["features"] <= 200
    assert found["neurons"]["n_candidates"] > 200
    assert "scores" not in found


@pytest.fixture(scope="module")
def linear_transcoder(saved, tmp_path_factory):
    """A transcoder that does its work past the features: the best linear map from the MLP input."""
    model = cs.load_model(saved)
    ids = model.tokens([1, *torch.randint(3, 60, (60,)).tolist()])
    n_layers, d_model = model.shape.n_layers, model.shape.d_model
    sizes = {"d_transcoder": 4, "cross_layer": False, "skip_connection": True}
    transcoder = cs.CrossLayerTranscoder(cs.TranscoderConfig(n_layers, d_model, **sizes))
    transcoder.requires_grad_(False)
    with torch.no_grad():
        for site in model.mlp_pass(ids).sites:
            rows = torch.cat([site.mlp_in[0], torch.ones(ids.shape[1], 1)], dim=1)
            fitted = torch.linalg.lstsq(rows, site.mlp_out[0], driver="gelsd").solution
            transcoder.W_skip[site.layer] = fitted[:-1]
            transcoder.b_dec[site.layer] = fitted[-1]
    folder = tmp_path_factory.mktemp("transcoders") / "linear"
    cs.save_transcoder(transcoder, folder)
    return folder


def test_the_shell_says_where_a_transcoder_fits_far_better(saved, linear_transcoder, capsys):
    from circuitscope_core.cli.main import main

    command = ["trace", "--model", str(saved), "--transcoder", str(linear_transcoder)]
    command += ["--prompt", " the cats the cats"]
    assert main(command) == 0
    assert "variance of MLP outputs" not in capsys.readouterr().out
    assert main([*command, "--read-point", "mid"]) == 0
    said = capsys.readouterr().out
    assert "at its read point 'mid' and" in said
    assert "Load it with the read point 'in'" in said
    assert main([*command, "--read-point", "mid", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["read_point"]
    assert (found["own"], found["better"]) == ("mid", "in")
    assert found["explained"]["in"] > found["explained"]["mid"]
    assert main(["trace", "--read-point", "mid"]) == 1
    assert "--read-point needs a transcoder" in capsys.readouterr().err


def test_the_faithfulness_of_graphs_of_a_folders_model_is_measured(saved):
    model = cs.load_model(saved)
    config = cs.TranscoderConfig(3, 48, d_transcoder=24, cross_layer=False)
    torch.manual_seed(1)
    transcoder = cs.CrossLayerTranscoder(config).requires_grad_(False)
    for parameter in transcoder.parameters():
        parameter.copy_(torch.randn(parameter.shape) * 0.2)
    transcoder.log_threshold.fill_(-3.0)
    bundle = cs.make_bundle(model, transcoder)
    prompt = bundle.replacement.encode(" the cats the cats")
    *_, report = cs.measure_faithfulness(bundle, [prompt], n_direct=1)
    assert report.direct.largest < 1e-3
    in_memory = cs.make_bundle(PretrainedModel(model.module, tokenizer=model.tokenizer), transcoder)
    with pytest.raises(cs.ModelError, match="this model is in memory only"):
        list(cs.measure_faithfulness(in_memory, [prompt], n_direct=1))
