"""Docstrings, messages and pages begin with a subject and avoid the phrases that say nothing."""

import ast
import re

import pytest

from tests.docs.pages import PAGES, name_of, prose_of
from tests.test_architecture import CORE, ROOT, python_files

SENTENCE = re.compile(r"(?:^|(?<=[.!?] ))(?:What|Of) (?:[^.?!]|[.](?!\s|$))*(?:[.!?](?=\s|$)|$)")
PHRASES = re.compile(r"\b(so many|at hand|as it stands|goes on)\b")
OWN = ROOT / "tests" / "docs" / "test_plain_words.py"  # names the words that it bans
FRAGMENT = re.compile(r"(?:By|In|On|At|As|From|With|Its|They) ")
SOURCES = sorted({*python_files(), *(ROOT / "docs").glob("*.py")} - {OWN})


def poor_sentences(text):
    """Return the sentences of a text that begin with “What” or “Of” and ask nothing, and phrases.

    A piece of text without an end, such as the name of a button, is no sentence.
    """
    flat = " ".join(text.split())
    found = [m[0] for m in SENTENCE.finditer(flat) if m[0].endswith((".", "!"))]
    return found + PHRASES.findall(flat)


def texts_of(path):
    """Yield the line of every string in a file, with its text."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def test_the_rule_finds_what_it_bans():
    assert poor_sentences("What a node does. Good.\nOf each layer: its size.") == [
        "What a node does.",
        "Of each layer: its size.",
    ]
    assert poor_sentences("Keep so many of those at hand.") == ["so many", "at hand"]
    assert poor_sentences("What is a graph? The effects of 3.5 nodes. What pushes") == []


def test_the_texts_of_every_file_are_plain():
    found = {
        f"{path.relative_to(ROOT)}:{line}": poor
        for path in SOURCES
        for line, text in texts_of(path)
        if (poor := poor_sentences(text))
    }
    assert found == {}


def docstrings_of(path):
    """Yield the line of every docstring in a file, those of attributes included, with its text."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        value = node.value if isinstance(node, ast.Expr) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield node.lineno, value.value


def test_no_docstring_is_a_fragment_that_needs_the_name_above_it():
    found = {
        f"{path.relative_to(ROOT)}:{line}": text
        for path in CORE.rglob("*.py")
        for line, text in docstrings_of(path)
        if FRAGMENT.match(text)
    }
    assert found == {}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_is_plain(page):
    paragraphs = re.split(r"\n\s*\n|\n(?=\s*[*|#-])", prose_of(page))
    pieces = [re.sub(r"^[*|#\s-]+", "", text) for text in paragraphs]
    assert [poor for text in pieces for poor in poor_sentences(text)] == []
