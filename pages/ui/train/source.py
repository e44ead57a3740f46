"""The Train page's questions about text: where it is, and what of it is read."""

from collections.abc import Callable
from pathlib import Path

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.corpus import ParquetReader, check_location, find_parquet_files
from circuitscope_core.corpus.locations import HUB_PREFIX
from pages.ui.shared.allowed import check_paths, check_place, check_room
from pages.ui.shared.errors import draw_error
from pages.ui.train.numbers import Unfinished
from pages.ui.train.stage_text import ask_for_stage

SOURCES = {
    "builtin": "Built-in: CIA World Factbook",
    "path": "Parquet on this machine",
    "upload": "Upload a Parquet file",
    "stage": "Snowflake stage",
}
CHECKED_FILES = 20
"""Files whose column is looked at before a training; all are when it begins."""


def ask_for_source(models: Path, *, with_skills: bool = True) -> str | Unfinished:
    """Return ``builtin`` or the place of the text.

    Args:
        models: The folder of models, beside which uploads are kept.
        with_skills: Whether the training adds sentences that teach skills to the built-in text.
    """
    kind = st.radio("Train on", list(SOURCES), format_func=SOURCES.get, key="train_source")
    if kind == "builtin":
        skills = ", with generated sentences that teach skills" if with_skills else ""
        st.caption(f"About the world's countries{skills}.")
        return "builtin"
    if kind == "path":
        return ask_for_path()
    if kind == "upload":
        return keep_upload(models) or Unfinished("Choose a Parquet file to upload.")
    return ask_for_stage() or Unfinished("Name text in a stage.")


def ask_for_path() -> str | Unfinished:
    """Return the place of Parquet files; a wrong one is said at the field."""
    location = st.text_input(
        "File, folder or glob",
        key="train_path",
        placeholder="/data/pile/*.parquet or hf://datasets/owner/name/file.parquet",
    ).strip()
    if not location:
        return Unfinished("Name the file or folder of the text.")

    def check() -> None:
        check_place(location)
        check_location(location)
        if not location.startswith(HUB_PREFIX):
            check_paths(find_parquet_files(location), location)

    return location if _holds(check) else Unfinished("The place of the text is wrong.")


def ask_for_column(source: str | Unfinished) -> str | Unfinished:
    """Return the column that holds the text; a wrong one is said at the field."""
    if source == "builtin":
        return "text"
    column = st.text_input("Column with the text", "text", key="train_column").strip()
    if not isinstance(source, str) or source.startswith((HUB_PREFIX, "@")):
        return column  # what is elsewhere is looked into when the training begins

    def check() -> None:
        for path in find_parquet_files(source)[:CHECKED_FILES]:
            ParquetReader(column, 1).check(path, str(path))

    return column if _holds(check) else Unfinished("The column of the text is wrong.")


def _holds(check: Callable[[], object]) -> bool:
    """Tell whether a check passes; shows what it says otherwise."""
    try:
        check()
    except cs.CircuitScopeError as error:
        draw_error(error)
        return False
    return True


def keep_upload(models: Path) -> str | None:
    """Save an uploaded file under a name of our own, so that a resume finds it again."""
    upload = st.file_uploader("Parquet file", type=["parquet"], key="train_upload")
    if upload is None:
        return None
    folder = models / ".uploads"
    target = folder / f"{upload.file_id}.parquet"
    if not target.is_file():
        if not _holds(lambda: check_room(folder, upload.size)):
            return None
        folder.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        partial.write_bytes(upload.getbuffer())
        partial.replace(target)
    return str(target)
