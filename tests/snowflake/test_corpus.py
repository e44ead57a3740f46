"""A corpus from a stage is the corpus from the same files in a folder, whatever happens between."""

import hashlib
import threading
from pathlib import Path

import numpy as np
import pytest

import circuitscope_core as cs
from circuitscope_core.corpus import (
    ReadCounter,
    StageSource,
    find_staged_files,
    open_sources,
    read_corpus,
)
from circuitscope_core.corpus.skill_text import SkillWriter
from circuitscope_core.stages import StageLocation, StageStore
from tests.texts import tiny_config, write_parquet

pytestmark = pytest.mark.contract
CONFIG = cs.CorpusConfig(validation_every=5, skill_share=0.3)


@pytest.fixture
def pile(files):
    """Three files of text, and others beside them."""
    for name, first in (("pile/b", 0), ("pile/sub/a", 100), ("pile/a", 200), ("pile2/x", 300)):
        path = files / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_parquet(
            path, [f"text {number} of {name}. " * 20 for number in range(first, first + 70)]
        )
    (files / "pile/notes.txt").write_text("no Parquet")
    return files


@pytest.fixture
def source(store):
    def make(path, **changes):
        place = str(StageLocation(store.location.names, path))
        return StageSource(place, store=store, **changes)

    return make


def read(source, config=CONFIG, seed=3):
    *_, corpus = read_corpus([source], config, cs.ByteTokenizer(), seed=seed)
    return corpus


def same(one, other):
    for name in ("train_tokens", "train_counted", "held_out_tokens"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    assert (one.fingerprint, one.report) == (other.fingerprint, other.report)
    return True


def test_the_corpus_is_that_of_the_same_local_files(pile, source, account):
    (local,) = open_sources(str(pile / "pile"), CONFIG)
    expected = read(local)
    assert same(read(source("pile")), expected)
    heads = [sql.split()[0] for sql in account.statements]
    assert heads == ["LIST", "GET", "GET", "GET"]
    assert expected.report.n_files == 3


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("pile", ["pile/a.parquet", "pile/b.parquet", "pile/sub/a.parquet"]),
        ("", ["pile/a.parquet", "pile/b.parquet", "pile/sub/a.parquet", "pile2/x.parquet"]),
        ("pile/b.parquet", ["pile/b.parquet"]),
        ("pile/notes.txt", ["pile/notes.txt"]),
        ("pile/*.parquet", ["pile/a.parquet", "pile/b.parquet"]),
        ("**/a.parquet", ["pile/a.parquet", "pile/sub/a.parquet"]),
        ("pile?/*", ["pile2/x.parquet"]),
    ],
)
def test_a_file_a_folder_and_a_pattern_stand_for_files(pile, store, account, path, names):
    assert pile
    location = StageLocation(store.location.names, path)
    assert [file.name for file in find_staged_files(store, location)] == names
    assert len(account.statements) == 1


@pytest.mark.parametrize("path", ["nothing", "pile/*.csv", "pile/sub/b.parquet", "pil"])
def test_a_place_without_files_is_told(pile, source, path):
    assert pile
    with pytest.raises(cs.CorpusError, match=r"holds no Parquet file.*AUTO_COMPRESS=FALSE"):
        source(path).documents(ReadCounter())


def test_files_that_break_off_give_the_same_corpus(pile, source, account, waits):
    (local,) = open_sources(str(pile / "pile"), CONFIG)
    account.cut(r"/a\.parquet", 2)
    account.cut(r"/b\.parquet", 1, kept=0.9)
    assert same(read(source("pile")), read(local))
    assert len(waits) == 3


def test_a_file_that_never_arrives_is_named_by_its_place_in_the_stage(pile, source, account):
    account.cut(r"/b\.parquet", 3)
    documents = source("pile").documents(ReadCounter())
    with pytest.raises(cs.StageError, match=r"connection was lost in mid-file: @CS\.APP") as caught:
        list(documents)
    assert "/pile/b.parquet did not arrive whole" in str(caught.value)
    assert pile


def test_the_column_is_checked_before_anything_is_read(pile, source):
    with pytest.raises(cs.CorpusError) as caught:
        source("pile", text_column="body").documents(ReadCounter())
    said = str(caught.value)
    assert "/pile/a.parquet has no column 'body'; text columns are: text" in said
    assert said.startswith("@CS.APP.")
    assert str(pile) not in said


def test_a_later_file_is_checked_when_it_arrives(pile, source):
    (pile / "pile/b.parquet").write_text("no table")
    documents = source("pile").documents(ReadCounter())
    with pytest.raises(cs.CorpusError, match=r"^@CS\.APP\..*/pile/b\.parquet cannot be read as"):
        list(documents)


def test_a_damaged_page_is_told_by_its_place_in_the_stage(pile, source):
    path = pile / "pile/a.parquet"
    data = bytearray(path.read_bytes())
    data[4:60] = bytes(255 - byte for byte in data[4:60])
    path.write_bytes(data)
    with pytest.raises(cs.CorpusError, match=r"^@CS\.APP\..*/pile/a\.parquet is damaged: row gr"):
        list(source("pile").documents(ReadCounter()))


def test_reading_stops_early_without_leaving_files(pile, source, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert pile
    corpus = read(source("pile"), cs.CorpusConfig(max_tokens=2_000, validation_every=5))
    assert not corpus.report.complete
    for thread in threading.enumerate():
        if thread.name.startswith("fetch"):
            thread.join()
    # the connector leaves an empty folder behind for each file
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert list(tmp_path.glob("circuitscope-*")) == []


def test_a_missing_stage_and_lost_rights_are_told_before_anything_is_read(session):
    store = StageStore(session, StageLocation.parse("@cs.app.none"))
    with pytest.raises(cs.StageError, match="does not exist, or your role may not see it"):
        StageSource("@cs.app.none/pile", store=store).documents(ReadCounter())


def test_sources_that_begin_with_an_at_sign_are_stages():
    (source,) = open_sources("@s/pile", cs.CorpusConfig(text_column="body", max_document_bytes=9))
    assert source == StageSource("@s/pile", "body", 9)
    assert source.name == "@s/pile"
    assert open_sources(Path("@s/pile"), cs.CorpusConfig()) == (StageSource("@s/pile"),)


@pytest.mark.parametrize("ahead", [0, 700, 100_000])
@pytest.mark.parametrize("wanted", [0, 1, 2_500])
def test_skill_text_written_ahead_is_the_same(ahead, wanted):
    plain, early = (SkillWriter(cs.ByteTokenizer(), "0 train") for _ in range(2))
    list(plain.write(wanted))
    with early.ahead(ahead):
        while early.stream.n_tokens < ahead:
            pass
    list(early.write(wanted))
    assert bytes(early.stream.array()) == bytes(plain.stream.array())
    assert early.stream.lengths == plain.stream.lengths
    pairs = zip(early.stream.pieces(), plain.stream.pieces(), strict=True)
    assert all(np.array_equal(one[1], other[1]) for one, other in pairs)


def test_an_error_of_the_writer_is_raised_where_the_text_is_read():
    writer = SkillWriter(cs.ByteTokenizer(), "0 train")
    writer._texts = iter([None])
    with pytest.raises(AttributeError, match="text"), writer.ahead(10):
        pass


def test_skill_text_is_as_the_demo_was_trained_on():
    """A million bytes of it, their documents and what counts."""
    writer = SkillWriter(cs.ByteTokenizer(), "0 train")
    list(writer.write(1_000_000))
    digest = hashlib.sha256(writer.stream.array())
    for _, counted in writer.stream.pieces():
        digest.update(counted)
    assert digest.hexdigest() == (
        "288068bcfa1ac22a4b45c2197847c57a1ed5c4f756d880b185adc22d009a459b"
    )


def test_a_training_goes_on_after_a_connection_was_lost(pile, store, account, tmp_path):
    assert pile
    config = tiny_config()
    source = StageSource(f"{store.place}/pile", store=store)
    account.cut(r"/b\.parquet", 3)
    with pytest.raises(cs.StageError, match="lost in mid-file"):
        list(cs.train(config, source, tmp_path / "m"))
    events = list(cs.train(config, source, tmp_path / "m"))
    assert cs.load_bundle(tmp_path / "m").metadata.corpus["sources"] == [f"{store.place}/pile"]
    assert events
