"""Streaming a 360 MB Parquet file from a stage: memory, speed, time to the first training step.

The stage is served on this machine to the real Snowflake client; what a network adds is not in it.

"tokens" is what a training does with the text (decoded, made token ids, its checksum taken),
"documents" is the text alone. "whole" is the one file from a storage that the connector reads in
one piece, as it does Google's.

Usage: python bench/stages.py [repeats]
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the server of the tests

from bench.corpus_memory import make_file  # noqa: E402
from tests.snowflake.stage_server import stage_server  # noqa: E402

MEMORY_BAR, SPEED_BAR, FIRST_STEP_BAR = 150, 0.90, 3.0
N_PARTS = 8
REPEATS = int(sys.argv[1]) if len(sys.argv) > 1 else 3
READ = """
import hashlib, sys, threading, time
import psutil, pyarrow, pyarrow.parquet
import circuitscope_core as cs
from circuitscope_core.corpus import ReadCounter, open_sources
from circuitscope_core.stages import shared_session
from circuitscope_core.tokenizer import encode_document

def resident():
    return psutil.Process().memory_info().rss / 1e6

place, kind = sys.argv[1:]
shared_session()
before = most = resident()
done = threading.Event()

def watch():
    global most
    while not done.wait(0.002):
        most = max(most, resident())

watcher = threading.Thread(target=watch)
watcher.start()
tokenizer, n = cs.ByteTokenizer(), 0
(source,) = open_sources(place, cs.CorpusConfig())
started = time.perf_counter()
for document in source.documents(ReadCounter()):
    if kind == "tokens":
        ids = encode_document(tokenizer, document.text)
        hashlib.sha256(ids.data).digest()
    n += len(document.text)
seconds = time.perf_counter() - started
done.set()
watcher.join()
print(n / 1e6, most - before, seconds)
"""
FIRST_STEP = """
import sys, tempfile, time
import circuitscope_core as cs
from circuitscope_core.stages import StageStore
from circuitscope_core.training import PhaseFinished, Progress

fetch, arrived = StageStore.get, []

def get(self, name, folder):
    path = fetch(self, name, folder)
    arrived.append(time.perf_counter())
    return path

StageStore.get = get
config = cs.TrainConfig(event_steps=1)
started = time.perf_counter()
with tempfile.TemporaryDirectory() as folder:
    for event in cs.train(config, sys.argv[1], folder + "/model"):
        now = time.perf_counter()
        if isinstance(event, PhaseFinished) and event.phase == "corpus":
            read = now
        if isinstance(event, Progress) and event.phase == "language model":
            break
print(arrived[0] - started, read - arrived[0], now - arrived[0])
"""


def run(code, *arguments, settings):
    """Run code in a process of its own and return the numbers that it prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    # no settings but ours are found from there
    homes = {"SNOWFLAKE_HOME": str(settings), "HOME": str(settings), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command,
        cwd=settings,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **homes},
    )
    return tuple(map(float, done.stdout.split()))


def write_settings(folder, server):
    """Write a connections.toml that leads to the server."""
    lines = ["[default]"]
    for name, value in server.settings(network_timeout=120).items():
        if not isinstance(value, dict):
            lines.append(f"{name} = {value if isinstance(value, int) else repr(value)}")
    lines += ["[default.session_parameters]", "CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED = false"]
    path = folder / "connections.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    path.chmod(0o600)


def make_files(folder):
    """Write one file with one row group, the same with many, and the same in several files."""
    one = folder / "one" / "huge.parquet"
    many = folder / "many" / "huge.parquet"
    for path in (one, many):
        path.parent.mkdir()
    make_file(one)
    table = pq.read_table(one)
    pq.write_table(table, many, compression="zstd", row_group_size=-(-table.num_rows // 60))
    (folder / "parts").mkdir()
    rows = -(-table.num_rows // N_PARTS)
    for number in range(N_PARTS):
        part = table.slice(number * rows, rows)
        pq.write_table(part, folder / "parts" / f"{number}.parquet", compression="zstd")
    return one.stat().st_size


def verdict(good):
    return "held" if good else "NOT HELD"


def compare(what, files, kind, settings):
    """Print memory and speed from the stage beside the speed from the disk; medians."""
    staged, local = [], []
    for _ in range(REPEATS):  # in turn, since the machine has better and worse moments
        staged.append(run(READ, f"@CS.APP.BENCH/{what}", kind, settings=settings))
        local.append(run(READ, files / what, kind, settings=settings))
    megabytes, seconds = staged[0][0], median(item[2] for item in staged)
    extra, alone = max(item[1] for item in staged), median(item[2] for item in local)
    share = alone / seconds
    print(
        f"{what}, {kind}: {megabytes / seconds:,.0f} MB/s, {megabytes / alone:,.0f} MB/s from "
        f"disk, {share:.0%} (bar {SPEED_BAR:.0%}: {verdict(share >= SPEED_BAR)}); {extra:.0f} MB "
        f"extra (bar {MEMORY_BAR}: {verdict(extra <= MEMORY_BAR)})",
        flush=True,
    )


def main():
    with tempfile.TemporaryDirectory() as folder, stage_server(folder) as server:
        settings = Path(folder) / "settings"
        settings.mkdir()
        write_settings(settings, server)
        files = server.account.make_stage("CS", "APP", "BENCH")
        print(f"{make_files(files) / 1e6:,.0f} MB file, one and 60 row groups, {N_PARTS} parts")
        for what in ("one", "many", "parts"):
            for kind in ("tokens", "documents"):
                compare(what, files, kind, settings)
        server.account.http = server.url
        _, extra, _ = run(READ, "@CS.APP.BENCH/one", "tokens", settings=settings)
        print(f"whole: {extra:.0f} MB extra (bar {MEMORY_BAR}: {verdict(extra <= MEMORY_BAR)})")
        server.account.http = ""
        times = [run(FIRST_STEP, "@CS.APP.BENCH/one", settings=settings) for _ in range(REPEATS)]
        before, read, step = sorted(times, key=lambda item: item[2])[REPEATS // 2]
        print(
            f"first file there after {before:.1f} s; corpus ready {read:.1f} s after it, first "
            f"training step {step:.1f} s after it (bar {FIRST_STEP_BAR:.0f} s: "
            f"{verdict(step <= FIRST_STEP_BAR)}; all: {sorted(round(t[2], 1) for t in times)})"
        )


if __name__ == "__main__":
    main()
