"""Requirements, and what is said of them elsewhere: lower bounds, a job's packages, licences."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from circuitscope_core.launch.ml_job import MISSING_IN_RUNTIME
from tests.oldest_requirements import oldest_versions, requirements

ROOT = Path(__file__).parents[2]
ASKED = list(requirements(ROOT / "requirements.txt"))


def test_what_is_installed_is_what_is_asked_for():
    assert len(ASKED) > 15
    wrong = [item for item in ASKED if not item.specifier.contains(version(item.name), True)]
    assert wrong == []


def test_the_oldest_versions_are_the_lower_bounds():
    oldest = oldest_versions(ROOT / "requirements.txt")
    for item in ASKED:
        name = canonicalize_name(item.name)
        if name not in oldest:
            assert not any(part.operator in (">=", "~=", "==") for part in item.specifier)
            continue
        assert item.specifier.contains(oldest[name])
        assert Version(oldest[name]) <= Version(version(name))
    script = [sys.executable, str(ROOT / "tests" / "oldest_requirements.py"), "--without", "torch"]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    written = dict(line.split("==") for line in done.stdout.splitlines())
    assert written == {name: oldest[name] for name in oldest if name != "torch"}
    assert "torch" in done.stderr


def test_a_job_in_a_compute_pool_asks_for_the_same_versions():
    asked = {canonicalize_name(item.name): item.specifier for item in ASKED}
    for text in MISSING_IN_RUNTIME:
        item = Requirement(text)
        assert item.specifier == asked[canonicalize_name(item.name)], text


def test_the_page_of_licences_lists_every_package_that_is_asked_for():
    text = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    table = text.split("## Packages that are asked for")[1].split("## ")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    listed = {canonicalize_name(row[0]): row[1:] for row in rows[1:]}
    assert set(listed) == {canonicalize_name(item.name) for item in ASKED}
    for item in ASKED:
        versions, licence = listed[canonicalize_name(item.name)]
        assert versions == (str(item.specifier) or "any")
        assert licence != "not in its metadata"
