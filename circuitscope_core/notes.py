"""A person's notes about a model: labels of features, and named views of graphs."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from circuitscope_core.bundle import name_fault, record_file
from circuitscope_core.errors import NotesError
from circuitscope_core.files import read_text, reason_of, whole_file, write_text

FORMAT_VERSION = 1
NOTES = ".notes"
"""Folder beside the models with a file of notes for each."""
LONGEST_LABEL = 120
LONGEST_FILE = 20_000_000
"""Bytes; more is no notes of a person's."""

Address = Mapping[str, str]
"""The parameters of an address that leads back to a view."""


@dataclass(frozen=True)
class Notes:
    """Labels and views; every change returns new notes."""

    labels: Mapping[tuple[int, int], str] = field(default_factory=dict)
    """Labels by layer and feature."""
    views: Mapping[str, Address] = field(default_factory=dict)
    """Views by name, the oldest first."""
    bundle: str = ""
    """Hash of the model that they are about, as ``bundle_hash`` gives it; empty if unknown, as in
    files of before it was written down."""

    def are_about(self, bundle: str) -> bool:
        """Tell whether they are about a model, or it is not known which they are about."""
        return self.bundle in ("", bundle)

    def label(self, layer: int, feature: int, text: str) -> "Notes":
        """Return notes with a feature's label; an empty text takes it away."""
        text = one_line(text)
        rest = {key: value for key, value in self.labels.items() if key != (layer, feature)}
        return replace(self, labels={**rest, (layer, feature): text} if text else rest)

    def keep_view(self, name: str, address: Address) -> "Notes":
        """Return notes with a view under a name.

        Raises:
            NotesError: If the name is empty, or another view has it.
        """
        name = one_line(name)
        if not name:
            raise NotesError("The view has no name. Type one to keep it under.")
        if self.views.get(name, address) != address:
            raise NotesError(
                f"There is a view {name!r} already. Type another name, or drop that one first."
            )
        return replace(self, views={**self.views, name: dict(address)})

    def drop_view(self, name: str) -> "Notes":
        """Return notes without the view of a name."""
        return replace(self, views={key: view for key, view in self.views.items() if key != name})

    def to_json(self) -> dict[str, Any]:
        """Return JSON-able data."""
        rows = sorted((layer, feature, text) for (layer, feature), text in self.labels.items())
        views = {name: dict(view) for name, view in self.views.items()}
        data = {"format_version": FORMAT_VERSION, "labels": rows, "views": views}
        return {**data, "bundle": self.bundle} if self.bundle else data


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
        bundle = _hash(data.get("bundle", ""))
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise NotesError(f"a label or view in it is damaged: {error!r}") from error
    return Notes(labels, views, bundle)


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{value!r} is no layer or feature")
    return value


def _hash(value: Any) -> str:
    if not re.fullmatch("([0-9a-f]{64})?", _text(value)):
        raise TypeError(f"{value!r} is no hash")
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def load_notes(path: Path, bundle: str = "") -> Notes:
    """Read a file of notes; there are none where it does not exist.

    Args:
        path: The file.
        bundle: The hash of the model that they must be about; empty for any.

    Raises:
        NotesError: If it is damaged or too large.
    """
    if bundle and not path.is_file():  # put aside, and what was to take its place never came
        return _load(_aside(path, bundle))
    notes = _load(path)
    return notes if not bundle or notes.are_about(bundle) else _load(_aside(path, bundle))


def _aside(path: Path, bundle: str) -> Path:
    """Return where notes are kept while another model has the name."""
    return path.with_name(f"{path.stem}.{bundle[:12]}{path.suffix}")


def _load(path: Path) -> Notes:
    try:
        if not path.is_file():
            return Notes()
        if path.stat().st_size > LONGEST_FILE:
            raise NotesError(f"it has more than {LONGEST_FILE:,} bytes.")
        return parse_notes(read_text(path))
    except (OSError, ValueError, NotesError) as error:
        raise NotesError(
            f"The notes {path} cannot be read: {reason_of(error)}. Move the file away."
        ) from error


@contextmanager
def notes_follow(folder: Path, old: str, new: str) -> Iterator[None]:
    """Let the notes of a model follow it to another name, those on its older versions too.

    The model gets the name inside the ``with`` block. Until that is done there are notes under both
    names, so that none are lost where it fails or the program is ended by force. Notes that are
    under the new name already stay there.

    Args:
        folder: The folder with the files of notes.
        old: The name before; one that a model may have.
        new: The name to be.

    Raises:
        NotesError: If a file cannot be copied or deleted.
    """
    aside = re.compile(rf"{re.escape(old)}((\.[0-9a-f]{{12}})?\.json)")
    found = ((path, aside.fullmatch(path.name)) for path in sorted(folder.glob("*.json")))
    pairs = [(path, folder / f"{new}{match[1]}") for path, match in found if match]
    # whoever gives the name refuses one that is none
    pairs = [] if name_fault(new) else [(path, to) for path, to in pairs if not to.exists()]
    copied: list[Path] = []
    try:
        for path, to in pairs:
            with _moving(old), whole_file(to) as partial:
                shutil.copyfile(path, partial)
            copied.append(to)
        yield
    except Exception:
        for to in copied:
            to.unlink(missing_ok=True)
        raise
    with _moving(old):
        for path, _ in pairs:
            path.unlink(missing_ok=True)


@contextmanager
def _moving(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotesError(f"The notes on {name!r} cannot be moved: {error}") from error


def bundle_hash(bundle: Path) -> str:
    """Return the hash of a model's record, which holds the hashes of all its other files or, of a
    model that was added, of its weights: no other model of the name has it. Empty if there is no
    record."""
    record = record_file(bundle)
    return hashlib.sha256(record.read_bytes()).hexdigest() if record else ""


def update_notes(path: Path, change: Callable[[Notes], Notes], bundle: str = "") -> Notes:
    """Change a file of notes, whole or not at all, one writer at a time.

    Args:
        path: The file. One about another model is kept beside it, and new notes are begun.
        change: Returns the new notes.
        bundle: The hash of the model that they are about; empty if it is not known.

    Raises:
        NotesError: If the file is damaged or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            notes = load_notes(path, bundle)
            notes = change(replace(notes, bundle=bundle or notes.bundle))
            if not (before := load_notes(path)).are_about(notes.bundle):
                path.replace(_aside(path, before.bundle))
            text = json.dumps(notes.to_json(), indent=1)
            write_text(path, text, NotesError, "The notes")
    except OSError as error:
        raise NotesError(f"The notes {path} cannot be written: {error}") from error
    return notes
