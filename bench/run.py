"""Run every benchmark and print its figures.

Usage: python bench/run.py
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BENCHMARKS = ("attribution.py", "skills.py", "corpus_memory.py", "first_graph.py")


def main():
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}")
    for name in BENCHMARKS:
        print(f"\n## {name}", flush=True)
        subprocess.run([sys.executable, str(HERE / name)], cwd=HERE.parent, check=True)


if __name__ == "__main__":
    main()
