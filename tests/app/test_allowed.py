"""A shared server limits what visitors may read, and how much they may leave."""

from glob import glob
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import circuitscope_core as cs
from pages.ui.shared.allowed import (
    FOLDERS,
    UPLOADS,
    allowed_folders,
    check_paths,
    check_place,
    check_room,
)
from tests.app.opening import open_page


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A server that allows two folders."""
    for name in ("data", "more", "secret"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.parquet").write_bytes(b"")
    (tmp_path / "data" / "way_out").symlink_to(tmp_path / "secret")
    (tmp_path / "ring").symlink_to(tmp_path / "ring")
    monkeypatch.setenv(FOLDERS, f"{tmp_path / 'data'}:{tmp_path / 'more'}:")
    return tmp_path


def test_nothing_is_limited_where_the_server_says_nothing(monkeypatch, tmp_path):
    monkeypatch.delenv(FOLDERS, raising=False)
    assert allowed_folders() is None
    check_place("/etc/passwd")
    monkeypatch.setenv(FOLDERS, str(tmp_path))
    with pytest.raises(cs.ConfigError, match="/etc/passwd lies outside the folders"):
        check_place("/etc/passwd")


def name_and_find(place):
    """Check a place as the Train page does: the text itself, then all that it stands for."""
    check_place(place)
    check_paths(map(Path, glob(place, recursive=True)), place)


@pytest.mark.parametrize(
    "place",
    [
        *(
            "secret",
            "secret/a.parquet",
            "secret/*.parquet",
            "data/../secret",
            "data/*/../secret",
        ),
        *("ring", "\x00"),
        *("data/way_out", "data/way_out/a.parquet", "data/way_out/*", "s*", "", "nothing", "datab"),
    ],
)
def test_what_lies_outside_is_refused(data, place):
    with pytest.raises(cs.ConfigError, match=r"may name: .*data, .*more\. Name a place below"):
        name_and_find(f"{data}/{place}")


@pytest.mark.parametrize("place", ["data", "data/a.parquet", "more/*.parquet", "data/not_there"])
def test_what_lies_inside_may_be_named(data, place):
    check_place(f"{data}/{place}")


def test_names_on_the_hub_and_in_stages_are_no_folders(data, monkeypatch):
    monkeypatch.chdir(data)
    for place in ("@stage/a", "hf://datasets/a/b/c.parquet", "gpt2", "EleutherAI/pythia-70m"):
        check_place(place)
    with pytest.raises(cs.ConfigError, match="outside"):
        check_place("secret/a.parquet")


def test_a_home_that_is_not_there_is_told(data):
    assert data
    with pytest.raises(cs.ConfigError, match="~no-such-user/a names no folder"):
        check_place("~no-such-user/a")


def test_uploads_are_bounded_together(tmp_path, monkeypatch):
    folder = tmp_path / "uploads"
    check_room(folder, 10)
    folder.mkdir()
    (folder / "a").write_bytes(bytes(600_000))
    monkeypatch.setenv(UPLOADS, "1")
    check_room(folder, 400_000)
    with pytest.raises(cs.ConfigError, match="already take 1 of the 1 MB"):
        check_room(folder, 400_001)
    monkeypatch.setenv(UPLOADS, "many")
    with pytest.raises(cs.ConfigError, match="'many'; it must be a whole number"):
        check_room(folder, 1)


def test_the_train_page_says_it_at_the_field(data):
    at = open_page("train")
    at.radio(key="train_source").set_value("path").run()
    at.text_input(key="train_path").set_value(str(data / "secret")).run()
    assert "may name" in at.error[0].value
    assert at.button(key="train_start").disabled


def test_the_models_page_refuses_a_folder_and_a_transcoder_elsewhere(data):
    pytest.importorskip("transformers")
    at = open_page("models")
    assert isinstance(at, AppTest)
    for key in ("models_source", "models_transcoder"):
        at.text_input(key="models_source").set_value("gpt2")
        at.text_input(key=key).set_value(str(data / "secret"))
        at.button[[button.label for button in at.button].index("Add the model")].click().run()
        assert "may name" in at.error[-1].value
