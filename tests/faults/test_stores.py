"""A bundle that is copied to a store, whose operations end or fail one after the other."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

import circuitscope_core as cs
from circuitscope_core.bundle import download_bundle, upload_bundle
from circuitscope_core.pipeline import RunLog
from circuitscope_core.stages import FolderStore
from circuitscope_core.training import PhaseStarted, RunFolder
from tests.faults.injection import ENDED, FULL, Killed, faults
from tests.faults.samples import fresh, refusal, seed_of, small_bundle

OLD, NEW, NEXT = 1, 2, 3


@dataclass(frozen=True)
class BrittleStore(FolderStore):
    """A store in which the change with a number fails, as a stage's may."""

    number: int = 10**6
    error: type[BaseException] = cs.StageError
    changes: list[str] = field(default_factory=list)

    def change(self, name):
        self.changes.append(name)
        if len(self.changes) >= self.number:
            raise self.error(f"{name} was not changed: the connection is gone")

    def put(self, path, name):
        self.change(name)
        super().put(path, name)

    def remove(self, names):
        for name in names:
            self.change(name)
            super().remove([name])

    @property
    def broke(self):
        return len(self.changes) >= self.number


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folders of bundles, and a store that holds the old one."""
    place = tmp_path_factory.mktemp("saved")
    for seed in (OLD, NEW, NEXT):
        cs.save_bundle(small_bundle(seed), place / str(seed))
    upload_bundle(place / str(OLD), FolderStore(place / "store"))
    return place


def seed_in(store, place):
    """Return the seed of the bundle in a store, as who copies it out gets it."""
    place.mkdir(parents=True)
    download_bundle(store, place)
    return seed_of(place)


def stores(saved, tmp_path, error):
    """Yield stores with the old bundle, each of which fails one change later."""
    number = 0
    while True:
        number += 1
        folder = fresh(saved / "store", tmp_path / f"store{number}")
        store = BrittleStore(folder, number, error)
        yield store
        if not store.broke:
            assert number > 10
            return


@pytest.mark.parametrize("error", [cs.StageError, Killed])
def test_a_copy_to_a_store_that_breaks_off_leaves_the_old_or_the_new(saved, tmp_path, error):
    seen = []
    for store in stores(saved, tmp_path, error):
        try:
            upload_bundle(saved / str(NEW), store)
        except error:
            assert store.broke
        whole = FolderStore(store.folder)
        seen.append(seed_in(whole, tmp_path / f"copy{store.number}"))
        upload_bundle(saved / str(NEXT), whole)
        assert seed_in(whole, tmp_path / f"next{store.number}") == NEXT
        assert len({file.name.split("/")[0] for file in whole.list()}) == 2
    assert seen == sorted(seen)
    assert set(seen) == {OLD, NEW}


def test_a_first_copy_that_breaks_off_is_no_bundle_until_it_is_whole(saved, tmp_path):
    for number in range(1, 30):
        store = BrittleStore(tmp_path / str(number), number)
        said = refusal(lambda store=store: upload_bundle(saved / str(NEW), store))
        whole = FolderStore(store.folder)
        there = any(file.name == "bundle.json" for file in whole.list())
        assert there == (not said)
        upload_bundle(saved / str(NEW), whole)
        assert seed_in(whole, tmp_path / f"copy{number}") == NEW
        if not said:
            break
    assert number > 5


def test_a_folder_of_files_changes_a_file_as_a_whole(tmp_path):
    source = tmp_path / "new"
    source.write_bytes(b"new" * 99)
    for kind in (ENDED, FULL):
        for fault in faults(kind):
            store = FolderStore(tmp_path / kind / str(fault.number))
            store.folder.mkdir(parents=True)
            (store.folder / "a").write_bytes(b"old")
            with fault:
                said = refusal(lambda store=store: store.put(source, "a"))
            assert (store.folder / "a").read_bytes() in (b"old", b"new" * 99)
            assert [file.name for file in store.list()] == ["a"]
            if kind == FULL:
                assert ("cannot be written" in said) == fault.struck
                assert [path.name for path in store.folder.iterdir()] == ["a"]
            store.put(source, "a")
            assert (store.folder / "a").read_bytes() == b"new" * 99


def test_a_bundle_copied_to_a_stage_without_room_says_so(saved, tmp_path, monkeypatch):
    module = "circuitscope_core.bundle.bundle"
    for fault in faults(FULL):
        store = FolderStore(fresh(saved / "store", tmp_path / str(fault.number)))
        monkeypatch.setattr(f"{module}.open_store", lambda _, store=store: store)
        with fault:
            said = refusal(lambda: cs.save_bundle(small_bundle(NEW), "@stage/models/mine"))
        assert bool(said) == fault.struck, fault.calls[-1]
        assert seed_in(store, tmp_path / f"copy{fault.number}") == (OLD if said else NEW)


def test_a_run_that_is_mirrored_goes_on_from_the_store_wherever_the_mirror_broke(tmp_path):
    for number in range(1, 30):
        here = RunFolder(tmp_path / str(number) / "here")
        here.claim({"configuration": 1})
        store = BrittleStore(tmp_path / str(number) / "store", number, Killed)
        try:
            log = RunLog(here, store)
            log.seed()
            for step in (1, 2):
                here.checkpoint("language model").save(step, {})
                log.append(PhaseStarted("language model", 10))
        except Killed:
            assert store.broke
        there = RunFolder(Path(tmp_path / str(number) / "there"))
        there.path.mkdir()
        RunLog(there, FolderStore(store.folder)).fill()
        assert all(step <= 2 for step in there.progress())
        RunLog(here, FolderStore(store.folder)).begin()  # the machine it began on is still at work
        RunLog(here, FolderStore(store.folder)).append(PhaseStarted("transcoder", 10))
        if not store.broke:
            assert there.progress() == here.progress() == (2, -1)
            assert there.events.read_text().count("\n") == 2
            break
    assert number > 5
