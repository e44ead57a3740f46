"""A file that is written does to its name what a careful Unix tool would do."""

import os
import stat
import threading
from dataclasses import replace

import pytest

import circuitscope_core as cs
from circuitscope_core.export import export_svg
from circuitscope_core.files import written
from circuitscope_core.view import layout_graph
from tests.samples import tiny_replacement
from tests.unit.test_bundle import make_bundle

TEXT = "The (N"


@pytest.fixture(scope="module")
def bundle():
    return make_bundle()


@pytest.fixture(scope="module")
def writers(bundle):
    graph = cs.attribute(bundle, TEXT)
    pruned = cs.prune_graph(graph)
    view = layout_graph(pruned, bundle.tokenizer, bundle.feature_cards)
    return {
        "json": lambda path: cs.export_graph(pruned, path),
        "graphml": lambda path: cs.export_graphml(pruned, path),
        "html": lambda path: cs.export_html(pruned, bundle, path),
        "svg": lambda path: export_svg(view, path),
        "graph": graph.save,
    }


WRITERS = pytest.mark.parametrize("name", ["json", "graphml", "html", "svg", "graph"])


@WRITERS
def test_a_named_pipe_is_written_into_and_stays_one(writers, name, tmp_path):
    plain, pipe = tmp_path / "plain", tmp_path / "pipe"
    writers[name](plain)
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    writers[name](pipe)
    reader.join(timeout=60)
    assert read == [plain.read_bytes()]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device nodes")
@WRITERS
def test_a_device_stays_a_device(writers, name, tmp_path):
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        device.open("wb").close()
    except OSError:
        pytest.skip("device nodes cannot be used here")
    writers[name](device)
    assert stat.S_ISCHR(device.stat().st_mode)


@WRITERS
def test_a_link_stays_and_its_file_is_replaced(writers, name, tmp_path):
    real, link = tmp_path / "real" / "file", tmp_path / "link"
    real.parent.mkdir()
    real.write_text("old")
    link.symlink_to(real)
    writers[name](link)
    assert link.is_symlink()
    assert real.stat().st_size > 100
    assert os.listdir(real.parent) == ["file"]


@WRITERS
def test_a_file_keeps_its_rights(writers, name, tmp_path):
    file = tmp_path / "secret"
    file.touch(mode=0o600)
    writers[name](file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@WRITERS
@pytest.mark.parametrize("mask", [0o077, 0o022])
def test_a_new_file_has_the_rights_that_the_user_gives_new_files(writers, name, mask, tmp_path):
    before = os.umask(mask)
    try:
        writers[name](tmp_path / "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o666 & ~mask


@WRITERS
@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("folder", "is a folder"),
        ("file/x", "Not a directory|File exists"),
        ("/dev/full", "No space left"),
        ("", "The path is empty"),
    ],
)
def test_a_place_that_cannot_be_written_is_an_error_of_ours(writers, name, place, said, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    if name == "json" and place == "folder":
        assert writers[name](tmp_path / place).parent == tmp_path / place
        return
    with pytest.raises(cs.CircuitScopeError, match=said):
        writers[name](tmp_path / place if place else "")
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_name_as_long_as_names_may_be_is_written(writers, tmp_path):
    assert writers["json"](tmp_path / ("x" * 250 + ".json")).is_file()


def test_home_is_expanded_wherever_a_place_is_named(bundle, writers, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name, write in writers.items():
        write(f"~/{name}.file")
    cs.save_bundle(bundle, "~/mine")
    cs.save_transcoder(bundle.transcoder, "~/coder")
    assert not (tmp_path / "~").exists()
    assert cs.load_bundle("~/mine").metadata == bundle.metadata
    assert cs.load_transcoder("~/coder").config == bundle.transcoder.config
    assert cs.load_graph("~/graph.file").prompt == TEXT
    assert cs.read_graph_file("~/json.file").prompt == TEXT


def test_a_writer_that_breaks_off_leaves_the_old_file(tmp_path):
    file = tmp_path / "file"
    file.write_text("old")
    with pytest.raises(ZeroDivisionError), written(file, cs.GraphError, "It") as partial:  # noqa: PT012
        partial.write_text("half")
        _ = 1 / 0
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("place", ["file", "file/x", "/dev/null/x"])
def test_bundles_and_transcoders_name_the_place_that_cannot_be_written(bundle, place, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(cs.BundleError, match=r"file|Not a directory"):
        cs.save_bundle(bundle, tmp_path / place)
    with pytest.raises(cs.BundleError, match=r"Not a directory|File exists"):
        cs.save_transcoder(bundle.transcoder, tmp_path / place)
    source = cs.save_bundle(bundle, tmp_path / "good")
    with pytest.raises(cs.BundleError, match=r"file|Not a directory"):
        cs.copy_bundle(source, tmp_path / place)
    assert (tmp_path / "file").read_text() == "mine"


def test_layers_that_share_their_weights_are_saved(bundle, tmp_path):
    model = tiny_replacement().model
    model.blocks[1] = model.blocks[0]
    assert bundle.model.config == model.config
    path = cs.save_bundle(replace(bundle, model=model), tmp_path / "shared")
    read = cs.load_bundle(path).model.state_dict()
    assert all(bool((read[name] == value).all()) for name, value in model.state_dict().items())
