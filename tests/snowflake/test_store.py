"""A stage as a store of files, through the real client."""

import gzip
from pathlib import Path

import pytest

import circuitscope_core as cs
from circuitscope_core.stages import StageLocation, StageStore, download, open_store
from circuitscope_core.stages.store import StoredFile

pytestmark = pytest.mark.contract


def write(folder, texts):
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


def contents(folder):
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in found}


def test_a_listing_is_one_statement_sorted_and_relative(store, files, account):
    write(files, {"b.txt": "bb", "a/x.txt": "x", "B.txt": "", "a/Y.txt": "yyy"})
    found = store.list()
    assert [(file.name, file.size) for file in found] == [
        ("B.txt", 0),
        ("a/Y.txt", 3),
        ("a/x.txt", 1),
        ("b.txt", 2),
    ]
    assert all(len(file.md5) == 32 for file in found)
    assert account.statements == [f"""LIST '@"CS"."APP"."{store.location.names[2]}"'"""]


def test_a_folder_does_not_take_its_longer_neighbour(session, stage, files):
    write(files, {"pile/x": "1", "pile2/x": "2", "pile.txt": "3", "other/pile/x": "4"})
    whole = StageStore(session, StageLocation(stage[0]))
    below = StageStore(session, StageLocation(stage[0], "pile"))
    assert [file.name for file in below.list()] == ["x"]
    assert [file.name for file in whole.list("pile")] == ["pile.txt", "pile/x", "pile2/x"]
    assert [file.name for file in whole.list("pile/")] == ["pile/x"]
    assert whole.list("nothing") == ()


def test_files_of_one_name_from_two_folders_do_not_meet(store, files, tmp_path):
    write(files, {"a/part.parquet": "from a", "b/part.parquet": "from b"})
    texts = [path.read_text() for path in download(store, ["a/part.parquet", "b/part.parquet"])]
    assert texts == ["from a", "from b"]
    for folder in "ab":
        (tmp_path / folder).mkdir()
    got = [store.get(f"{folder}/part.parquet", tmp_path / folder) for folder in "ab"]
    assert [path.read_text() for path in got] == ["from a", "from b"]


def test_a_file_whose_name_begins_another_arrives_alone(store, files, tmp_path):
    write(files, {"data": "short", "data.bak": "longer"})
    assert store.get("data", tmp_path).read_text() == "short"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    "names",
    [
        ("CS", "APP", "Mixed Case"),
        ("my db", "sch.ema", "st\"ag'e"),
        ("CS", "APP", "semi;colon--"),
        ("CS", "APP", "back\\slash"),
        ("CS", "ÄÖ", "日本"),
        ("CS", "APP", "with/slash"),
    ],
    ids="/".join,
)
def test_names_that_need_quotes_work_for_every_operation(session, account, names, tmp_path):
    folder = account.make_stage(*names)
    store = open_store(str(StageLocation(names, "sub dir/it's")), session)
    (tmp_path / "in").mkdir()
    source = tmp_path / "in" / "local.txt"
    source.write_text("hello")
    store.put(source, "a b/c'd.txt")
    assert contents(folder) == {"sub dir/it's/a b/c'd.txt": "hello"}
    assert [file.name for file in store.list()] == ["a b/c'd.txt"]
    assert store.get("a b/c'd.txt", tmp_path).read_text() == "hello"
    store.remove(["a b/c'd.txt"])
    assert store.list() == ()


@pytest.mark.parametrize("place", ["@~/mine", "@%my_table/mine", '@cs.app.%"My Table"'])
def test_a_users_and_a_tables_own_stage_are_stages_too(session, account, place, tmp_path):
    store = open_store(place, session)
    source = tmp_path / "x.txt"
    source.write_text("own")
    store.put(source, "y.txt")
    assert [file.name for file in store.list()] == ["y.txt"]
    assert store.get("y.txt", tmp_path).read_text() == "own"
    store.remove(["y.txt"])
    assert store.list() == ()
    assert account.statements


def test_what_is_put_is_never_compressed_and_replaces(store, files, tmp_path, account):
    source = tmp_path / "local name.bin"
    for data in (b"\x00" * 50_000, gzip.compress(b"already small"), b"PAR1 not really"):
        source.write_bytes(data)
        store.put(source, "models/weights.safetensors")
        assert (files / "models/weights.safetensors").read_bytes() == data
        assert [path.name for path in (files / "models").iterdir()] == ["weights.safetensors"]
    assert all(
        "auto_compress = False" in sql and "overwrite = True" in sql for sql in puts(account)
    )
    assert source.is_file()


def puts(account):
    return [sql for sql in account.statements if sql.startswith("PUT")]


def test_only_the_named_file_is_deleted(store, files):
    write(files, {"a": "1", "ab": "2", "a.b": "3", "aXb": "4", "d/a": "5", "c.txt": "6"})
    store.remove(["a", "a.b", "nothing"])
    assert sorted(contents(files)) == ["aXb", "ab", "c.txt", "d/a"]


def test_deleting_sends_a_pattern_only_where_names_begin_alike(store, files, account):
    write(files, {"x": "1", "x.y": "2", "z": "3"})
    store.remove(["x", "z"])
    stage = f'@"CS"."APP"."{store.location.names[2]}"'
    assert account.statements == [
        f"LIST '{stage}'",
        f"REMOVE '{stage}/x' PATTERN = '(.*/)?x'",
        f"REMOVE '{stage}/z'",
    ]
    assert sorted(contents(files)) == ["x.y"]


def test_a_file_that_no_pattern_can_tell_apart_is_kept(store, files):
    write(files, {"x/a/x/a": "deep", "x/ab": "neighbour"})
    (files / "x" / "other").mkdir()
    store.remove(["x/ab"])
    assert sorted(contents(files)) == ["x/a/x/a"]


@pytest.mark.parametrize("tries", [1, 2])
def test_a_transfer_that_breaks_off_is_begun_again(store, files, tmp_path, waits, tries, account):
    write(files, {"big.bin": bytes(range(256)) * 4000})
    store.list()
    account.cut("big.bin", tries)
    assert store.get("big.bin", tmp_path).read_bytes() == bytes(range(256)) * 4000
    assert waits == [0.5, 2.0][:tries]
    assert [path.name for path in tmp_path.iterdir()] == ["big.bin"]


def test_a_transfer_that_breaks_off_for_good_is_told(store, files, tmp_path, account):
    write(files, {"pile/big.bin": b"x" * 100_000})
    account.cut("big.bin", 3)
    with pytest.raises(cs.StageError) as caught:
        store.get("pile/big.bin", tmp_path)
    assert str(caught.value) == (
        f"The connection was lost in mid-file: {store.place}/pile/big.bin did not arrive whole in "
        "3 tries (50,000 of 100,000 bytes arrived). Try again; if the file was replaced meanwhile, "
        "start anew."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_connection_lost_in_the_middle_of_a_file_is_begun_again(
    server, store, files, tmp_path, waits
):
    """Over HTTP: the server closes the connection after a third of the bytes."""
    data = bytes(range(256)) * 2000
    write(files, {"over.bin": data})
    server.account.http = server.url
    server.account.cut("over.bin", 1, kept=0.3)
    assert store.get("over.bin", tmp_path).read_bytes() == data
    assert waits == [0.5]


def test_a_dropped_statement_is_sent_again_by_the_client(server, store, files):
    write(files, {"x": "1"})
    server.drops.append("^LIST")
    assert [file.name for file in store.list()] == ["x"]


def test_encrypted_files_may_be_shorter_than_listed(store, files, tmp_path, account):
    write(files, {"sealed.bin": b"x" * 1000})
    account.cut("sealed.bin", 1, kept=0.985)  # 985 bytes: 15 of padding
    assert store.get("sealed.bin", tmp_path).stat().st_size == 985


def test_what_is_not_there_is_told(store, tmp_path):
    with pytest.raises(cs.StageError, match="is not there; look at the list of files again"):
        store.get("nothing.txt", tmp_path)


def test_a_file_deleted_after_the_listing_is_told(store, files, tmp_path):
    write(files, {"gone.txt": "x"})
    store.list()
    (files / "gone.txt").unlink()
    with pytest.raises(cs.StageError, match=r"(?s)Reading .*/gone.txt did not work.*is not there"):
        store.get("gone.txt", tmp_path)


def test_a_stage_is_read_as_streams_where_get_is_not_allowed(
    session, account, tmp_path, monkeypatch
):
    (tmp_path / "of snowpark").mkdir()  # outside a warehouse it leaves a file there
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "of snowpark"))
    names = ("CS", "APP", 'It\'s "mixed" \\ case')
    write(account.make_stage(*names), {"it's/s.bin": b"y" * 3_000_000})
    streamed = StageStore(session, StageLocation(names), streams=True)
    assert streamed.get("it's/s.bin", tmp_path).read_bytes() == b"y" * 3_000_000
    streamed.put(tmp_path / "s.bin", "it's/t.bin")
    assert [file.size for file in streamed.list()] == [3_000_000, 3_000_000]


def test_a_large_file_passes_in_both_directions(store, files, tmp_path):
    """Above 64 MB transfers are made of pieces."""
    source = tmp_path / "large.bin"
    with source.open("wb") as file:
        for number in range(90):
            file.write(bytes([number]) * 1_000_000)
    store.put(source, "large.bin")
    assert (files / "large.bin").read_bytes() == source.read_bytes()
    (tmp_path / "back").mkdir()
    assert store.get("large.bin", tmp_path / "back").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("name", ["", "../x", "a//b", "a/./b", "*.txt", "a\nb", " a"])
def test_names_that_cannot_be_files_are_refused_before_anything_is_sent(
    store, account, tmp_path, name
):
    (tmp_path / "source").write_text("x")
    for refused in (
        lambda: store.get(name, tmp_path),
        lambda: store.put(tmp_path / "source", name),
        lambda: store.remove([name]),
    ):
        with pytest.raises(cs.StageError):
            refused()
    assert account.statements == []


def test_a_pattern_is_no_store(session):
    with pytest.raises(cs.StageError, match="is a pattern"):
        open_store("@cs.app.s/*.parquet", session)


def test_files_are_those_of_a_folder_too(store, files):
    """The same questions have the same answers for a folder and for a stage."""
    write(files, {"a.txt": "1", "b/c.txt": "22"})
    folder = open_store(Path(files))
    as_folder = [StoredFile(file.name, file.size, "") for file in store.list()]
    assert list(folder.list()) == as_folder
