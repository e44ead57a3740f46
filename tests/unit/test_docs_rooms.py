"""docs/architecture.md names the rooms in their order, and functions that exist."""

import re
from pathlib import Path

import pytest

from tests.test_architecture import CORE, ROOMS, ROOT

TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MAX_LINES = 200
FOUND_IN = re.compile(r"`([\w.]+)`\s+in\s+`([\w./]+)`")


def file_of(name):
    return next(path for home in (ROOT, CORE) if (path := home / Path(name)).is_file())


def test_the_table_of_rooms_has_each_room_once_in_order():
    section = TEXT.split("\n## The rooms\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE) == ROOMS


@pytest.mark.parametrize(("name", "path"), sorted(set(FOUND_IN.findall(TEXT))))
def test_every_function_is_where_the_document_says(name, path):
    text = file_of(path).read_text(encoding="utf-8")
    for part in name.split("."):
        assert re.search(rf"\b(def|class|function) {part}\b", text), part


def test_the_document_stays_short():
    assert len(TEXT.splitlines()) < MAX_LINES
    assert len(FOUND_IN.findall(TEXT)) >= 10
