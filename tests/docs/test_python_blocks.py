"""The Python of the pages runs on the demo; where that takes another model, its names are real."""

import ast
import inspect
import re
import warnings

import pytest

import circuitscope_core as cs
from tests.docs.pages import PAGES, blocks_of, name_of
from tests.test_architecture import ROOT

NOT_RUN = {  # these pages train for minutes, or need a model that does not come along
    "docs/pretrained.md",
    "docs/neurons.md",
    "docs/train-transcoder.md",
    "docs/training.md",
}
WITH_PYTHON = [page for page in PAGES if blocks_of(page, "python")]
RUNS = [page for page in WITH_PYTHON if name_of(page) not in NOT_RUN]
READ = [page for page in WITH_PYTHON if name_of(page) in NOT_RUN]
NUMBER = re.compile(r"[+-]?\d+\.?\d*")


def assert_printed(said, wanted):
    """Compare two outputs: words exactly, numbers to the last digit but one."""
    assert NUMBER.sub("#", said) == NUMBER.sub("#", wanted)
    ours, told = (list(map(float, NUMBER.findall(text))) for text in (said, wanted))
    assert ours == pytest.approx(told, abs=0.06)


@pytest.mark.parametrize("page", RUNS, ids=name_of)
def test_the_blocks_of_a_page_run_one_after_another(page, tmp_path, monkeypatch, capsys):
    (tmp_path / "models").symlink_to(ROOT / "models")  # where the pages are read, models/demo is
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    said = ""
    for block in blocks_of(page, "python"):
        with warnings.catch_warnings(action="error", category=UserWarning):
            exec(compile(block.text, str(page), "exec"), names)
        printed = capsys.readouterr().out
        said += printed
        if block.output is not None:
            assert_printed(printed, block.output)
    assert said


def test_the_readme_and_the_tutorial_are_among_the_pages_that_run():
    assert {"README.md", "docs/tutorial.md", "docs/recipes.md"} <= set(map(name_of, RUNS))
    assert (
        sum(block.output is not None for block in blocks_of(ROOT / "docs/tutorial.md", "python"))
        >= 5
    )
    (block,) = blocks_of(ROOT / "README.md", "python")
    assert len([line for line in block.text.splitlines() if line]) <= 10


@pytest.mark.parametrize("page", READ, ids=name_of)
def test_blocks_that_are_not_run_call_what_exists(page):
    called = 0
    for block in blocks_of(page, "python"):
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "cs":
                assert node.attr in cs.__all__, node.attr
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("cs."):
                signature = inspect.signature(getattr(cs, node.func.attr))
                keywords = {word.arg: None for word in node.keywords if word.arg}
                signature.bind(*[None] * len(node.args), **keywords)
                called += 1
    assert called
