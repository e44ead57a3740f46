"""Peak extra memory and speed of reading a 360 MB Parquet file with one row group.

Usage: python bench/corpus_memory.py
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
TARGET_BYTES = 360_000_000
READ = """
import resource, sys, time
import pyarrow, pyarrow.parquet, torch  # what is loaded anyway does not count
import circuitscope_core as cs
from circuitscope_core.corpus import ReadCounter

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

before, started = peak(), time.perf_counter()
n = sum(len(d.text) for d in cs.ParquetSource(sys.argv[1]).documents(ReadCounter()))
seconds = time.perf_counter() - started
print(f"{n / 1e6:,.0f} MB of text, {peak() - before:.0f} MB extra, {n / 1e6 / seconds:.0f} MB/s")
"""


def make_file(path):
    """Write random words until the compressed file has its size, in one row group."""
    rng = np.random.default_rng(0)
    words = np.array([bytes(rng.integers(97, 123, rng.integers(2, 10))) for _ in range(50_000)])
    texts, n_bytes = [], 0
    while n_bytes < TARGET_BYTES * 2.15:
        text = b" ".join(rng.choice(words, 1000).tolist()).decode()
        texts.append(text)
        n_bytes += len(text)
    table = pa.table({"text": texts})
    pq.write_table(table, path, compression="zstd", row_group_size=len(texts))


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "huge.parquet"
        make_file(path)
        groups = pq.ParquetFile(path).num_row_groups
        print(f"{path.stat().st_size / 1e6:,.0f} MB file, {groups} row group", flush=True)
        subprocess.run([sys.executable, "-c", READ, str(path)], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
