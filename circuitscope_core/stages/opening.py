"""Opens a place that a user names, with the files below it."""

from pathlib import Path

from circuitscope_core.files import place_of
from circuitscope_core.stages.connection import shared_session
from circuitscope_core.stages.location import StageLocation
from circuitscope_core.stages.snowflake_stage import SnowparkSession, StageStore
from circuitscope_core.stages.store import FileStore, FolderStore


def is_stage(place: object) -> bool:
    """Tell whether a place is the address of a stage."""
    return str(place).startswith("@")


def open_store(place: str | Path, session: SnowparkSession = None) -> FileStore:
    """Return the files under a folder or, where the place begins with ``@``, in a stage.

    Args:
        place: A folder, or ``@database.schema.stage/path``.
        session: Of Snowpark; without one, this process's own is used, and opened at need.

    Raises:
        StageError: If a stage is named wrongly or there is no connection to Snowflake.
    """
    if not is_stage(place):
        return FolderStore(place_of(place))
    location = StageLocation.parse(str(place))
    return StageStore(session or shared_session(), location)
