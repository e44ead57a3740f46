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
COMPRESSED_SHARE = 0.6
DOCUMENT_BYTES = 6000
READ = """
import sys, threading, time
import psutil, pyarrow, pyarrow.parquet
import circuitscope_core as cs
from circuitscope_core.corpus import ReadCounter

def resident():
    return psutil.Process().memory_info().rss / 1e6

before = most = resident()
done = threading.Event()

def watch():
    global most
    while not done.wait(0.002):
        most = max(most, resident())

watcher = threading.Thread(target=watch)
watcher.start()
started = time.perf_counter()
n = sum(len(d.text) for d in cs.ParquetSource(sys.argv[1]).documents(ReadCounter()))
seconds = time.perf_counter() - started
done.set()
watcher.join()
print(n / 1e6, most - before, seconds)
"""


def read_apart(path):
    """Read a file in a process of its own; return megabytes of text and of memory, and seconds."""
    command = [sys.executable, "-c", READ, str(path)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return tuple(map(float, done.stdout.split()))


def make_file(path):
    """Write random letters, which no compression makes small, in one row group."""
    rng = np.random.default_rng(0)
    letters = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz      ", dtype=np.uint8)
    texts = [
        letters[rng.integers(0, len(letters), DOCUMENT_BYTES)].tobytes().decode()
        for _ in range(int(TARGET_BYTES / COMPRESSED_SHARE) // DOCUMENT_BYTES)
    ]
    table = pa.table({"text": texts})
    pq.write_table(table, path, compression="zstd", row_group_size=len(texts))


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "huge.parquet"
        make_file(path)
        groups = pq.ParquetFile(path).num_row_groups
        print(f"{path.stat().st_size / 1e6:,.0f} MB file, {groups} row group", flush=True)
        text, extra, seconds = read_apart(path)
        print(f"{text:,.0f} MB of text, {extra:.0f} MB extra, {text / seconds:.0f} MB/s")


if __name__ == "__main__":
    main()
