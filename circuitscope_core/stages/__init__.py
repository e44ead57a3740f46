"""Files in a folder or in a Snowflake stage, behind one small protocol."""

from circuitscope_core.stages.catalog import (
    AccountFacts,
    StagedPreview,
    account_facts,
    list_compute_pools,
    list_databases,
    list_schemas,
    list_stages,
    list_warehouses,
    preview_rows,
    sql_to_create,
)
from circuitscope_core.stages.connection import (
    ConnectionSettings,
    connect,
    find_connection,
    forget_session,
    shared_session,
)
from circuitscope_core.stages.fetching import download
from circuitscope_core.stages.location import StageLocation
from circuitscope_core.stages.opening import is_stage, open_store
from circuitscope_core.stages.problems import explain
from circuitscope_core.stages.snowflake_stage import StageStore, use_session
from circuitscope_core.stages.store import FileStore, FolderStore, StoredFile

__all__ = [
    "AccountFacts",
    "ConnectionSettings",
    "FileStore",
    "FolderStore",
    "StageLocation",
    "StageStore",
    "StagedPreview",
    "StoredFile",
    "account_facts",
    "connect",
    "download",
    "explain",
    "find_connection",
    "forget_session",
    "is_stage",
    "list_compute_pools",
    "list_databases",
    "list_schemas",
    "list_stages",
    "list_warehouses",
    "open_store",
    "preview_rows",
    "shared_session",
    "sql_to_create",
    "use_session",
]
