"""Files fetched one ahead of the reading, from a store in memory."""

import threading
import time
from pathlib import Path

import pytest

import circuitscope_core as cs
from circuitscope_core.stages import download


class SlowStore:
    """Files in memory; fetching takes as long as the test wants."""

    place = "@S"

    def __init__(self, names, broken=()):
        self.names, self.broken = names, broken
        self.started, self.folders, self.gate = [], [], threading.Event()
        self.gate.set()

    def list(self, _under=""):
        return ()

    def get(self, name, folder):
        self.started.append(name)
        self.folders.append(folder)
        self.gate.wait(10)
        if name in self.broken:
            raise cs.StageError(f"{name} is lost")
        path = folder / Path(name).name
        path.write_text(f"text of {name}")
        return path

    def put(self, *_):
        raise AssertionError("nothing is written")

    def remove(self, _):
        raise AssertionError("nothing is deleted")

    def on_disk(self):
        return sum(folder.exists() for folder in self.folders)


def wait_until(condition):
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    assert condition()


def test_the_next_file_is_fetched_while_the_present_one_is_read():
    store = SlowStore(["a/x", "b/x", "c/x"])
    arrived = []
    files = download(store, store.names, arrived.append)
    first = next(files)
    wait_until(lambda: store.started == ["a/x", "b/x"])
    assert first.read_text() == "text of a/x"
    assert store.on_disk() == 2
    second = next(files)
    wait_until(lambda: len(store.started) == 3)
    assert not first.exists()
    assert second.read_text() == "text of b/x"
    assert store.on_disk() == 2
    assert [path.read_text() for path in files] == ["text of c/x"]
    assert store.on_disk() == 0
    assert arrived == store.names


def test_stopping_early_leaves_nothing_behind_and_waits_for_nothing():
    store = SlowStore(["a", "b", "c"])
    files = download(store, store.names)
    next(files)
    wait_until(lambda: len(store.started) == 2)
    store.gate.clear()
    files = download(store, store.names)
    store.gate.set()
    next(files)
    store.gate.clear()
    wait_until(lambda: len(store.started) == 4)
    started = time.monotonic()
    files.close()
    assert time.monotonic() - started < 1  # the file on its way is not waited for
    store.gate.set()
    wait_until(lambda: store.on_disk() == 0)
    assert store.started == ["a", "b", "a", "b"]


def test_an_error_comes_when_it_is_the_files_turn():
    store = SlowStore(["a", "b"], broken=["b"])
    files = download(store, store.names)
    assert next(files).read_text() == "text of a"
    wait_until(lambda: len(store.started) == 2)
    with pytest.raises(cs.StageError, match="b is lost"):
        next(files)
    assert store.on_disk() == 0


def test_inside_a_warehouse_files_are_fetched_in_turn(monkeypatch):
    monkeypatch.setattr("circuitscope_core.stages.fetching.in_warehouse", lambda: True)
    store = SlowStore(["a", "b"])
    files = download(store, store.names)
    next(files)
    time.sleep(0.05)
    assert store.started == ["a"]
    assert [path.read_text() for path in files] == ["text of b"]
