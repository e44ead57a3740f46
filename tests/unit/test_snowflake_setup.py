"""The files that are deployed to Snowflake, and the SQL that prepares an account."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sqlglot
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "snowflake.yml"
SETUP = ROOT / "snowflake" / "setup.sql"
DEPLOYED_FOLDERS = ("pages", "circuitscope_core", "models/demo", ".streamlit")
NEVER_DEPLOYED = ("__pycache__", "secrets.toml")
OPEN_EVERY_PAGE = """
from pathlib import Path
from streamlit.testing.v1 import AppTest

here = Path.cwd()
for file in ("app.py", *sorted(str(path) for path in Path("pages").glob("*.py"))):
    at = AppTest.from_file(str(here / file), default_timeout=60).run()
    assert not at.exception, (file, at.exception)
    errors = [item.value for item in at.error]
    assert not errors, (file, errors)
import circuitscope_core
assert Path(circuitscope_core.__file__).is_relative_to(here), circuitscope_core.__file__
"""


def entity():
    return yaml.safe_load(PROJECT.read_text(encoding="utf-8"))["entities"]["circuitscope"]


def deployed_files():
    """Expand the artifacts as Snowflake CLI does: as globs below the project's root."""
    found = {pattern: [path for path in ROOT.glob(pattern)] for pattern in entity()["artifacts"]}
    return {
        pattern: [path.relative_to(ROOT) for path in paths if path.is_file()]
        for pattern, paths in found.items()
    }


def statements():
    text = "\n".join(
        line for line in SETUP.read_text(encoding="utf-8").splitlines() if not line.startswith("--")
    )
    return [" ".join(item.split()) for item in text.split(";") if item.strip()]


def test_every_artifact_is_there_and_only_files_are_named():
    files = deployed_files()
    assert [pattern for pattern, paths in files.items() if not paths] == []
    # a path that does not exist would be uploaded as an empty file
    empty = [
        str(path)
        for paths in files.values()
        for path in paths
        if not (ROOT / path).stat().st_size and path.name != "__init__.py"
    ]
    assert empty == []


def test_nothing_that_the_app_needs_is_left_out_and_nothing_else_goes_along():
    deployed = {path for paths in deployed_files().values() for path in paths}
    needed = {
        path.relative_to(ROOT)
        for folder in DEPLOYED_FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not any(part in NEVER_DEPLOYED for part in path.parts)
    }
    assert needed <= deployed
    assert not [path for path in deployed if any(part in NEVER_DEPLOYED for part in path.parts)]
    assert not [path for path in deployed if path.parts[0] in ("tests", "bench", "docs")]


@pytest.mark.slow
def test_the_app_starts_from_exactly_these_files(tmp_path):
    for paths in deployed_files().values():
        for path in paths:
            (tmp_path / path.parent).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, tmp_path / path)
    subprocess.run([sys.executable, "-c", OPEN_EVERY_PAGE], cwd=tmp_path, check=True, timeout=200)
    command = [sys.executable, "-m", "circuitscope_core", "trace", "--json"]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=100)
    assert b'"scores"' in done.stdout


def test_the_runtime_is_written_out_and_the_entry_point_is_an_artifact():
    app = entity()
    assert app["runtime_name"] == "SYSTEM$ST_CONTAINER_RUNTIME_PY3_11"
    assert app["compute_pool"]
    assert app["main_file"] in app["artifacts"]


def test_no_second_list_of_dependencies_contradicts_the_first():
    assert not [
        name for name in ("pyproject.toml", "environment.yml", "uv.lock") if (ROOT / name).exists()
    ]


def test_the_project_uses_only_what_the_set_up_makes():
    made = {
        name
        for statement in statements()
        for name in re.findall(r"^CREATE [A-Z ]+? IF NOT EXISTS (\S+)", statement)
    }
    app = entity()
    identifier = app["identifier"]
    assert app["compute_pool"] in made
    assert app["query_warehouse"] in made
    assert f"{identifier['database']}.{identifier['schema']}" in made
    text = (ROOT / "snowflake" / "teardown.sql").read_text(encoding="utf-8")
    # what is inside the database goes with it
    assert {name for name in made if "." not in name} == set(
        re.findall(r"^DROP [A-Z ]+? IF EXISTS (\S+);", text, flags=re.MULTILINE)
    )


def test_the_set_up_may_run_twice():
    kinds = {statement.split()[0] for statement in statements()}
    assert kinds == {"USE", "SET", "CREATE", "GRANT"}
    again = [item for item in statements() if item.startswith("CREATE")]
    assert again
    assert [item for item in again if " IF NOT EXISTS " not in item] == []


def test_stages_are_encrypted_by_the_server():
    stages = [item for item in statements() if item.startswith("CREATE STAGE")]
    assert len(stages) == 2
    assert all("ENCRYPTION = (TYPE = 'SNOWFLAKE_SSE')" in item for item in stages)


def test_every_statement_is_sql():
    # what sqlglot does not know it keeps as a command; what it knows it must be able to read
    for statement in statements():
        assert sqlglot.parse_one(statement, dialect="snowflake")
