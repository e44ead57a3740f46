"""The answers of the Train page's form, kept beside a training, so that they can be changed."""

import json
from contextlib import suppress
from pathlib import Path

import streamlit as st

from circuitscope_core.training import RunFolder

FILE = "answers.json"
PREFIX = "train_"
NO_ANSWERS = {
    "train_cancel",
    "train_compare",
    "train_discard",
    "train_ended",
    "train_estimate",
    "train_refused",
    "train_resume",
    "train_start",
    "train_upload",
}
"""Keys of the page that are no answers of the form."""
Answer = str | int | float | bool


def keep_answers(folder: RunFolder, source: str) -> None:
    """Write the form's answers beside a training that was just started.

    Args:
        folder: Of the training.
        source: Its text; a file that was uploaded is found again by its path.
    """
    answers = {
        str(key): value
        for key, value in st.session_state.items()
        if _is_answer(key) and isinstance(value, Answer)
    }
    if answers.get("train_source") == "upload":
        answers |= {"train_source": "path", "train_path": source}
    with suppress(FileNotFoundError):  # it may be over already
        (folder.path / FILE).write_text(json.dumps(answers), encoding="utf-8")


def discard_training(folder: RunFolder) -> None:
    """Delete a training that was begun, and fill its answers into the form."""
    answers = read_answers(folder.path / FILE)
    folder.discard()
    st.session_state.update(answers)


def read_answers(file: Path) -> dict[str, Answer]:
    """Return the answers in a file; none where there is none, or something else."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        key: value for key, value in found.items() if _is_answer(key) and isinstance(value, Answer)
    }


def _is_answer(key: object) -> bool:
    return isinstance(key, str) and key.startswith(PREFIX) and key not in NO_ANSWERS
