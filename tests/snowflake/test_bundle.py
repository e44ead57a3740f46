"""Bundles in a stage: saved, replaced, interrupted, read while they are replaced."""

import json
import re
import shutil

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.bundle import download_bundle, list_bundles, upload_bundle
from circuitscope_core.stages import FolderStore, StageLocation, StageStore
from tests.samples import PROMPT
from tests.unit.test_bundle import make_bundle

pytestmark = pytest.mark.contract


@pytest.fixture
def use_session(session, monkeypatch):
    """The process's own connection is the one to the tests' server."""
    monkeypatch.setattr("circuitscope_core.stages.opening.shared_session", lambda: session)


@pytest.fixture
def place(store, use_session):
    assert use_session is None
    return f"{store.place}/models/mine"


def tree(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def outputs(bundle):
    return bundle.model(torch.tensor([bundle.tokenizer.encode(PROMPT)]))


def other_bundle():
    bundle = make_bundle()
    with torch.no_grad():
        for parameter in bundle.model.parameters():
            parameter.add_(0.1)
    return bundle


def test_a_bundle_in_a_stage_loads_to_the_same_output(place, files):
    bundle = make_bundle()
    saved = cs.save_bundle(bundle, place)
    assert str(saved) == place
    loaded = cs.load_bundle(saved)
    assert torch.equal(outputs(loaded), outputs(bundle))
    assert loaded.metadata == bundle.metadata
    names = tree(files / "models/mine")
    assert "bundle.json" in names
    (version,) = {name.split("/")[0] for name in names} - {"bundle.json"}
    assert re.fullmatch("[0-9a-f]{16}", version)
    assert not [name for name in names if name.endswith(".gz")]


def test_the_record_is_written_last(place, account):
    cs.save_bundle(make_bundle(), place)
    puts = [sql for sql in account.statements if sql.startswith("PUT")]
    assert re.search(r"/bundle\.json'", puts[-1])
    assert not any("/bundle.json'" in sql for sql in puts[:-1])


def test_a_new_bundle_replaces_the_older_one_and_its_files(place, files):
    cs.save_bundle(make_bundle(), place)
    before = set(tree(files / "models/mine"))
    newer = other_bundle()
    cs.save_bundle(newer, place)
    after = set(tree(files / "models/mine"))
    assert before & after == {"bundle.json"}
    assert len(before) == len(after)
    assert torch.equal(outputs(cs.load_bundle(place)), outputs(newer))


def test_saving_the_same_bundle_twice_changes_nothing(place, files):
    cs.save_bundle(make_bundle(), place)
    before = tree(files / "models/mine")
    cs.save_bundle(make_bundle(), place)
    assert tree(files / "models/mine") == before
    cs.load_bundle(place)


@pytest.mark.parametrize("stop", range(1, 8))
def test_an_upload_that_breaks_off_leaves_the_older_bundle_whole(place, account, files, stop):
    older = make_bundle()
    cs.save_bundle(older, place)
    n_puts = len([sql for sql in account.statements if sql.startswith("PUT")])
    assert stop < n_puts
    account.fail("^PUT", "003001", "Insufficient privileges", after=stop)
    with pytest.raises(cs.StageError, match="may not do that"):
        cs.save_bundle(other_bundle(), place)
    account.reset()
    assert torch.equal(outputs(cs.load_bundle(place)), outputs(older))
    newer = other_bundle()
    cs.save_bundle(newer, place)
    assert torch.equal(outputs(cs.load_bundle(place)), outputs(newer))
    assert len(tree(files / "models/mine")) == n_puts  # what broke off was cleared away


def test_a_bundle_replaced_while_it_is_read_is_read_as_the_new_one(place, store, files, tmp_path):
    cs.save_bundle(make_bundle(), place)
    newer = other_bundle()

    class Replaced(FolderStore):
        """Somebody saves the new bundle right after the first listing."""

        fetched = 0

        def get(self, name, folder):
            path = super().get(name, folder)
            Replaced.fetched += 1
            if Replaced.fetched == 2:
                cs.save_bundle(newer, place)
            return path

    assert store.place
    download_bundle(Replaced(files / "models/mine"), tmp_path)
    assert torch.equal(outputs(cs.load_bundle(tmp_path)), outputs(newer))


def test_a_bundle_without_one_of_its_files_is_refused(place, files):
    cs.save_bundle(make_bundle(), place)
    (path,) = (files / "models/mine").rglob("feature_cards.parquet")
    path.unlink()
    with pytest.raises(cs.BundleError, match=r"lacks files that its bundle\.json names"):
        cs.load_bundle(place)


def test_a_file_of_another_bundle_is_refused(place, files, tmp_path):
    cs.save_bundle(make_bundle(), place)
    cs.save_bundle(other_bundle(), tmp_path / "other")
    (path,) = (files / "models/mine").rglob("transformer.safetensors")
    shutil.copyfile(tmp_path / "other/transformer.safetensors", path)
    with pytest.raises(cs.BundleError, match="was changed since the bundle was saved"):
        cs.load_bundle(place)


def test_a_copied_folder_is_a_bundle_too(place, files, tmp_path):
    bundle = make_bundle()
    shutil.copytree(cs.save_bundle(bundle, tmp_path / "m"), files / "models/mine")
    assert torch.equal(outputs(cs.load_bundle(place)), outputs(bundle))
    newer = other_bundle()
    cs.save_bundle(newer, place)
    assert torch.equal(outputs(cs.load_bundle(place)), outputs(newer))
    assert {name.count("/") for name in tree(files / "models/mine")} <= {0, 1, 2}


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil", "a//b", "a/./b"])
def test_names_that_lead_out_of_the_bundle_are_refused(place, files, tmp_path, name):
    folder = cs.save_bundle(make_bundle(), tmp_path / "m")
    record = json.loads((folder / "bundle.json").read_text())
    record["files"][name] = "0" * 64
    (folder / "bundle.json").write_text(json.dumps(record))
    shutil.copytree(folder, files / "models/mine")
    with pytest.raises(cs.BundleError, match="lies outside the bundle"):
        cs.load_bundle(place)


def test_a_place_with_other_files_is_not_overwritten(place, files):
    (files / "models/mine").mkdir(parents=True)
    (files / "models/mine/thesis.txt").write_text("years of work")
    with pytest.raises(cs.BundleError, match="holds files and no bundle"):
        cs.save_bundle(make_bundle(), place)
    assert tree(files / "models/mine") == ["thesis.txt"]


def test_nothing_there_is_told(place):
    with pytest.raises(cs.BundleError, match=r"is no bundle: it has no bundle\.json"):
        cs.load_bundle(place)


def test_bundles_are_listed_by_name(session, stage, tmp_path):
    models = StageStore(session, StageLocation(stage[0], "models"))
    folder = cs.save_bundle(make_bundle(), tmp_path / "m")
    for name in ("b", "a", "nested/c"):
        upload_bundle(folder, StageStore(session, StageLocation(stage[0], f"models/{name}")))
    models.put(folder / "bundle.json", "notes.json")
    assert list_bundles(models) == ("a", "b", "nested/c")
