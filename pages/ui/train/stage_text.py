"""The Train page's question for text in a Snowflake stage: browse, look, choose."""

from typing import Any

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.corpus import find_staged_files
from circuitscope_core.stages import (
    AccountFacts,
    StagedPreview,
    StageLocation,
    StoredFile,
    account_facts,
    list_databases,
    list_schemas,
    list_stages,
    open_store,
    preview_rows,
    sql_to_create,
)
from pages.ui.shared.errors import draw_error
from pages.ui.shared.snowflake import begin_attempt, current_session
from pages.ui.shared.tables import draw_table, number
from pages.ui.shared.text import one_line, plain

EXAMPLE = "@CIRCUITSCOPE.APP.PILE"
WAYS = ("Browse", "Type the place")
CATALOG_SECONDS = 60
PREVIEW_BYTES = 512 * 2**20
"""A larger file is not fetched only to be looked at."""
PREVIEW_LETTERS = 300


def ask_for_stage() -> str | None:
    """Return the place of the text in a stage; None while there is none, with the reason shown."""
    session = current_session()
    if session is None:
        say_why_not()
        return None
    try:
        draw_account(read_facts(session))
        way = st.segmented_control("Stage", WAYS, default=WAYS[0], key="train_stage_way")
        place = browse(session) if way == WAYS[0] else type_place()
        if place is None:
            return None
        location = StageLocation.parse(place)
    except cs.StageError as error:
        draw_error(error)
        return None
    return place if draw_files(session, location) else None


def say_why_not() -> None:
    """Name the requirements of a stage, or the reason that the connection failed."""
    attempt = begin_attempt()
    if attempt is not None and not attempt.session.done():
        st.info(f"Connecting to {plain(attempt.found.account)} …")
    elif attempt is not None:
        st.error(plain(attempt.problem))
    else:
        st.info(
            "Stages come with a Snowflake connection, and this machine has none. Add one with "
            "`snow connection add`, or write `[connections.snowflake]` into "
            "`.streamlit/secrets.toml`, and start the app again. Inside Snowflake it is found by "
            "itself."
        )


def draw_account(facts: AccountFacts) -> None:
    """Say as whom, with which role and warehouse, the stage is read."""
    parts = (("User", facts.user), ("Role", facts.role), ("Warehouse", facts.warehouse))
    st.caption(
        " · ".join(f"{name} **{plain(value or 'none')}**" for name, value in parts)
        + ". Listing and reading files needs no warehouse."
    )


def browse(session: Any) -> str | None:
    """Let the visitor choose a database, a schema, a stage and what lies in it."""
    columns = st.columns(3)
    database = choose(columns[0], "Database", read_databases(session), "train_database")
    schema = stage = None
    if database:
        schema = choose(columns[1], "Schema", read_schemas(session, database), "train_schema")
    if database and schema:
        stages = read_stages(session, database, schema)
        stage = choose(columns[2], "Stage", stages, "train_stage")
        if not stages:
            offer_sql(StageLocation((database, schema, "PILE")))
    if not (database and schema and stage):
        return None
    path = st.text_input(
        "Folder, file or pattern in it",
        key="train_stage_path",
        placeholder="empty for all *.parquet, or 2024/*.parquet",
    )
    return str(StageLocation((database, schema, stage), path.strip().strip("/")))


def choose(place: Any, title: str, names: tuple[str, ...], key: str) -> str | None:
    """Let the visitor choose a name; the example's own is chosen first where it is there."""
    if not names:
        place.caption(f"{title}: none that this role may see")
        return None
    ours = [name for name in EXAMPLE[1:].split(".") if name in names]
    choice: str | None = place.selectbox(
        title, names, index=names.index(ours[0]) if ours else 0, key=key
    )
    return choice


def type_place() -> str | None:
    """Let the visitor type the place."""
    place = st.text_input(
        "Place in a stage",
        key="train_stage_place",
        placeholder=f"{EXAMPLE}/folder, @~/mine or @stage/*.parquet",
    )
    return place.strip() or None


def draw_files(session: Any, location: StageLocation) -> bool:
    """Draw the files and their first rows; False, with the remedy, if there are none."""
    try:
        files = read_files(session, str(location))
    except cs.CorpusError as error:
        st.warning(plain(str(error)))
        return False
    except cs.StageError as error:
        draw_error(error)
        if len(location.names) == 3:
            offer_sql(location)
        return False
    st.caption(f"{len(files):,} files, {sum(file.size for file in files) / 1e6:,.1f} MB in all")
    rows = [{"File": file.name, "MB": file.size / 1e6} for file in files]
    draw_table(rows, {"File": "File", "MB": number("MB", "%.1f")}, key="train_stage_files")
    draw_preview(session, location, files)
    return True


def draw_preview(session: Any, location: StageLocation, files: tuple[StoredFile, ...]) -> None:
    """Show the first rows of the first file, when asked."""
    first, column = files[0], st.session_state.get("train_column", "text")
    if first.size > PREVIEW_BYTES:
        st.caption(f"The first file has {first.size / 1e6:,.0f} MB: too large to fetch for a look.")
        return
    if not st.toggle("Show the first rows", key="train_stage_preview"):
        return
    try:
        preview = read_rows(session, str(location), first, column)
    except cs.CircuitScopeError as error:
        draw_error(error)
        return
    if column not in preview.columns:
        st.warning(
            f"{plain(first.name)} has no column {plain(column)}; it has "
            f"{plain(', '.join(preview.columns))}. Name one below."
        )
        return
    st.caption(f"{plain(first.name)} has {preview.n_rows:,} rows; the first ones:")
    rows = [{column: one_line(text, PREVIEW_LETTERS)} for text in preview.rows]
    draw_table(rows, {column: column}, key="train_stage_rows")


def offer_sql(location: StageLocation) -> None:
    """Offer the statements that create what is missing."""
    with st.expander("SQL that creates it", icon=":material/code:"):
        st.caption("For a worksheet, run by a role that may create it. Running it twice is safe.")
        st.code(sql_to_create(location), language="sql")


@st.cache_data(ttl=CATALOG_SECONDS, show_spinner="Asking Snowflake …")
def read_facts(_session: Any) -> AccountFacts:
    return account_facts(_session)


@st.cache_data(ttl=CATALOG_SECONDS, show_spinner="Asking Snowflake …")
def read_databases(_session: Any) -> tuple[str, ...]:
    return list_databases(_session)


@st.cache_data(ttl=CATALOG_SECONDS, show_spinner="Asking Snowflake …")
def read_schemas(_session: Any, database: str) -> tuple[str, ...]:
    return list_schemas(_session, database)


@st.cache_data(ttl=CATALOG_SECONDS, show_spinner="Asking Snowflake …")
def read_stages(_session: Any, database: str, schema: str) -> tuple[str, ...]:
    return list_stages(_session, database, schema)


@st.cache_data(ttl=CATALOG_SECONDS, show_spinner="Listing the stage …")
def read_files(_session: Any, place: str) -> tuple[StoredFile, ...]:
    location = StageLocation.parse(place)
    return find_staged_files(open_store(str(location.root), session=_session), location)


@st.cache_data(ttl=CATALOG_SECONDS, show_spinner="Fetching the file …")
def read_rows(_session: Any, place: str, file: StoredFile, column: str) -> StagedPreview:
    root = StageLocation.parse(place).root
    return preview_rows(open_store(str(root), session=_session), file.name, column)
