"""Addresses of stages and names in SQL; a folder as a store."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import circuitscope_core as cs
from circuitscope_core.stages import FolderStore, StageLocation, open_store, sql_to_create
from circuitscope_core.stages.identifiers import (
    quote_identifier,
    quote_text,
    read_identifier,
    show_identifier,
)

# what could break out of a name: quotes, semicolons, comments, backslashes, other scripts
SIGNS = st.sampled_from(list("abZ09_$ .\"'`;-/*?\\@%()[]{}|=,~ßé日𝄞\u202e"))
NAMES = st.text(SIGNS, min_size=1, max_size=12)
PATH_PARTS = st.text(SIGNS.filter(lambda sign: sign != "/"), min_size=1, max_size=8).filter(
    lambda part: part not in (".", "..") and part == part.strip()
)
PATHS = st.lists(PATH_PARTS, max_size=3).map("/".join)
LOCATIONS = st.tuples(st.lists(NAMES, min_size=1, max_size=3).map(tuple), PATHS, st.booleans())


@pytest.mark.parametrize(
    ("text", "names", "path"),
    [
        ("@stage", ("STAGE",), ""),
        ("@db.schema.stage/path/sub", ("DB", "SCHEMA", "STAGE"), "path/sub"),
        ("@Db.Schema.Stage/Path/", ("DB", "SCHEMA", "STAGE"), "Path"),
        ('@db."My Schema".stage', ("DB", "My Schema", "STAGE"), ""),
        ('@"a.b"."c/d"."e""f"/g', ("a.b", "c/d", 'e"f'), "g"),
        ("@s$1._x/a b", ("S$1", "_X"), "a b"),
        ("@~", (), ""),
        ("@~/in/here", (), "in/here"),
    ],
)
def test_addresses_are_read_as_snowflake_reads_them(text, names, path):
    location = StageLocation.parse(text)
    assert (location.names, location.path, location.table) == (names, path, False)
    assert StageLocation.parse(str(location)) == location


def test_a_tables_stage_is_told_from_a_named_one():
    location = StageLocation.parse('@db.s.%"My Table"/x')
    assert (location.names, location.path, location.table) == (("DB", "S", "My Table"), "x", True)
    assert location.sql == """'@"DB"."S".%"My Table"/x'"""
    assert StageLocation.parse("@%t").sql == """'@%"T"'"""
    assert StageLocation.parse("@~/a").sql == "'@~/a'"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stage/path", "is no stage"),
        ("@", "does not begin with a name"),
        ("@a.b.c.d/x", "4 names"),
        ("@a..b", "does not begin with a name"),
        ("@1st", "does not begin with a name"),
        ("@a b/x", "belongs to no name"),
        ("@a;drop table x", "belongs to no name"),
        ('@"open/x', "does not begin with a name"),
        ('@""/x', "does not begin with a name"),
        ("@s/../x", "'..'"),
        ("@s/a/./b", "'.'"),
        ("@s/a//b", "an empty part"),
        ("@s//a", "an empty part"),
        ("@s/a\nb", "control character"),
        ('@"s\x00"/a', "control character"),
        ("@s/a\u2028b", "control character"),
        ("@s/\ud800", "no valid Unicode"),
        ("@s/ a", "a space"),
        ("@s/" + "x" * 1025, "longer than 1024"),
        ("@" + "x" * 256, "256 characters"),
    ],
)
def test_addresses_that_cannot_be_are_refused_with_a_reason(text, said):
    with pytest.raises(cs.StageError, match=re.escape(said)):
        StageLocation.parse(text)


@given(LOCATIONS)
def test_every_address_is_read_back_as_it_was_written(parts):
    location = StageLocation(*parts)
    assert StageLocation.parse(str(location)) == location


def read_sql_text(sql):
    """Read an SQL string as Snowflake does, and see that it ends where it should."""
    assert sql.startswith("'")
    text, place = "", 1
    while sql[place] != "'":
        if sql[place] == "\\":
            place += 1
        text += sql[place]
        place += 1
    assert place == len(sql) - 1
    return text


def read_quoted(text):
    """Read one identifier in double quotes; return it and the rest."""
    assert text.startswith('"')
    name, place = "", 1
    while True:
        if text[place] == '"':
            if text[place + 1 : place + 2] != '"':
                return name, text[place + 1 :]
            place += 1
        name += text[place]
        place += 1


@given(LOCATIONS)
def test_no_name_leaves_its_quotes_in_sql(parts):
    location = StageLocation(*parts)
    text = read_sql_text(location.sql)
    assert text.startswith("@")
    rest, names = text[1:], []
    for number, _ in enumerate(location.names):
        if number:
            assert rest.startswith(".")
            rest = rest[1:]
        if location.table and number == len(location.names) - 1:
            assert rest.startswith("%")
            rest = rest[1:]
        name, rest = read_quoted(rest)
        names.append(name)
    assert tuple(names) == location.names
    assert rest == (f"/{location.path}" if location.path else "")


@given(st.text(max_size=20))
def test_no_text_leaves_its_sql_string(text):
    assert read_sql_text(quote_text(text)) == text


@given(st.text(max_size=20))
def test_a_name_is_quoted_or_refused(name):
    try:
        quoted = quote_identifier(name)
    except cs.StageError:
        assert not name or not name.isprintable()
        return
    assert read_quoted(quoted) == (name, "")
    assert read_identifier(show_identifier(name)) == name


@given(st.tuples(NAMES, NAMES, NAMES), NAMES)
def test_the_sql_that_creates_a_stage_holds_names_only_in_quotes(names, role):
    sql = sql_to_create(StageLocation(names), role)
    outside, seen = "", []
    while '"' in sql:
        text, _, _ = sql.partition('"')
        name, sql = read_quoted(sql[len(text) :])
        outside += text
        seen.append(name)
    database, schema, stage = names
    assert seen[:6] == [database, database, schema, database, schema, stage]
    assert set(seen) == {*names, role}
    assert re.fullmatch(r"[A-Z_ =();\n.']+", outside + sql)


def test_the_sql_that_creates_a_stage_in_full():
    assert sql_to_create(StageLocation.parse('@cs.app."Mine"/pile'), "ANALYST") == (
        'CREATE DATABASE IF NOT EXISTS "CS";\n'
        'CREATE SCHEMA IF NOT EXISTS "CS"."APP";\n'
        'CREATE STAGE IF NOT EXISTS "CS"."APP"."Mine"\n'
        "  ENCRYPTION = (TYPE = 'SNOWFLAKE_SSE')\n"
        "  DIRECTORY = (ENABLE = TRUE);\n"
        'GRANT USAGE ON DATABASE "CS" TO ROLE "ANALYST";\n'
        'GRANT USAGE ON SCHEMA "CS"."APP" TO ROLE "ANALYST";\n'
        'GRANT READ ON STAGE "CS"."APP"."Mine" TO ROLE "ANALYST";\n'
        'GRANT WRITE ON STAGE "CS"."APP"."Mine" TO ROLE "ANALYST";\n'
    )
    with pytest.raises(cs.StageError, match="does not say where"):
        sql_to_create(StageLocation.parse("@mine"))


@pytest.mark.parametrize(
    ("pattern", "fits", "does_not"),
    [
        ("@s/pile/*.parquet", ["pile/a.parquet"], ["pile/b/a.parquet", "pile/aparquet", "pile2/a"]),
        ("@s/**/*.parquet", ["a.parquet", "x/y/a.parquet"], ["a.txt", "x/a.parquet.gz"]),
        ("@s/pile/**", ["pile/a", "pile/b/c"], ["pile", "pile2/a"]),
        ("@s/part-?.parquet", ["part-1.parquet"], ["part-10.parquet", "part-/.parquet"]),
        ("@s/a[1]*.x", ["a[1]2.x"], ["a12.x"]),
    ],
)
def test_patterns_fit_whole_paths(pattern, fits, does_not):
    location = StageLocation.parse(pattern)
    assert location.is_pattern
    assert [path for path in fits + does_not if location.matches(path)] == fits
    assert all(path.startswith(location.fixed_prefix) for path in fits)


def test_a_folder_is_a_store_too(tmp_path):
    (tmp_path / "in").mkdir()
    source = tmp_path / "source.txt"
    source.write_text("x")
    store = open_store(tmp_path / "in")
    assert isinstance(store, FolderStore)
    store.put(source, "a/b.txt")
    assert [(file.name, file.size) for file in store.list("a")] == [("a/b.txt", 1)]
    (tmp_path / "out").mkdir()
    assert store.get("a/b.txt", tmp_path / "out").read_text() == "x"
    store.remove(["a/b.txt", "a/none.txt"])
    assert store.list() == ()
    for name in ("../source.txt", "/etc/hostname"):
        with pytest.raises(cs.StageError, match="lies outside"):
            store.get(name, tmp_path / "out")
