"""Every example in a docstring runs, and prints what it says."""

import doctest
import importlib

import pytest

from tests.test_architecture import CORE, ROOT

WITH_EXAMPLES = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
    for path in CORE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def test_there_are_examples():
    assert len(WITH_EXAMPLES) > 20


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_a_module_run(name, tmp_path, monkeypatch):
    (tmp_path / "models").symlink_to(ROOT / "models")  # examples open models/demo
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert found.attempted, "the examples are in no docstring that doctest finds"
    assert found.failed == 0
