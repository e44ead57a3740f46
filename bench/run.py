"""Run every benchmark and print its figures.

Usage: python bench/run.py
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BENCHMARKS = (
    ("bench/training_speed.py",),
    ("bench/attribution.py",),
    ("-m", "circuitscope_core", "bench", "exam"),
    ("-m", "circuitscope_core", "bench", "localization"),
    ("bench/interventions.py",),
    ("-m", "circuitscope_core", "bench", "faithfulness"),
    ("bench/corpus_memory.py",),
    ("bench/first_graph.py",),
)


def main():
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}")
    for arguments in BENCHMARKS:
        print(f"\n## {' '.join(arguments)}", flush=True)
        subprocess.run([sys.executable, *arguments], cwd=HERE.parent, check=True)


if __name__ == "__main__":
    main()
