"""The first thing that runs inside a job of a compute pool: the command line, from the payload."""

import os
import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    # copied beside the package, into the payload's folder
    HERE = Path(__file__).resolve().parent
    os.chdir(HERE)
    sys.path.insert(0, str(HERE))
    runpy.run_module("circuitscope_core", run_name="__main__", alter_sys=True)
