"""Against a real account: needs CIRCUITSCOPE_LIVE_CONNECTION, a connection of connections.toml.

CIRCUITSCOPE_LIVE_STAGE names a stage to write in, as @database.schema.stage/folder. Files written
there are deleted again.
"""

import os
import uuid

import pytest

import circuitscope_core as cs
from circuitscope_core.bundle import download_bundle, upload_bundle
from circuitscope_core.corpus import read_corpus
from circuitscope_core.stages import (
    account_facts,
    connect,
    find_connection,
    list_databases,
    open_store,
)
from tests.texts import write_parquet
from tests.unit.test_bundle import make_bundle

CONNECTION = os.environ.get("CIRCUITSCOPE_LIVE_CONNECTION", "")
STAGE = os.environ.get("CIRCUITSCOPE_LIVE_STAGE", "")
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        not (CONNECTION and STAGE),
        reason="no Snowflake account: set CIRCUITSCOPE_LIVE_CONNECTION and CIRCUITSCOPE_LIVE_STAGE",
    ),
]


@pytest.fixture(scope="module")
def session():
    os.environ["SNOWFLAKE_DEFAULT_CONNECTION_NAME"] = CONNECTION
    session = connect(find_connection())
    yield session
    session.close()


@pytest.fixture
def store(session):
    """A folder of its own in the stage, empty again afterwards."""
    store = open_store(f"{STAGE}/test-{uuid.uuid4().hex[:8]}", session)
    yield store
    store.remove([file.name for file in store.list()])
    assert store.list() == ()


def test_the_account_says_who_is_logged_in(session):
    facts = account_facts(session)
    assert facts.account
    assert facts.user
    assert facts.database in ("", *list_databases(session))


def test_files_go_there_and_come_back(store, tmp_path):
    source = tmp_path / "source.bin"
    source.write_bytes(os.urandom(3_000_001))
    for name in ("a", "ab", "a.b", "it's here/a (1).bin"):
        store.put(source, name)
    assert [file.name for file in store.list()] == ["a", "a.b", "ab", "it's here/a (1).bin"]
    assert store.get("a", tmp_path).read_bytes() == source.read_bytes()
    store.remove(["a"])
    assert [file.name for file in store.list()] == ["a.b", "ab", "it's here/a (1).bin"]


def test_a_corpus_is_that_of_the_local_files(store, session, tmp_path):
    write_parquet(tmp_path / "t.parquet")
    store.put(tmp_path / "t.parquet", "pile/t.parquet")
    config = cs.CorpusConfig()
    staged = cs.StageSource(f"{store.place}/pile", store=open_store(STAGE.split("/")[0], session))
    corpora = []
    for source in (staged, cs.ParquetSource(tmp_path / "t.parquet")):
        *_, corpus = read_corpus([source], config, cs.ByteTokenizer(), seed=0)
        corpora.append(corpus.fingerprint)
    assert corpora[0] == corpora[1]


def test_a_bundle_is_the_same_after_a_trip(store, tmp_path):
    folder = cs.save_bundle(make_bundle(), tmp_path / "m")
    upload_bundle(folder, store)
    download_bundle(store, tmp_path / "back")
    assert cs.load_bundle(tmp_path / "back").metadata == cs.load_bundle(folder).metadata


def test_a_stage_that_is_not_there_is_told(session):
    with pytest.raises(cs.StageError, match="does not exist, or your role may not see it"):
        open_store("@circuitscope_no_such_stage/x", session).list()
