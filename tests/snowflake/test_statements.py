"""All that is sent to Snowflake from staged text to a graph, in full."""

import re
from pathlib import Path

import pytest

import circuitscope_core as cs
from circuitscope_core.stages import (
    ConnectionSettings,
    account_facts,
    connect,
    list_databases,
    list_schemas,
    list_stages,
    open_store,
)
from circuitscope_core.stages.connection import forget_session
from tests.texts import tiny_config, write_parquet

pytestmark = pytest.mark.contract
RECORD = Path(__file__).with_name("statements.txt")
VOLATILE = (
    (r"^(GET .*)'file://[^']*'", r"\1'file://<folder>'"),
    (r"^(PUT )'file://[^']*/", r"\1'file://<folder>/"),
    (r"/[0-9a-f]{16}/", "/<version>/"),
    (r" +", " "),
)


def plain(statement):
    for pattern, name in VOLATILE:
        statement = re.sub(pattern, name, statement)
    return statement


def test_the_statements_from_text_to_graph_are_the_recorded_ones(server, tmp_path, monkeypatch):
    """A difference is either a mistake or something to record: the test writes what it saw."""
    folder = server.account.make_stage("CS", "APP", "Data")
    (folder / "pile").mkdir()
    for name in ("b", "a"):
        write_parquet(folder / "pile" / f"{name}.parquet")
    session = connect(ConnectionSettings.of("connections", server.settings()))
    monkeypatch.setattr("circuitscope_core.stages.connection._shared", session)
    try:
        account_facts(session)
        list_databases(session)
        list_schemas(session, "CS")
        list_stages(session, "CS", "APP")
        list(cs.train(tiny_config(), '@cs.app."Data"/pile', tmp_path / "mine"))
        bundle = cs.load_bundle(tmp_path / "mine")
        cs.save_bundle(bundle, '@cs.app."Data"/models/mine')
        loaded = cs.load_bundle('@cs.app."Data"/models/mine')
        graph = cs.attribute(loaded, "The river runs")
        assert (graph.adjacency == cs.attribute(bundle, "The river runs").adjacency).all()
        open_store('@cs.app."Data"/models/mine').remove(["bundle.json"])
    finally:
        forget_session()
    seen = "\n".join(map(plain, server.account.statements)) + "\n"
    expected = RECORD.read_text(encoding="utf-8") if RECORD.is_file() else ""
    if seen != expected:
        (tmp_path / "statements.txt").write_text(seen, encoding="utf-8")
    assert seen == expected, f"what was sent stands in {tmp_path / 'statements.txt'}"
