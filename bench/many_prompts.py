"""Trace many short prompts with the demo bundle: prompts a second, and memory as they go by.

``python bench/many_prompts.py [--n 1000] [--backend local]``
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psutil
import pyarrow.parquet

import circuitscope_core as cs
from circuitscope_core.skills import SKILLS, exam

ROOT = Path(__file__).resolve().parent.parent


def resident():
    """Return the resident memory of this process and those that it started, in MB."""
    own = psutil.Process()
    return sum(one.memory_info().rss for one in (own, *own.children(recursive=True))) / 1e6


def main():
    """Trace the prompts and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--backend", default="local")
    options = parser.parse_args()
    per_skill = -(-options.n // len(SKILLS))
    prompts = [one.prompt for skill in SKILLS for one in exam(skill, per_skill)][: options.n]
    with tempfile.TemporaryDirectory() as folder:
        started, cpu = time.perf_counter(), time.process_time()
        steps = cs.attribute_many(
            ROOT / "models" / "demo", prompts, folder, backend=options.backend, graphs=False
        )
        for done in steps:
            n = done.number + 1
            if n in (100, options.n):
                print(f"{n:,} prompts: {resident():,.0f} MB resident", flush=True)
        wall, cpu = time.perf_counter() - started, time.process_time() - cpu
        table = pyarrow.parquet.ParquetFile(Path(folder) / "prompts.parquet")
        rows, groups = table.metadata.num_rows, table.metadata.num_row_groups
        size = (Path(folder) / "prompts.parquet").stat().st_size
    print(f"{options.n / wall:.1f} prompts/s ({wall:.1f} s, {cpu:.1f} s of this process's CPU)")
    print(f"table: {rows:,} rows in {groups} row groups, {size / 1e3:,.0f} kB")


if __name__ == "__main__":
    main()
