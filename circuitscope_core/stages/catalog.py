"""The contents of an account: names to choose from, the first rows of a file, objects to create."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from circuitscope_core.errors import StageError
from circuitscope_core.files import temporary_folder
from circuitscope_core.stages.identifiers import quote_identifier
from circuitscope_core.stages.location import StageLocation
from circuitscope_core.stages.problems import explain
from circuitscope_core.stages.snowflake_stage import SnowparkSession, use_session
from circuitscope_core.stages.store import FileStore

MOST_NAMES = 1000
"""Names that one list holds at most."""
SHOWN_CHARACTERS = 400
"""The characters of a row's text that a preview shows."""


@dataclass(frozen=True)
class AccountFacts:
    """The user who is logged in, and the role and warehouse in use; empty where there is none."""

    account: str
    user: str
    role: str
    warehouse: str
    database: str
    schema: str


@dataclass(frozen=True)
class StagedPreview:
    """The beginning of a staged Parquet file."""

    columns: tuple[str, ...]
    """All of them, in the file's order."""
    n_rows: int
    """Rows in the whole file."""
    rows: tuple[str, ...]
    """The first texts of the asked column, each cut to ``SHOWN_CHARACTERS``."""


def list_databases(session: SnowparkSession) -> tuple[str, ...]:
    """Return the databases that the role sees, sorted.

    Raises:
        StageError: If the account cannot be asked; of all functions here.
    """
    return _names(session, "SHOW TERSE DATABASES", "Listing the databases")


def list_schemas(session: SnowparkSession, database: str) -> tuple[str, ...]:
    """Return the schemas of a database, sorted; the name is as the list gave it."""
    statement = f"SHOW TERSE SCHEMAS IN DATABASE {quote_identifier(database)}"
    return _names(session, statement, f"Listing the schemas of {database}")


def list_stages(session: SnowparkSession, database: str, schema: str) -> tuple[str, ...]:
    """Return the stages of a schema, sorted; the names are as the lists gave them."""
    place = f"{quote_identifier(database)}.{quote_identifier(schema)}"
    # SHOW STAGES knows neither TERSE nor LIMIT
    statement = f"SHOW STAGES IN SCHEMA {place}"
    return _names(session, statement, f"Listing the stages of {database}.{schema}", limit=False)


def list_warehouses(session: SnowparkSession) -> tuple[str, ...]:
    """Return the warehouses that the role sees, sorted."""
    return _names(session, "SHOW WAREHOUSES", "Listing the warehouses", limit=False)


def list_compute_pools(session: SnowparkSession) -> tuple[str, ...]:
    """Return the compute pools that the role sees, sorted."""
    return _names(session, "SHOW COMPUTE POOLS", "Listing the compute pools")


def account_facts(session: SnowparkSession) -> AccountFacts:
    """Return who is logged in, and what the session uses."""
    names = ("ACCOUNT", "USER", "ROLE", "WAREHOUSE", "DATABASE", "SCHEMA")
    calls = ", ".join(f"CURRENT_{name}()" for name in names)
    (row,) = _rows(session, f"SELECT {calls}", "Asking who is logged in")
    return AccountFacts(*(str(value or "") for value in row))


def preview_rows(store: FileStore, name: str, column: str = "text", n: int = 5) -> StagedPreview:
    """Return the first rows of a staged Parquet file, which is fetched as a whole.

    Raises:
        StageError: If the file cannot be fetched, or is no Parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    shown = f"{store.place}/{name}"
    with temporary_folder() as folder:
        path = store.get(name, folder)
        try:
            # a small buffer, page by page: a row group may hold hundreds of megabytes
            with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
                columns = tuple(file.schema_arrow.names)
                rows: tuple[str, ...] = ()
                if columns.count(column) == 1:
                    batches = file.iter_batches(batch_size=n, columns=[column], use_threads=False)
                    first = next(batches, None)
                    rows = tuple(map(_shown, first.column(0).to_pylist())) if first else ()
                return StagedPreview(columns, file.metadata.num_rows, rows)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise StageError(
                f"{shown} cannot be read as a Parquet file: {str(error).splitlines()[0]}"
            ) from error


def _shown(value: Any) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def sql_to_create(location: StageLocation, role: str = "") -> str:
    """Return the statements that create what a stage needs, for a person to read and run.

    Encryption by the service lets Snowsight and mounts read the files too; it cannot be chosen
    later.

    Args:
        location: With database and schema.
        role: Is granted what training and saving need; none where empty. As Snowflake stores it.

    Raises:
        StageError: If the location names no database and schema, or a user's or a table's stage.
    """
    if len(location.names) != 3 or location.table:
        raise StageError(
            f"{location} does not say where the stage is; write @database.schema.stage."
        )
    database, schema, stage = map(quote_identifier, location.names)
    place = f"{database}.{schema}"
    statements = [
        f"CREATE DATABASE IF NOT EXISTS {database}",
        f"CREATE SCHEMA IF NOT EXISTS {place}",
        f"CREATE STAGE IF NOT EXISTS {place}.{stage}\n"
        "  ENCRYPTION = (TYPE = 'SNOWFLAKE_SSE')\n  DIRECTORY = (ENABLE = TRUE)",
    ]
    if role:
        to = f"TO ROLE {quote_identifier(role)}"
        statements += [
            f"GRANT USAGE ON DATABASE {database} {to}",
            f"GRANT USAGE ON SCHEMA {place} {to}",
            f"GRANT READ ON STAGE {place}.{stage} {to}",
            f"GRANT WRITE ON STAGE {place}.{stage} {to}",
        ]
    return "".join(f"{statement};\n" for statement in statements)


def _names(
    session: SnowparkSession, statement: str, what: str, *, limit: bool = True
) -> tuple[str, ...]:
    bounded = f"{statement} LIMIT {MOST_NAMES}" if limit else statement
    rows = _rows(session, bounded, what)
    return tuple(sorted(str(row["name"]) for row in rows)[:MOST_NAMES])


def _rows(session: SnowparkSession, statement: str, what: str) -> Sequence[Any]:
    try:
        with use_session(session):
            rows: Sequence[Any] = session.sql(statement).collect()
            return rows
    except Exception as error:  # errors of Snowpark and the connector share no base class
        raise explain(error, what) from error
