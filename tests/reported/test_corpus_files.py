"""Places of text: hidden files, addresses, patterns and columns."""

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.parquet import encryption

import circuitscope_core as cs
from circuitscope_core.corpus import open_sources, read_corpus
from circuitscope_core.corpus.documents import ReadCounter
from circuitscope_core.corpus.locations import find_parquet_files, parse_hub_address
from circuitscope_core.tokenizer import ByteTokenizer
from tests.texts import write_parquet


def write(path, text="text", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"text": [text]}), path, **options)


def names(place):
    return [path.name for path in find_parquet_files(str(place))]


def test_hidden_files_and_folders_are_no_text(tmp_path):
    write(tmp_path / "a.parquet")
    write(tmp_path / "deep" / "b.parquet")
    (tmp_path / "._a.parquet").write_bytes(b"\0\5\26\7")
    (tmp_path / "_temporary" / "0").mkdir(parents=True)
    (tmp_path / "_temporary" / "0" / "part-0.parquet").write_bytes(b"half")
    (tmp_path / "_SUCCESS").touch()
    write(tmp_path / ".ipynb_checkpoints" / "a-checkpoint.parquet")
    assert names(tmp_path) == ["a.parquet", "b.parquet"]
    assert names(f"{tmp_path}/**/*.parquet") == ["a.parquet", "b.parquet"]
    assert names(tmp_path / ".ipynb_checkpoints") == ["a-checkpoint.parquet"]
    counter = ReadCounter()
    assert len(list(cs.ParquetSource(tmp_path).documents(counter))) == 2
    assert counter.n_files == 2


def test_other_endings_of_parquet_files_are_found_in_folders(tmp_path):
    write(tmp_path / "a.PARQUET")
    write(tmp_path / "b.pq")
    assert names(tmp_path) == ["a.PARQUET", "b.pq"]


def test_brackets_in_the_names_of_folders_are_no_patterns(tmp_path):
    write(tmp_path / "run [1]" / "a.parquet")
    write(tmp_path / "run [1]" / "b.parquet")
    assert names(f"{tmp_path}/run [1]/*.parquet") == ["a.parquet", "b.parquet"]
    assert names(f"{tmp_path}/run [1]/[ab].parquet") == ["a.parquet", "b.parquet"]
    assert names(f"{tmp_path}/run [1]") == ["a.parquet", "b.parquet"]


def test_folders_that_are_named_as_files_are_looked_into_by_a_pattern(tmp_path):
    write(tmp_path / "out.parquet" / "part-0.parquet")
    write(tmp_path / "out.parquet" / "_temporary" / "part-1.parquet")
    assert names(f"{tmp_path}/*.parquet") == ["part-0.parquet"]


@pytest.mark.parametrize(
    "address", ["https://x/y.parquet", "s3://x/y.parquet", "file:///y.parquet"]
)
def test_an_address_that_is_not_read_says_so(address):
    with pytest.raises(cs.CorpusError, match=r"is an address, and [a-z0-9]+:// is not read"):
        find_parquet_files(address)


@pytest.mark.parametrize(
    "written", ["@~parquet", "@refs/convert/parquet", "@refs%2Fconvert%2Fparquet"]
)
def test_the_branch_with_converted_files_can_be_named(written):
    found = parse_hub_address(f"hf://datasets/owner/name{written}/default/train/0000.parquet")
    assert found.revision == "refs/convert/parquet"
    assert (found.repository, found.path) == ("owner/name", "default/train/0000.parquet")


@pytest.mark.parametrize("written", ["@", "@..", "@refs/../x", "@a b"])
def test_other_revisions_are_refused(written):
    with pytest.raises(cs.CorpusError, match="hf://"):
        parse_hub_address(f"hf://datasets/owner/name{written}/x/y/z.parquet")


def test_a_branch_written_as_a_path_is_told():
    with pytest.raises(cs.CorpusError, match="write @~parquet"):
        parse_hub_address("hf://datasets/owner/name/refs/convert/parquet/x.parquet")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"body": ["a"]}, r"text columns are: body.*--set corpus\.text_column=body"),
        ({"text": [["a"]]}, "no text column.*lists and parts of structures"),
        ({"text": pa.nulls(2)}, "no text column"),
        ({"text": [{"text": "a"}], "id": ["x"]}, "text columns are: id"),
    ],
    ids=["another name", "lists", "only nulls", "a structure"],
)
def test_a_column_that_cannot_be_read_comes_with_the_option_that_names_another(
    columns, said, tmp_path
):
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    with pytest.raises(cs.CorpusError, match=said):
        cs.ParquetSource(tmp_path / "t.parquet").documents(ReadCounter())


class Keys(encryption.KmsClient):
    """Keeps keys as they are."""

    def __init__(self, _config):
        encryption.KmsClient.__init__(self)

    def wrap_key(self, key_bytes, _master_key):
        return key_bytes

    def unwrap_key(self, wrapped_key, _master_key):
        return wrapped_key


@pytest.mark.parametrize("plain_footer", [True, False])
def test_an_encrypted_file_is_told_as_one(plain_footer, tmp_path):
    settings = encryption.EncryptionConfiguration(
        footer_key="footer", column_keys={"column": ["text"]}, plaintext_footer=plain_footer
    )
    factory = encryption.CryptoFactory(Keys)
    keys = factory.file_encryption_properties(encryption.KmsConnectionConfig(), settings)
    write(tmp_path / "t.parquet", encryption_properties=keys)
    with pytest.raises(cs.CorpusError, match="ncrypt"):
        list(cs.ParquetSource(tmp_path).documents(ReadCounter()))


def test_a_file_without_bytes_is_named(tmp_path):
    write(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").touch()
    with pytest.raises(cs.CorpusError, match=r"b\.parquet cannot be read as a Parquet file"):
        cs.ParquetSource(tmp_path).documents(ReadCounter())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into every folder")
def test_a_closed_folder_is_named(tmp_path):
    write(tmp_path / "closed" / "a.parquet")
    (tmp_path / "closed").chmod(0)
    with pytest.raises(cs.CorpusError, match="closed cannot be looked into: Permission denied"):
        find_parquet_files(str(tmp_path))


def test_text_that_is_no_utf_8_is_counted_and_left_out(tmp_path):
    column = pa.array([b"caf\xe9", b"caf\xc3\xa9"], pa.binary()).view(pa.binary())
    pq.write_table(pa.table({"text": column}), tmp_path / "t.parquet")
    counter = ReadCounter()
    texts = [item.text for item in cs.ParquetSource(tmp_path).documents(counter)]
    assert (texts, counter.n_not_text) == (["café"], 1)


def test_texts_in_the_place_of_files_are_refused(tmp_path):
    with pytest.raises(cs.CorpusError, match=r"some text of mine is not there.*as a TextSource"):
        list(cs.train(cs.TrainConfig(), ["some text of mine"], tmp_path / "x"))


def test_texts_are_a_source_whose_kinds_are_looked_at():
    texts = ["One.", None, " \n", "half \ud83d", cs.Document("Two.", "letters")]
    source, counter = cs.TextSource(iter(texts)), ReadCounter()
    for _ in range(2):  # to learn words, and to learn from
        found = [(item.text, item.source) for item in source.documents(counter)]
        assert found == [("One.", "text"), ("Two.", "letters")]
    assert (counter.n_null, counter.n_empty, counter.n_not_text) == (2, 2, 2)
    assert repr(source) == "TextSource(5 texts, 'text')"
    with pytest.raises(cs.CorpusError, match="is one text and no list of texts"):
        cs.TextSource("one text")


def test_texts_of_a_list_are_read_as_those_of_a_file(tmp_path):
    texts = [f"{number}. A small bird sat on the wall." for number in range(30)]
    write_parquet(tmp_path / "t.parquet", [*texts, ""])
    config = cs.CorpusConfig(validation_every=10)
    both = []
    for source in (cs.TextSource([*texts, ""], name="t.parquet"), tmp_path / "t.parquet"):
        *_, corpus = read_corpus(open_sources(source, config), config, ByteTokenizer(), seed=0)
        both.append((corpus.fingerprint, corpus.source_names, corpus.report.n_empty))
    assert both[0] == both[1]
    assert both[0][1:] == (("t.parquet",), 1)
