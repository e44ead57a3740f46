"""The guide for Snowflake names what exists."""

import re
import shlex
from pathlib import Path

import sqlglot

from circuitscope_core.cli import build_parser
from circuitscope_core.stages import StageLocation, explain

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "snowflake.md").read_text(encoding="utf-8")
SETUP = (ROOT / "snowflake" / "setup.sql").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, flags=re.DOTALL)


def shell_commands():
    joined = "\n".join(blocks("sh")).replace("\\\n", " ")
    return [shlex.split(line, comments=True) for line in joined.splitlines() if line.strip()]


def test_every_statement_is_sql_and_speaks_of_what_the_set_up_makes():
    statements = [item for text in blocks("sql") for item in text.split(";") if item.strip()]
    assert len(statements) >= 4
    for statement in statements:
        assert sqlglot.parse_one(statement, dialect="snowflake")
        for name in re.findall(r"CIRCUITSCOPE\.APP\.(\w+)", statement):
            made = f"CIRCUITSCOPE.APP.{name}" in SETUP
            assert made or name == "CIRCUITSCOPE", f"{name} is not in the set-up"


def test_every_command_is_one_that_the_parser_takes():
    ours = [words for words in shell_commands() if "circuitscope_core" in words]
    assert len(ours) >= 4
    for words in ours:
        build_parser().parse_args(words[words.index("circuitscope_core") + 1 :])


def test_every_make_target_and_path_is_there():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for words in shell_commands():
        if words[0] == "make":
            assert words[1] in targets
    for link in re.findall(r"\]\((\.\./[^)]+)\)", GUIDE):
        assert (ROOT / "docs" / link).exists(), link


def test_every_place_in_a_stage_can_be_read():
    places = set(re.findall(r'`(@[^`\s]+)`|(@"My Data"[^`]+)`', GUIDE))
    names = {name for pair in places for name in pair if name and "…" not in name}
    assert len(names) > 3
    for name in names:
        StageLocation.parse(name)


def test_every_number_of_the_table_has_a_sentence():
    rows = re.findall(r"^\| ([\d, ]+) \|", GUIDE, flags=re.MULTILINE)
    numbers = [int(number) for row in rows for number in row.split(",")]
    assert len(numbers) > 15
    for number in numbers:
        error = RuntimeError("no words")
        error.errno = number
        said = str(explain(error, "It"))
        assert not said.startswith("It did not work. Snowflake says"), said
