"""What a person wrote down about a model: labels of features, and named views of graphs."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from circuitscope_core.errors import NotesError
from circuitscope_core.export.files import write_text

FORMAT_VERSION = 1
LONGEST_LABEL = 120
LONGEST_FILE = 20_000_000
"""Bytes; more is no notes of a person's."""

Address = Mapping[str, str]
"""The parameters of an address that leads back to a view."""


@dataclass(frozen=True)
class Notes:
    """Labels and views; every change returns new notes."""

    labels: Mapping[tuple[int, int], str] = field(default_factory=dict)
    """By layer and feature."""
    views: Mapping[str, Address] = field(default_factory=dict)
    """By name, the oldest first."""

    def label(self, layer: int, feature: int, text: str) -> "Notes":
        """Return notes with a feature's label; an empty text takes it away."""
        text = one_line(text)
        rest = {key: value for key, value in self.labels.items() if key != (layer, feature)}
        return replace(self, labels={**rest, (layer, feature): text} if text else rest)

    def keep_view(self, name: str, address: Address) -> "Notes":
        """Return notes with a view under a name, in the place of one that had it before.

        Raises:
            NotesError: If the name is empty.
        """
        name = one_line(name)
        if not name:
            raise NotesError("The view has no name. Type one to keep it under.")
        return replace(self, views={**self.views, name: dict(address)})

    def drop_view(self, name: str) -> "Notes":
        """Return notes without the view of a name."""
        return replace(self, views={key: view for key, view in self.views.items() if key != name})

    def to_json(self) -> dict[str, Any]:
        """Return JSON-able data."""
        rows = sorted((layer, feature, text) for (layer, feature), text in self.labels.items())
        views = {name: dict(view) for name, view in self.views.items()}
        return {"format_version": FORMAT_VERSION, "labels": rows, "views": views}


def one_line(text: str) -> str:
    """Return text in one line of bounded length."""
    return " ".join(text.split())[:LONGEST_LABEL]


def parse_notes(text: str) -> Notes:
    """Read notes from JSON.

    Raises:
        NotesError: If the text is something else.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotesError(f"it is no JSON: {error}") from error
    if not isinstance(data, dict) or data.get("format_version") != FORMAT_VERSION:
        version = data.get("format_version") if isinstance(data, dict) else type(data).__name__
        raise NotesError(f"its format_version is {version!r}; {FORMAT_VERSION} is read here.")
    try:
        labels = {(_count(row[0]), _count(row[1])): _text(row[2]) for row in data["labels"]}
        views = {
            _text(name): {_text(key): _text(value) for key, value in view.items()}
            for name, view in data["views"].items()
        }
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise NotesError(f"a label or view in it is damaged: {error!r}") from error
    return Notes(labels, views)


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{value!r} is no layer or feature")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def load_notes(path: Path) -> Notes:
    """Read a file of notes; there are none where it does not exist.

    Raises:
        NotesError: If it is damaged or too large.
    """
    try:
        if not path.is_file():
            return Notes()
        if path.stat().st_size > LONGEST_FILE:
            raise NotesError(f"it has more than {LONGEST_FILE:,} bytes.")
        return parse_notes(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, NotesError) as error:
        raise NotesError(f"The notes {path} cannot be read: {error} Move the file away.") from error


def update_notes(path: Path, change: Callable[[Notes], Notes]) -> Notes:
    """Change a file of notes, whole or not at all, one writer at a time.

    Raises:
        NotesError: If the file is damaged or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            notes = change(load_notes(path))
            write_text(path, json.dumps(notes.to_json(), indent=1))
    except OSError as error:
        raise NotesError(f"The notes {path} cannot be written: {error}") from error
    return notes
