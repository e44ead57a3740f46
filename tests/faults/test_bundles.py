"""A bundle is the old one or the new one, wherever the program that replaces it ends."""

import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

import circuitscope_core as cs
from circuitscope_core.bundle import put_in_place
from circuitscope_core.cli import main
from tests.faults.injection import ENDED, FULL, REFUSED, faults
from tests.faults.samples import fresh, refusal, seed_of, small_bundle

OLD, NEW, NEXT = 1, 2, 3


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folders of models with the old bundle, and with the new one, both called ``mine``."""
    place = tmp_path_factory.mktemp("saved")
    for seed in (OLD, NEW):
        cs.save_bundle(small_bundle(seed), place / str(seed) / "mine")
    return place


def replace_by_saving(models, saved):
    del saved
    cs.save_bundle(small_bundle(NEW), models / "mine")


def replace_by_copying(models, saved):
    cs.copy_bundle(saved / str(NEW) / "mine", models / "mine")


REPLACE = (replace_by_saving, replace_by_copying)


@pytest.mark.parametrize("replace", REPLACE)
def test_a_replacement_that_is_killed_leaves_the_old_or_the_new(saved, tmp_path, replace):
    seen = set()
    for fault in faults(ENDED, least=20):
        models = fresh(saved / str(OLD), tmp_path / "models")
        with fault:
            replace(models, saved)
        other = fresh(models, tmp_path / "listed")
        assert [model.name for model in cs.list_models(other)] == ["mine"]
        seen.add(seed := seed_of(models / "mine"))
        binned = cs.list_bin(models)
        assert len(binned) == (seed == NEW), fault.calls[-1]
        cs.save_bundle(small_bundle(NEXT), models / "mine")
        assert seed_of(models / "mine") == NEXT
        assert sorted(path.name for path in models.iterdir()) == [".bin", "mine"]
    assert seen == {OLD, NEW}


def test_a_first_save_that_is_killed_leaves_nothing_or_the_new(saved, tmp_path):
    for fault in faults(ENDED, least=20):
        models = fresh(saved / str(OLD), tmp_path / "models")
        with fault:
            cs.save_bundle(small_bundle(NEW), models / "another")
        there = [model.name for model in cs.list_models(models)]
        assert there in (["mine"], ["another", "mine"])
        if "another" in there:
            assert seed_of(models / "another") == NEW
        assert cs.rename_model("mine", "named", models).name == "named"
        cs.save_bundle(small_bundle(NEXT), models / "another")
        assert seed_of(models / "another") == NEXT


@pytest.mark.parametrize("replace", REPLACE)
@pytest.mark.parametrize("kind", [FULL, REFUSED])
def test_a_replacement_without_room_is_an_error_and_leaves_the_old(saved, tmp_path, replace, kind):
    for fault in faults(kind):
        models = fresh(saved / str(OLD), tmp_path / "models")
        with fault:
            said = refusal(partial(replace, models, saved))
        assert bool(re.search("cannot be|Make room", said)) == fault.struck
        if fault.struck:
            assert seed_of(models / "mine") == OLD
            assert cs.list_bin(models) == ()
            assert {path.name for path in models.iterdir()} <= {".bin", "mine"}
        else:
            assert seed_of(models / "mine") == NEW


def test_the_command_line_says_that_a_disk_is_full(saved, tmp_path, capsys):
    for fault in faults(FULL):
        models = fresh(saved / str(OLD), tmp_path / "models")
        with fault:
            status = main(["copy", str(saved / str(NEW) / "mine"), str(models / "mine")])
        assert status == fault.struck
        said = capsys.readouterr().err
        assert ("No space left" in said) == fault.struck
        assert seed_of(models / "mine") == (OLD if fault.struck else NEW)


def test_a_bundle_that_waits_for_its_name_does_not_come_back_after_a_removal(saved, tmp_path):
    for act in (cs.remove_model, lambda name, models: cs.rename_model(name, "other", models)):
        models = fresh(saved / str(OLD), tmp_path / "models")
        fresh(saved / str(NEW) / "mine", models / ".mine.ready")
        act("mine", models)
        assert "mine" not in [model.name for model in cs.list_models(models)]
        assert not (models / "mine").exists()


def test_a_name_whose_bundle_waits_for_it_is_taken(saved, tmp_path):
    models = fresh(saved / str(OLD), tmp_path / "models")
    cs.remove_model("mine", models)
    (token,) = [model.token for model in cs.list_bin(models)]
    fresh(saved / str(NEW) / "mine", models / ".mine.ready")
    with pytest.raises(cs.BundleError, match="already"):
        cs.restore_model(token, models)
    assert seed_of(models / "mine") == NEW


def test_an_empty_folder_gives_way(saved, tmp_path):
    (tmp_path / "mine").mkdir()
    whole = fresh(saved / str(NEW) / "mine", tmp_path / "whole")
    put_in_place(whole, tmp_path / "mine")
    assert seed_of(tmp_path / "mine") == NEW


SAVING = """
import sys
from pathlib import Path
import circuitscope_core as cs
from tests.faults.samples import small_bundle
bundles = {seed: small_bundle(seed) for seed in (1, 2)}
print("ready", flush=True)
while True:
    for seed, bundle in bundles.items():
        cs.save_bundle(bundle, Path(sys.argv[1]) / "mine")
        cs.empty_bin(sys.argv[1])
"""


def test_a_process_that_is_killed_while_it_saves_leaves_a_bundle_that_loads(saved, tmp_path):
    models = fresh(saved / str(OLD), tmp_path / "models")
    command = [sys.executable, "-c", SAVING, str(models)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert seed_of(models / "mine") in (OLD, NEW)
    cs.save_bundle(small_bundle(NEXT), models / "mine")
    assert seed_of(models / "mine") == NEXT
