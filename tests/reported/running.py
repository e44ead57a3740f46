"""The shell commands, run as a user runs them, and small bundles for them."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments, env=None, **options):
    """Run a command and return what came of it."""
    command = [sys.executable, "-m", "circuitscope_core", *map(str, arguments)]
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | (env or {}), timeout=120, check=False, **settings
    )
