"""Every command on the pages is one that the program, make or the repository has."""

import argparse
import json
import re
import shlex

import pytest

from circuitscope_core.cli import build_parser
from tests.docs.pages import PAGES, commands_of, fenced, name_of
from tests.test_architecture import ROOT

TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
PROGRAM = "-m circuitscope_core "
OTHER_TOOLS = {"--prune", "--overwrite", "--open"}  # options of Snowflake's CLI
WITH_COMMANDS = [page for page in PAGES if commands_of(page)]


def parsers(parser, path=()):
    """Yield every command of the program by its words."""
    yield path, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield from parsers(inner, (*path, name))


COMMANDS = dict(parsers(build_parser()))
SCRIPTS = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "bench").glob("*.py"))
OPTIONS = {option for parser in COMMANDS.values() for option in parser._option_string_actions}
OPTIONS |= set(re.findall(r'"(--[a-z][a-z-]*)"', SCRIPTS))


def words_of(command):
    return shlex.split(command.split(" # ")[0].split(" | ")[0], comments=True)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_every_make_target_is_there(page):
    for command in commands_of(page):
        for target in re.findall(r"^make ([a-z][a-z-]*)\b", command):
            assert target in TARGETS, command


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_every_command_of_the_program_is_one_that_its_parser_takes(page, capsys):
    for command in commands_of(page):
        if PROGRAM not in command:
            continue
        words = words_of(command.split(PROGRAM, 1)[1])
        try:
            build_parser().parse_args(words)
        except SystemExit:
            pytest.fail(f"{command}\n{capsys.readouterr().err}")


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_every_option_in_a_sentence_is_an_option_of_its_command(page):
    for command in commands_of(page):
        words = command.split()
        path = ()
        while words and (*path, words[0]) in COMMANDS:
            path = (*path, words.pop(0))
        if not path and not command.startswith("--"):
            continue
        known = COMMANDS[path]._option_string_actions if path else OPTIONS | OTHER_TOOLS
        for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", command):
            assert option in known, command


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_every_script_and_test_that_is_run_is_there(page):
    for command in commands_of(page):
        for path in re.findall(r"(?:python|pytest) ((?:bench|docs|tests)/[\w./]+)", command):
            assert (ROOT / path).exists(), command


def test_the_pages_have_commands_of_every_kind():
    every = [command for page in PAGES for command in commands_of(page)]
    assert sum(PROGRAM in command for command in every) > 30
    assert sum(command.startswith("make ") for command in every) > 20
    assert sum("python bench/" in command for command in every) > 10


def test_every_block_is_of_a_language_that_a_test_reads():
    found = {(name_of(page), language) for page in PAGES for language, _ in fenced(page)}
    assert {language for _, language in found} == {"python", "sh", "sql", "text"}
    assert {page for page, language in found if language == "sql"} == {"docs/snowflake.md"}


def test_scripts_of_npm_and_marks_of_pytest_are_there():
    every = [command for page in PAGES for command in commands_of(page)]
    scripts = json.loads((ROOT / "tests" / "canvas" / "package.json").read_text())["scripts"]
    named = {name for command in every for name in re.findall(r"npm .* run ([a-z]+)", command)}
    assert named
    assert named <= set(scripts)
    markers = re.findall(r"^    (\w+): ", (ROOT / ".pytest.ini").read_text(), flags=re.MULTILINE)
    marked = {mark for command in every for mark in re.findall(r"pytest -m (\w+)", command)}
    assert marked
    assert marked <= set(markers)


def test_the_names_by_which_tests_are_chosen_choose_some():
    chosen = re.findall(r"pytest (\S+\.py) -k (\w+)", (ROOT / "CONTRIBUTING.md").read_text())
    assert chosen
    for path, word in chosen:
        assert re.search(rf"def test\w*{word}", (ROOT / path).read_text(encoding="utf-8"))
