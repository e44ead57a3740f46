"""Models in the bin: nothing is lost by a removal, a replacement or another name."""

import os
import time

import pytest

import circuitscope_core as cs
from circuitscope_core.bundle import RETENTION_DAYS, list_bin, put_in_bin
from circuitscope_core.bundle import model_bin as bin_module
from circuitscope_core.notes import Notes, load_notes, notes_follow, update_notes
from circuitscope_core.pipeline.names import check_free
from tests.demo import bundle


def make_model(models, name, text="{}"):
    (models / name).mkdir(parents=True)
    (models / name / "bundle.json").write_text(text)


def test_a_removed_model_comes_back_as_it_was(tmp_path):
    make_model(tmp_path, "mine", "its record")
    cs.remove_model("mine", tmp_path)
    assert cs.list_models(tmp_path) == ()
    (binned,) = cs.list_bin(tmp_path)
    assert (binned.name, binned.n_bytes) == ("mine", 10)
    assert RETENTION_DAYS - 0.01 < binned.days_left <= RETENTION_DAYS
    assert cs.restore_model(binned.token, tmp_path) == "mine"
    assert (tmp_path / "mine" / "bundle.json").read_text() == "its record"
    assert cs.list_bin(tmp_path) == ()


def test_a_name_that_is_in_use_is_not_taken_by_what_comes_back(tmp_path):
    make_model(tmp_path, "mine", "old")
    token = put_in_bin(tmp_path / "mine").token
    make_model(tmp_path, "mine", "new")
    with pytest.raises(cs.BundleError, match="already"):
        cs.restore_model(token, tmp_path)
    assert cs.restore_model(token, tmp_path, "mine-2") == "mine-2"
    assert (tmp_path / "mine" / "bundle.json").read_text() == "new"


@pytest.mark.parametrize("token", ["../mine", "mine", "", "mine~1/..", "mine~999"])
def test_a_token_is_never_a_path(tmp_path, token):
    make_model(tmp_path, "mine")
    put_in_bin(tmp_path / "mine")
    make_model(tmp_path, "mine")
    with pytest.raises(cs.BundleError, match="in the bin"):
        cs.restore_model(token, tmp_path, "other")


def test_what_was_there_too_long_goes_and_nothing_else(tmp_path):
    for name in ("old", "new"):
        make_model(tmp_path, name)
        put_in_bin(tmp_path / name)
    (tmp_path / ".bin" / "notes.txt").write_text("mine")
    old = next(model for model in list_bin(tmp_path) if model.name == "old")
    before = time.time_ns() - int((RETENTION_DAYS + 1) * 24 * 3600 * 1e9)
    os.rename(tmp_path / ".bin" / old.token, tmp_path / ".bin" / f"old~{before}")
    assert cs.empty_bin(tmp_path, days=RETENTION_DAYS) == 1
    assert [model.name for model in list_bin(tmp_path)] == ["new"]
    assert cs.empty_bin(tmp_path) == 1
    assert [path.name for path in (tmp_path / ".bin").iterdir()] == ["notes.txt"]


def test_a_link_is_neither_moved_nor_followed(tmp_path):
    make_model(tmp_path, "elsewhere")
    (tmp_path / "mine").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(cs.BundleError, match="is a link"):
        cs.remove_model("mine", tmp_path)
    (tmp_path / ".bin").mkdir()
    (tmp_path / ".bin" / "mine~5").symlink_to(tmp_path / "elsewhere")
    assert cs.empty_bin(tmp_path) == 0
    assert (tmp_path / "elsewhere" / "bundle.json").is_file()


def test_a_bundle_that_is_saved_over_another_leaves_that_one_in_the_bin(tmp_path):
    cs.save_bundle(bundle(), tmp_path / "mine")
    record = (tmp_path / "mine" / "bundle.json").read_bytes()
    (tmp_path / "mine" / "training_log.jsonl").write_text("the first one")
    cs.save_bundle(bundle(), tmp_path / "mine")
    (older,) = cs.list_bin(tmp_path)
    cs.restore_model(older.token, tmp_path, "older")
    assert (tmp_path / "older" / "bundle.json").read_bytes() == record
    assert (tmp_path / "older" / "training_log.jsonl").read_text() == "the first one"


def test_the_model_that_comes_along_is_never_replaced_renamed_or_removed(tmp_path, monkeypatch):
    make_model(tmp_path, "demo", "shipped")
    monkeypatch.setattr(bin_module, "SHIPPED", (tmp_path / "demo").resolve())
    said = "comes with CircuitScope"
    for act in (
        lambda: cs.remove_model("demo", tmp_path),
        lambda: cs.rename_model("demo", "mine", tmp_path),
        lambda: cs.save_bundle(bundle(), tmp_path / "demo"),
        lambda: cs.copy_bundle("models/demo", tmp_path / "demo"),
    ):
        with pytest.raises(cs.BundleError, match=said):
            act()
    with pytest.raises(cs.TrainingError, match=said):
        check_free(tmp_path / "demo", overwrite=True)
    assert (tmp_path / "demo" / "bundle.json").read_text() == "shipped"


def test_another_name_is_checked_and_takes_nobodys_place(tmp_path):
    make_model(tmp_path, "one", "1")
    make_model(tmp_path, "two", "2")
    for new in ("two", "../x", "", "a b"):
        with pytest.raises(cs.BundleError):
            cs.rename_model("one", new, tmp_path)
    cs.rename_model("one", "three", tmp_path)
    assert [model.name for model in cs.list_models(tmp_path)] == ["three", "two"]


def test_notes_follow_a_name_and_those_of_similar_names_stay(tmp_path):
    update_notes(tmp_path / "a.json", lambda notes: notes.label(0, 0, "first"), "1" * 64)
    update_notes(tmp_path / "a.json", lambda notes: notes.label(0, 0, "second"), "2" * 64)
    update_notes(tmp_path / "a.b.json", lambda notes: notes.label(0, 0, "other"), "3" * 64)
    with notes_follow(tmp_path, "a", "new"):
        pass
    assert load_notes(tmp_path / "new.json", "2" * 64).labels == {(0, 0): "second"}
    assert load_notes(tmp_path / "new.json", "1" * 64).labels == {(0, 0): "first"}
    assert load_notes(tmp_path / "a.b.json", "3" * 64).labels == {(0, 0): "other"}
    assert load_notes(tmp_path / "a.json") == Notes()
