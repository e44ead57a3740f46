"""Hugging Face models among the bundles: added whole or not at all, listed, checked, removed."""

import json
import shutil

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.cli import main
from circuitscope_core.model_library import adding
from tests.pretrained.test_load import SPOILED, write_tokenizer
from tests.pretrained_families import random_module
from tests.unit.test_bundle import make_bundle


def save_transcoder(folder, n_layers=3, d_model=48):
    config = cs.TranscoderConfig(n_layers, d_model, d_transcoder=24, cross_layer=False)
    transcoder = cs.CrossLayerTranscoder(config).requires_grad_(False)
    for parameter in transcoder.parameters():
        parameter.copy_(torch.randn(parameter.shape) * 0.2)
    transcoder.log_threshold.fill_(-3.0)
    cs.save_transcoder(transcoder, folder)
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "llama"
    random_module("LLaMA-3", torch.float32).save_pretrained(folder)
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def transcoder(tmp_path_factory):
    torch.manual_seed(1)
    return save_transcoder(tmp_path_factory.mktemp("features") / "fits")


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "weights")


@pytest.fixture
def models(tmp_path):
    cs.save_bundle(make_bundle(), tmp_path / "models" / "tiny")
    return tmp_path / "models"


def names(models):
    return sorted(path.name for path in models.iterdir())


def test_an_added_model_is_traced_like_one_put_together_by_hand(saved, transcoder, models):
    entry = cs.add_model(saved, "mine", transcoder=transcoder, models=models)
    assert [path.name for path in (models / "mine").iterdir()] == ["model.json"]
    assert (entry.family, entry.n_layers, entry.dtype) == ("llama", 3, "float32")
    loaded = cs.load_bundle(models / "mine")
    assert loaded.metadata.name == "mine"
    by_hand = cs.make_bundle(cs.load_model(saved), cs.load_transcoder(transcoder))
    one, other = (cs.attribute(bundle, " the cats") for bundle in (loaded, by_hand))
    assert torch.equal(one.adjacency, other.adjacency)


def test_the_list_tells_bundles_and_added_models_apart(saved, transcoder, models):
    cs.add_model(saved, "mine", transcoder=transcoder, models=models)
    mine, tiny = cs.list_models(models)
    model, features = cs.load_model(saved), cs.load_transcoder(transcoder)
    n_numbers = sum(weight.numel() for weight in features.parameters())
    assert (mine.name, mine.kind, mine.family) == ("mine", "added", "llama")
    assert mine.n_parameters == model.n_parameters
    assert mine.n_bytes == 4 * (model.n_parameters + n_numbers)
    assert mine.disk_bytes == sum(path.stat().st_size for path in saved.iterdir())
    assert (mine.features, mine.has_cards, mine.problem) == ("transcoder", False, "")
    assert (tiny.name, tiny.kind, tiny.has_cards) == ("tiny", "trained", True)
    assert tiny.n_parameters == cs.load_bundle(models / "tiny").model.n_parameters


def test_a_check_opens_the_model_and_measures_it(saved, transcoder, models):
    cs.add_model(saved, "mine", transcoder=transcoder, models=models)
    found = cs.check_added("mine", models)
    assert (found.n_layers, found.d_model, found.n_features) == (3, 48, 24)
    assert 0 <= found.gap < 1e-3
    assert cs.check_added("tiny", models).gap is None
    with pytest.raises(cs.BundleError, match="no model 'other'"):
        cs.check_added("other", models)


def test_removing_takes_the_entry_and_never_weights(saved, transcoder, models):
    before = names(saved)
    cs.add_model(saved, "mine", transcoder=transcoder, models=models)
    cs.remove_model("mine", models)
    assert names(models) == [".bin", "tiny"]
    assert names(saved) == before
    binned = cs.list_bin(models)
    assert [model.name for model in binned] == ["mine"]
    assert cs.restore_model(binned[0].token, models) == "mine"
    assert cs.check_added("mine", models).n_layers == 3


def test_a_damaged_entry_is_listed_with_the_reason_and_can_be_removed(models):
    for text in ("{", "[]", '{"format_version": 7}', '{"format_version": 1, "name": "../x"}'):
        (models / "broken").mkdir()
        (models / "broken" / "model.json").write_text(text)
        broken, _ = cs.list_models(models)
        assert broken.problem
        with pytest.raises(cs.BundleError, match=r"model\.json"):
            cs.load_bundle(models / "broken")
        cs.remove_model("broken", models)


@pytest.mark.parametrize("name", ["../mine", "a/b", ".hidden", "", "a b", "x" * 65, "tiny"])
def test_a_name_is_never_a_path_and_never_taken_twice(saved, transcoder, models, name):
    before = (models / "tiny" / "bundle.json").read_bytes()
    with pytest.raises(cs.BundleError, match=r"no model name|already"):
        cs.add_model(saved, name or ".", transcoder=transcoder, models=models)
    assert names(models) == ["tiny"]
    assert (models / "tiny" / "bundle.json").read_bytes() == before


def test_an_entry_is_not_replaced_by_a_bundle_or_copied_as_one(saved, transcoder, models, tmp_path):
    cs.add_model(saved, "mine", transcoder=transcoder, models=models)
    with pytest.raises(cs.BundleError, match="was added"):
        cs.save_bundle(make_bundle(), models / "mine")
    with pytest.raises(cs.BundleError, match="holds no weights"):
        cs.copy_bundle(models / "mine", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("what", SPOILED)
def test_a_spoiled_model_is_refused_and_nothing_is_left(folder, transcoder, models, what):
    spoil, reason = SPOILED[what]
    spoil(folder)
    with pytest.raises(cs.ModelError, match=reason):
        cs.add_model(folder, "mine", transcoder=transcoder, models=models)
    assert names(models) == ["tiny"]


@pytest.mark.parametrize(("sizes", "name"), [((3, 32), "d_model"), ((2, 48), "n_layers")])
def test_a_transcoder_of_another_model_is_refused(saved, models, tmp_path, sizes, name):
    other = save_transcoder(tmp_path / "other", *sizes)
    with pytest.raises(cs.ConfigError, match=f"transcoder's {name} is .* and the model's"):
        cs.add_model(saved, "mine", transcoder=other, models=models)
    with pytest.raises(cs.BundleError):
        cs.add_model(saved, "mine", transcoder=tmp_path / "nowhere", models=models)
    assert names(models) == ["tiny"]


def test_a_tokenizer_that_does_not_fit_is_refused(folder, transcoder, models):
    file = json.loads((folder / "tokenizer.json").read_text())
    file["model"]["vocab"] += [[f"x{number}", -1.0] for number in range(200)]
    (folder / "tokenizer.json").write_text(json.dumps(file))
    with pytest.raises(cs.ConfigError, match="tokenizer has 268 tokens and the model 97"):
        cs.add_model(folder, "mine", transcoder=transcoder, models=models)
    assert names(models) == ["tiny"]


def test_a_model_that_changed_or_is_gone_is_not_opened(folder, transcoder, models):
    cs.add_model(folder, "mine", transcoder=transcoder, models=models)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.5}))
    with pytest.raises(cs.BundleError, match="not the one that was added as 'mine'"):
        cs.load_bundle(models / "mine")
    shutil.rmtree(folder)
    with pytest.raises(cs.BundleError, match="which is not there"):
        cs.load_bundle(models / "mine")
    assert "no longer in" in cs.list_models(models)[0].problem


def test_an_entry_that_cannot_be_written_leaves_nothing(saved, transcoder, models, monkeypatch):
    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(adding.os, "rename", full)
    with pytest.raises(cs.BundleError, match="no space left"):
        cs.add_model(saved, "mine", transcoder=transcoder, models=models)
    assert names(models) == ["tiny"]


def run(capsys, *arguments):
    status = main(["models", *map(str, arguments), "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_the_shell_adds_lists_checks_traces_and_removes(saved, transcoder, models, capsys):
    place = ("--models", models)
    parts = ("--name", "mine", "--transcoder", transcoder)
    assert run(capsys, "add", saved, *parts, *place)[1]["name"] == "mine"
    assert [item["name"] for item in run(capsys, "list", *place)[1]] == ["mine", "tiny"]
    assert run(capsys, "check", "mine", *place)[1]["gap"] < 1e-3
    trace = ["trace", "--bundle", str(models / "mine"), "--prompt", " the cats", "--json"]
    assert main(trace) == 0
    assert json.loads(capsys.readouterr().out)["nodes"]["features"] > 0
    assert run(capsys, "remove", "mine", *place) == (0, {"removed": "mine"})
    status, said = run(capsys, "remove", "mine", *place)
    assert (status, "no model 'mine'" in said["error"]) == (1, True)
    assert main(["models", "list", *map(str, place)]) == 0
    assert "tiny: CircuitScope, " in capsys.readouterr().out


def test_the_shell_names_each_step(saved, transcoder, models, capsys):
    parts = ["--name", "mine", "--transcoder", str(transcoder), "--models", str(models)]
    assert main(["models", "add", str(saved), *parts]) == 0
    said = capsys.readouterr().out
    for words in ("parameters take", "of memory are free", "sizes against", "Added mine"):
        assert words in said


def test_the_shell_traces_a_message_of_a_chat(folder, transcoder, models, capsys):
    (folder / "chat_template.jinja").write_text("{{ bos_token }}{{ messages[0].content }} s")
    cs.add_model(folder, "mine", transcoder=transcoder, models=models)
    trace = ["trace", "--bundle", str(models / "mine"), "--prompt", " the cats", "--json"]
    assert main([*trace, "--chat"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["prompt"], found["nodes"]["tokens"]) == ("<s> the cats s", 7)
    assert main([*trace, "--chat", "--prompts", "some.txt", "--out", "out"]) == 1
    assert "leave --chat out" in capsys.readouterr().out
    assert main([*trace[:2], str(models / "tiny"), "--chat", "--json"]) == 1
    assert "no chat template" in capsys.readouterr().out
