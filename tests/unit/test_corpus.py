"""Reading: order, held-out text, memory, and everything that can be wrong with a file."""

import itertools
import random
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import circuitscope_core as cs
from bench.corpus_memory import read_apart
from circuitscope_core.corpus import (
    BuiltinSource,
    Document,
    ParquetSource,
    PythonLibrarySource,
    ReadCounter,
    open_sources,
    read_corpus,
    read_open_documents,
)
from circuitscope_core.skills import write_documents

ROOT = Path(__file__).parents[2]
PILE = ROOT.parent / "shared" / "data" / "pile"
PLAIN = cs.CorpusConfig(skill_share=0.0, validation_every=5)


def write(path, texts, *, column="text", meta=None, row_group_size=None):
    columns = {column: texts}
    if meta is not None:
        columns["meta"] = meta
    pq.write_table(pa.table(columns), path, row_group_size=row_group_size)
    return path


def read(location, config=PLAIN, seed=0):
    sources = open_sources(str(location), config)
    *_, corpus = read_corpus(sources, config, cs.ByteTokenizer(), seed=seed)
    return corpus


def texts_of(tokens):
    """Cut a stream at its separators."""
    starts = np.flatnonzero(tokens == 256).tolist()
    ends = [*starts[1:], len(tokens)]
    return [bytes(tokens[a + 1 : b].tolist()).decode() for a, b in zip(starts, ends, strict=True)]


def documents(source):
    counter = ReadCounter()
    return list(source.documents(counter)), counter


def test_files_are_read_by_name_and_rows_in_order(tmp_path):
    write(tmp_path / "b.parquet", ["b0", "b1"])
    write(tmp_path / "a.parquet", ["a0", "a1", "a2"], row_group_size=1)
    (tmp_path / "notes.txt").write_text("no Parquet")
    expected = ["a0", "a1", "a2", "b0", "b1"]
    for location in (tmp_path, tmp_path / "*.parquet"):
        found, counter = documents(ParquetSource(location))
        assert [document.text for document in found] == expected
        assert counter.n_files == 2


def test_every_fifth_document_is_held_out_and_never_trained_on(tmp_path):
    texts = [f"document {number}" for number in range(23)]
    corpus = read(write(tmp_path / "t.parquet", texts))
    held_out = texts_of(corpus.held_out_tokens)
    assert held_out == texts[4::5]
    assert sorted(held_out + texts_of(corpus.train_tokens)) == sorted(texts)
    assert (corpus.n_train_documents, corpus.n_held_out_documents) == (19, 4)


def test_a_copy_of_a_held_out_document_is_not_trained_on(tmp_path):
    texts = ["a", "b", "c", "d", "same", "e", "same", "f"]
    corpus = read(write(tmp_path / "t.parquet", texts))
    assert "same" not in texts_of(corpus.train_tokens)


def test_a_small_corpus_still_holds_something_out(tmp_path):
    corpus = read(write(tmp_path / "t.parquet", ["first", "last"]))
    assert texts_of(corpus.held_out_tokens) == ["last"]


def test_the_piles_set_name_is_kept_and_the_file_named_otherwise(tmp_path):
    meta = [{"pile_set_name": "Github"}, {"pile_set_name": None}]
    found, _ = documents(ParquetSource(write(tmp_path / "part.parquet", ["x", "y"], meta=meta)))
    assert [document.source for document in found] == ["Github", "part"]
    as_json = ['{"pile_set_name": "Wiki"}', "{broken"]
    found, _ = documents(ParquetSource(write(tmp_path / "json.parquet", ["x", "y"], meta=as_json)))
    assert [document.source for document in found] == ["Wiki", "json"]


def test_another_text_column_can_be_named(tmp_path):
    path = write(tmp_path / "t.parquet", ["körper"], column="body")
    found, _ = documents(ParquetSource(path, text_column="body"))
    assert found == [Document("körper", "t")]


def test_what_cannot_be_used_is_skipped_counted_and_told(tmp_path):
    schema = pa.schema([("text", pa.binary())])
    rows = [b"good", None, b"", b" \n ", b"\xff\xfe broken", "é".encode() * 600_000]
    pq.write_table(pa.table({"text": rows}, schema=schema), tmp_path / "t.parquet")
    corpus = read(tmp_path / "t.parquet")
    report = corpus.report
    assert (report.n_null, report.n_empty, report.n_not_text, report.n_truncated) == (1, 2, 1, 1)
    assert report.n_documents == 2
    said = report.describe()
    assert "Skipped 4 rows: 1 without text, 2 empty, 1 not valid UTF-8." in said
    assert "Cut 1 document" in said
    longest = max(texts_of(np.concatenate([corpus.train_tokens, corpus.held_out_tokens])), key=len)
    assert longest == "é" * 500_000  # cut at a character, not inside one


def test_a_string_column_with_broken_utf8_is_skipped_not_fatal(tmp_path):
    broken = pa.array([b"ok", b"\xc3\x28"]).view(pa.string())
    pq.write_table(pa.table({"text": broken}), tmp_path / "t.parquet")
    found, counter = documents(ParquetSource(tmp_path / "t.parquet"))
    assert [document.text for document in found] == ["ok"]
    assert counter.n_not_text == 1


def test_dictionary_columns_are_text_too(tmp_path):
    column = pa.array(["a", "b", "a", None]).dictionary_encode()
    pq.write_table(pa.table({"text": column}), tmp_path / "t.parquet")
    found, counter = documents(ParquetSource(tmp_path / "t.parquet"))
    assert [document.text for document in found] == ["a", "b", "a"]
    assert counter.n_null == 1


def test_one_document_of_100_megabytes_is_cut(tmp_path):
    path = write(tmp_path / "t.parquet", ["x" * 100_000_000, "short"])
    corpus = read(path)
    assert corpus.report.n_truncated == 1
    assert len(corpus.train_tokens) == 1_000_001


def corrupt_page(path):
    """Flip bits where the second row group's text begins: in its page header."""
    place = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = place.data_page_offset
    data[start : start + 60] = bytes(255 - byte for byte in data[start : start + 60])
    path.write_bytes(data)


def test_a_damaged_row_group_is_named_with_file_and_column(tmp_path):
    texts = [f"{number} " * 40 for number in range(400)]
    path = tmp_path / "t.parquet"
    table = pa.table({"text": texts})
    pq.write_table(table, path, row_group_size=100, use_dictionary=False, compression="zstd")
    corrupt_page(path)
    with pytest.raises(cs.CorpusError, match=r"t\.parquet is damaged: row group 1, column 'text'"):
        read(path)


@pytest.mark.parametrize("contents", [b"", b"junk", b"PAR1" + b"x" * 100 + b"PAR1"])
def test_a_file_that_is_no_parquet_is_named(tmp_path, contents):
    path = tmp_path / "t.parquet"
    path.write_bytes(contents)
    with pytest.raises(cs.CorpusError, match=r"t\.parquet cannot be read as a Parquet file"):
        read(path)


def test_a_truncated_file_is_named(tmp_path):
    path = write(tmp_path / "t.parquet", ["x" * 1000] * 100)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(cs.CorpusError, match="cannot be read as a Parquet file"):
        read(path)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_bytes_are_damaged_the_error_is_ours(tmp_path, seed):
    rng = random.Random(seed)
    meta = [{"pile_set_name": "Github"}] * 90
    path = write(tmp_path / "t.parquet", ["words " * 20] * 90, meta=meta, row_group_size=30)
    original = path.read_bytes()
    footer = len(original) - 8 - int.from_bytes(original[-8:-4], "little")
    said = []
    for _ in range(150):
        data = bytearray(original)
        for _ in range(rng.randint(1, 3)):
            first = footer if rng.random() < 0.7 else 0
            data[rng.randrange(first, len(data))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            documents(ParquetSource(path))
        except cs.CorpusError as error:
            said.append(str(error))
    assert len(said) > 50
    assert all(str(path) in message for message in said)


def test_a_column_name_that_is_not_text_is_a_damaged_file(tmp_path):
    path = write(tmp_path / "t.parquet", ["x"], column="column_name")
    path.write_bytes(path.read_bytes().replace(b"column_name", b"\xff\xfe\xfdumn_name"))
    with pytest.raises(cs.CorpusError, match=r"t\.parquet cannot be read as a Parquet file"):
        read(path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"body": ["x"], "n": [1]}, r"has no column 'text'; text columns are: body"),
        ({"text": [1], "body": ["x"]}, r"holds int64, not text; text columns are: body"),
        ({"n": [1]}, "has no column 'text'; it has no text column"),
    ],
)
def test_a_wrong_column_says_which_there_are(tmp_path, columns, message):
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    with pytest.raises(cs.CorpusError, match=message):
        read(tmp_path / "t.parquet")


def test_a_bad_second_file_is_found_before_the_first_is_used(tmp_path):
    write(tmp_path / "a.parquet", ["x"])
    (tmp_path / "b.parquet").write_bytes(b"junk")
    with pytest.raises(cs.CorpusError, match=r"b\.parquet"):
        ParquetSource(tmp_path).documents(ReadCounter())


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("/nowhere/t.parquet", "is not there; name a Parquet file"),
        ("/nowhere/*.parquet", "holds no Parquet file"),
        ("", "is empty; name a Parquet file"),
        ("hf://datasets/owner", r"is not the address of a file; write hf://datasets"),
        ("hf://datasets/../x/y.parquet", "is no name on the hub"),
        ("hf://datasets/a/b/../y.parquet", "does not end in the path"),
    ],
)
def test_a_wrong_place_says_what_to_name(location, message):
    with pytest.raises(cs.CorpusError, match=message):
        read(location)


def test_the_hub_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(cs.CorpusError, match="pip install huggingface_hub"):
        read("hf://datasets/ola13/small-the_pile/data/x.parquet")


def test_the_hub_without_a_network_is_one_clear_sentence(monkeypatch):
    hub = pytest.importorskip("huggingface_hub")

    def refuse(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(hub, "hf_hub_download", refuse)
    said = r"could not be downloaded: no route to host .*Check the address"
    with pytest.raises(cs.CorpusError, match=said):
        read("hf://datasets/ola13/small-the_pile/data/x.parquet")


def test_nothing_to_train_on_is_refused(tmp_path):
    path = write(tmp_path / "t.parquet", ["", None, " "])
    with pytest.raises(cs.CorpusError, match="no text to train on"):
        read(path)


def test_reading_stops_at_the_token_limit_and_says_so(tmp_path):
    path = write(tmp_path / "t.parquet", [f"{number} text" for number in range(1000)])
    config = cs.CorpusConfig(skill_share=0.0, max_tokens=100)
    corpus = read(path, config)
    assert len(corpus.train_tokens) + len(corpus.held_out_tokens) <= 100
    assert "Stopped at max_tokens" in corpus.report.describe()


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_skills_are_the_chosen_share_and_leave_the_order_alone(tmp_path, share):
    texts = [f"original {number} " * 5 for number in range(400)]
    path = write(tmp_path / "t.parquet", texts)
    corpus = read(path, cs.CorpusConfig(skill_share=share, validation_every=5))
    found = texts_of(corpus.train_tokens)
    ours = [text for text in found if text not in set(texts)]
    size = sum(len(text.encode()) + 1 for text in ours)
    assert abs(size / len(corpus.train_tokens) - share) < 0.05
    kept = [text for text in found if text in set(texts)]
    assert kept == [text for text in texts if text in set(kept)]
    # what is held out is the reader's text alone, the same whatever the share
    held_out = texts_of(corpus.held_out_tokens)
    assert held_out == texts[4::5]
    assert not set(held_out) & set(found)


def test_only_what_skill_text_draws_at_random_does_not_count(tmp_path):
    texts = [f"original {number} " * 5 for number in range(400)]
    path = write(tmp_path / "t.parquet", texts)
    corpus = read(path, cs.CorpusConfig(skill_share=0.5))
    assert corpus.train_counted.shape == corpus.train_tokens.shape
    starts = np.flatnonzero(corpus.train_tokens == 256)
    lessons = {item.text: item.known for item in itertools.islice(write_documents("0 train"), 900)}
    n_lessons = 0
    for start, end in itertools.pairwise([*starts, len(corpus.train_tokens)]):
        text = bytes(corpus.train_tokens[start + 1 : end].astype(np.uint8)).decode()
        counted = corpus.train_counted[start:end]
        assert counted[0]
        if text in texts:
            assert counted.all()
        else:
            n_lessons += 1
            known = np.zeros(len(text), dtype=bool)
            for first, last in lessons[text]:
                known[first:last] = True
            assert np.array_equal(counted[1:], known)
    assert n_lessons > 50
    alone = read(path, cs.CorpusConfig(skill_share=0.0))
    assert alone.train_counted.all()


def test_the_fingerprint_tells_texts_seeds_and_settings_apart(tmp_path):
    path = write(tmp_path / "t.parquet", [f"text {number}" for number in range(50)])
    other = write(tmp_path / "u.parquet", [f"text {number}!" for number in range(50)])
    mixed = cs.CorpusConfig(skill_share=0.3)
    prints = [
        read(path).fingerprint,
        read(other).fingerprint,
        read(path, mixed).fingerprint,
        read(path, mixed, seed=1).fingerprint,
    ]
    assert len(set(prints)) == 4
    assert read(path).fingerprint == prints[0]


def test_the_built_in_text_is_plain_and_always_the_same():
    found, _ = documents(BuiltinSource())
    assert len(found) > 2000
    assert found == documents(BuiltinSource())[0]
    assert {document.source for document in found} == {"CIA World Factbook"}
    assert not any("<p>" in document.text or "<br" in document.text for document in found)


def test_open_text_is_from_the_named_sources_alone():
    found = list(itertools.islice(read_open_documents(cs.CorpusConfig(), seed=0), 5000))
    assert {document.source for document in found} == {
        "CIA World Factbook",
        "Python documentation",
        "Python library",
        "skill sentences",
    }
    assert documents(PythonLibrarySource())[0]


def test_one_huge_row_group_is_read_in_bounded_memory(tmp_path):
    rng = np.random.default_rng(0)
    letters = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz ", dtype=np.uint8)
    texts = [letters[rng.integers(0, 27, 6000)].tobytes().decode() for _ in range(30_000)]
    path = write(tmp_path / "t.parquet", texts, row_group_size=len(texts))
    assert pq.ParquetFile(path).num_row_groups == 1
    del texts
    megabytes, extra, _ = read_apart(path)
    assert megabytes == 180
    assert 1 < extra < 150


@pytest.mark.skipif(not PILE.is_dir(), reason="the Pile sample is not on this machine")
def test_the_pile_sample_is_read_whole():
    corpus = read(PILE, cs.CorpusConfig(skill_share=0.0))
    assert corpus.report.n_files == 2
    assert corpus.report.complete
    assert corpus.n_train_documents + corpus.n_held_out_documents > 15_000
    assert abs(corpus.n_held_out_documents / corpus.n_train_documents - 1 / 49) < 0.005
