"""The log names tests that exist, and every test here is in it or beside one that is."""

import re

from tests.reported.running import ROOT

LOG = (ROOT / "tests" / "reported" / "README.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`([a-z_/]+\.py)::(test_\w+)`", LOG))


def test_every_test_that_the_log_names_exists():
    missing = [
        f"{file}::{name}"
        for file, name in sorted(NAMED)
        if f"def {name}(" not in (ROOT / "tests" / file).read_text(encoding="utf-8")
    ]
    assert not missing


def test_every_row_names_a_test():
    rows = [line for line in LOG.splitlines() if line.startswith("| ") and "| before |" not in line]
    assert len(rows) > 60
    assert all("::test_" in row for row in rows)
