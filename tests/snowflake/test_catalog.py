"""Names to choose from, who is logged in, the first rows of a file: through the real client."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import circuitscope_core as cs
from circuitscope_core.stages import (
    AccountFacts,
    StageLocation,
    account_facts,
    list_compute_pools,
    list_databases,
    list_schemas,
    list_stages,
    list_warehouses,
    preview_rows,
    sql_to_create,
)

pytestmark = pytest.mark.contract


def test_lists_are_sorted_and_ask_with_names_in_quotes(session, account):
    account.make_stage("Data Base", 'sch"ema', "one")
    account.make_stage("Data Base", 'sch"ema', "TWO")
    account.make_stage("Data Base", "A.B", "x")
    assert "Data Base" in list_databases(session)
    assert list_schemas(session, "Data Base") == ("A.B", 'sch"ema')
    assert list_stages(session, "Data Base", 'sch"ema') == ("TWO", "one")
    assert list_warehouses(session) == ("TEST_WH", "big wh")
    assert list_compute_pools(session) == ("CS_POOL",)
    assert account.statements == [
        "SHOW TERSE DATABASES LIMIT 1000",
        'SHOW TERSE SCHEMAS IN DATABASE "Data Base" LIMIT 1000',
        'SHOW STAGES IN SCHEMA "Data Base"."sch""ema"',
        "SHOW WAREHOUSES",
        "SHOW COMPUTE POOLS LIMIT 1000",
    ]


def test_the_account_says_who_is_logged_in(session):
    facts = AccountFacts("FAKESNOW", "TESTER", "ANALYST", "TEST_WH", "CS", "APP")
    assert account_facts(session) == facts


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda session: list_schemas(session, "NONE"), "Listing the schemas of NONE did not work"),
        (lambda session: list_stages(session, "CS", "NONE"), "Listing the stages of CS.NONE did"),
    ],
)
def test_what_is_not_there_is_told(session, account, ask, said):
    account.make_stage("CS", "APP", "S")
    with pytest.raises(cs.StageError, match=said):
        ask(session)


def test_rights_that_lack_are_told(session, account):
    account.fail("SHOW|SELECT", "003001", "Insufficient privileges", state="42501")
    for ask in (list_databases, list_warehouses, list_compute_pools, account_facts):
        with pytest.raises(cs.StageError, match="Your role may not do that"):
            ask(session)


def test_the_sql_to_create_a_stage_is_accepted(session, account):
    location = StageLocation.parse('@"New DB".s."My ""Stage"""')
    for statement in sql_to_create(location, "ANALYST").split(";\n")[:-1]:
        session.sql(statement).collect()
    assert account.objects["New DB"]["S"] == {'My "Stage"'}


def test_a_preview_shows_the_first_rows_only(store, files):
    texts = ["first", "x" * 1000, None, "fourth"]
    table = pa.table({"id": range(4), "text": texts, "raw": [b"a", b"\xff", None, b"d"]})
    pq.write_table(table, files / "t.parquet")
    shown = preview_rows(store, "t.parquet", "text", 3)
    assert (shown.columns, shown.n_rows) == (("id", "text", "raw"), 4)
    assert shown.rows == ("first", "x" * 400 + "…", "")
    assert preview_rows(store, "t.parquet", "raw", 2).rows == ("a", "�")
    assert preview_rows(store, "t.parquet", "nothing").rows == ()


def test_a_preview_of_what_is_no_parquet_file_is_refused(store, files):
    (files / "t.parquet").write_text("not a table")
    with pytest.raises(cs.StageError, match=r"t\.parquet cannot be read as a Parquet file"):
        preview_rows(store, "t.parquet")
