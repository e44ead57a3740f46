"""Hugging Face models in a stage: copied whole, added like a folder, gone with their entry."""

import shutil

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.model_library import add_model_steps, staged
from tests.pretrained.test_load import cut, write_tokenizer
from tests.pretrained.test_model_library import save_transcoder
from tests.pretrained_families import random_module

pytestmark = pytest.mark.contract


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    random_module("LLaMA-3", torch.float32).save_pretrained(folder / "llama")
    write_tokenizer(folder / "llama")
    (folder / "llama" / "pytorch_model.bin").write_bytes(b"a pickle")
    save_transcoder(folder / "features")
    return folder


@pytest.fixture
def staged_parts(saved, store, files):
    """Return the places of a model and of a transcoder in a stage."""
    for name in ("llama", "features"):
        shutil.copytree(saved / name, files / name)
    return f"{store.place}/llama", f"{store.place}/features"


@pytest.fixture
def add(session, tmp_path):
    def add(source, transcoder):
        models = tmp_path / "models"
        return cs.add_model(source, "mine", transcoder=transcoder, models=models, session=session)

    return add


def test_a_model_in_a_stage_is_copied_and_traced_like_its_folder(
    add, staged_parts, saved, tmp_path
):
    model, transcoder = staged_parts
    entry = add(model, transcoder)
    assert entry.source == model
    models = tmp_path / "models"
    copied = sorted(path.name for path in (models / ".weights" / "mine" / "model").iterdir())
    assert "model.safetensors" in copied
    assert "pytorch_model.bin" not in copied
    by_hand = cs.make_bundle(cs.load_model(saved / "llama"), cs.load_transcoder(saved / "features"))
    one, other = (
        cs.attribute(item, " cats") for item in (cs.load_bundle(models / "mine"), by_hand)
    )
    assert torch.equal(one.adjacency, other.adjacency)
    cs.remove_model("mine", models)
    assert list((models / ".weights").iterdir()) == []


def test_a_model_that_cannot_be_opened_leaves_no_copy(add, staged_parts, files, tmp_path):
    model, transcoder = staged_parts
    cut(files / "llama")
    with pytest.raises(cs.ModelError, match="no whole safetensors file"):
        add(model, transcoder)
    assert list((tmp_path / "models" / ".weights").iterdir()) == []
    assert not (tmp_path / "models" / "mine").exists()


def test_a_place_without_a_model_is_named(add, staged_parts, store):
    with pytest.raises(cs.BundleError, match="has no file of a model"):
        add(f"{store.place}/nothing", staged_parts[1])


def test_a_model_larger_than_the_disk_is_refused_before_it_is_copied(
    add, staged_parts, monkeypatch, tmp_path
):
    class Full:
        free = 10

    monkeypatch.setattr(staged.shutil, "disk_usage", lambda _: Full)
    with pytest.raises(cs.BundleError, match="10 B are free"):
        add(*staged_parts)
    assert not (tmp_path / "models" / "mine").exists()


def test_a_caller_who_stops_asking_leaves_nothing(session, staged_parts, tmp_path):
    models = tmp_path / "models"
    steps = add_model_steps(staged_parts[0], "mine", models=models, session=session)
    while "Read and check" not in str(next(steps)):
        pass
    assert (models / ".weights" / "mine").is_dir()
    steps.close()
    assert list((models / ".weights").iterdir()) == []
    assert not (models / "mine").exists()


def test_a_second_try_under_the_name_leaves_the_first_ones_copy(add, staged_parts, tmp_path):
    models = tmp_path / "models"
    add(*staged_parts)
    with pytest.raises(cs.BundleError, match="already"):
        add(*staged_parts)
    assert cs.load_bundle(models / "mine").model.shape.n_layers == 3


def test_copies_that_cannot_be_written_are_told(add, staged_parts, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / ".weights").write_text("in the way")
    with pytest.raises(cs.BundleError, match="cannot be written"):
        add(*staged_parts)
