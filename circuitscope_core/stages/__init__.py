"""Files in a folder or in a Snowflake stage, behind one small protocol."""

from circuitscope_core.stages.store import FileStore, FolderStore, StoredFile, open_store

__all__ = ["FileStore", "FolderStore", "StoredFile", "open_store"]
