"""Attribution by this project and by circuit-tracer 0.5.0, the same random weights in turn.

Usage: make circuit-tracer, then
       CIRCUIT_TRACER_PYTHON=.venv-circuit-tracer/bin/python \\
       python bench/against_circuit_tracer.py [a b c d e] [--repeat 5] [--busy] [--limit 1800]

Without that variable only our own figures are printed; plain autograd (oracle.py) is, too, but for
long prompts. Each tool has a process of its own that loads the weights once; then they are asked in
turn, so that a slow moment of the machine meets both. Time is the attribution of a prompt, the
median after one run to warm up. Memory is what the process takes beyond what it held once
everything was loaded, at its peak; mapped files, which the system may drop at any time, are
counted, and given apart. With --busy every run is made once more while another process keeps one
core busy. A tool that fails, or takes longer than --limit seconds, is left out, and its last lines
are shown.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

from random_weights import Sizes, random_weights

HERE = Path(__file__).resolve().parent
PRESETS = {
    "a": Sizes(n_layers=3, d_model=64, n_heads=4, d_transcoder=512),
    "b": Sizes(n_layers=12, d_model=256, n_heads=4, d_transcoder=2048),
    "c": Sizes(n_layers=12, d_model=768, n_heads=12, d_transcoder=8192, max_feature_nodes=2048),
    "d": Sizes(12, 256, 4, 2048, n_pos=256, max_feature_nodes=8192),
    "e": Sizes(12, 256, 4, 2048, n_pos=1024, max_feature_nodes=8192),
}
LONG = ("d", "e")
"""Presets of long prompts, which plain autograd is not asked for."""
LAST_LINES = 12
"""Lines of a tool's own messages that are shown when it fails."""


class ToolFailed(RuntimeError):
    """A tool ended, or took too long."""


class Tool:
    """One tool's process."""

    def __init__(self, python, script, folder, limit=None):
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        command = [python, str(HERE / script), str(folder)]
        self.said = tempfile.TemporaryFile("w+")  # noqa: SIM115  # as long as the process
        self.process = subprocess.Popen(command, env=environment, stderr=self.said, **pipes)
        self.limit = limit
        self.runs, self.busy_runs = [], []

    def run(self, runs=None):
        """Attribute once more; keep the figures.

        Raises:
            ToolFailed: With the last lines that the process wrote.
        """
        clock = threading.Timer(self.limit, self.process.kill) if self.limit else None
        try:
            if clock:
                clock.start()
            self.process.stdin.write("run\n")
            self.process.stdin.flush()
            for line in self.process.stdout:
                if line.startswith("{"):
                    (self.runs if runs is None else runs).append(json.loads(line))
                    return
        except BrokenPipeError:
            pass
        finally:
            if clock:
                clock.cancel()
        status = self.process.wait()
        self.said.seek(0)
        last = "".join(self.said.readlines()[-LAST_LINES:])
        took = f", perhaps after {self.limit} s" if self.limit and status < 0 else ""
        raise ToolFailed(f"{self.process.args[1]} ended with {status}{took}:\n{last}")

    def figures(self):
        """Return the medians of all runs but the first, and the largest memory."""
        runs = self.runs[1:] or self.runs
        found = medians(runs)
        if self.busy_runs:
            busy = medians(self.busy_runs)
            found |= {f"busy {kind}": busy[kind] for kind in ("attribute", "prune")}
        return found

    def close(self):
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def medians(runs):
    """Return the last run's figures, its times being the medians of all runs."""
    kinds = {"attribute", "prune", "peak_rate"} & runs[-1].keys()
    return runs[-1] | {kind: statistics.median(run[kind] for run in runs) for kind in kinds}


@contextmanager
def busy_neighbour():
    """Keep one core busy meanwhile."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def compare(preset, repeat, *, busy, limit):
    """Return each tool's figures for a preset, and the oracle's."""
    theirs_python = os.environ.get("CIRCUIT_TRACER_PYTHON")
    with random_weights(PRESETS[preset]) as folder:
        machine = Tool(sys.executable, "operations.py", folder)
        tools = {"ours": Tool(sys.executable, "attribute_ours.py", folder)}
        if theirs_python:
            tools["circuit-tracer"] = Tool(theirs_python, "attribute_theirs.py", folder, limit)
        for _ in range(1 + repeat):
            machine.run()
            for name, tool in list(tools.items()):
                try:
                    tool.run()
                    if busy:
                        with busy_neighbour():
                            tool.run(tool.busy_runs)
                except ToolFailed as error:
                    print(f"{preset}: {error}", file=sys.stderr)
                    del tools[name]
        for tool in (*tools.values(), machine):
            tool.close()
        oracle = None if preset in LONG else ask_oracle(folder)
    found = {name: tool.figures() for name, tool in tools.items()}
    found["ours"] |= machine.figures()
    return found, oracle


def ask_oracle(folder):
    """Return the figures of plain autograd."""
    done = subprocess.run(
        [sys.executable, str(HERE / "oracle.py"), str(folder)],
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        check=True,
        stdout=subprocess.PIPE,
    )
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="*", default=["a"])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--limit", type=float, default=1800, help="seconds for one run of theirs")
    options = parser.parse_args()
    print(
        "| preset | tool | features | attribution s | prune + scores s | extra MB (mapped) | peak |"
    )
    print("|---|---|---|---|---|---|---|")
    for preset in options.presets:
        found, oracle = compare(preset, options.repeat, busy=options.busy, limit=options.limit)
        for tool, figures in found.items():
            memory = f"{figures['extra']:,.0f} ({figures['mapped']:,.0f}) | {figures['peak']:,.0f}"
            print(
                f"| {preset} | {tool} | {figures['features']:,} | {figures['attribute']:.3f} | "
                f"{figures['prune']:.3f} | {memory} |"
            )
            if options.busy:
                times = (figures["busy attribute"], figures["busy prune"])
                slower = times[0] / figures["attribute"], times[1] / figures["prune"]
                print(
                    f"| {preset} | {tool}, one core busy | {slower[0]:.2f} · {slower[1]:.2f} "
                    f"times | {times[0]:.3f} | {times[1]:.3f} | | |"
                )
        if oracle is not None:
            print(
                f"| {preset} | plain autograd, from {oracle['targets']} rows | | "
                f"{oracle['all']:.1f} | | differs by {oracle['worst']:.1e} of a row's largest | |"
            )
        ours = found["ours"]
        done = ours["operations"] / ours["attribute"]
        print(
            f"| {preset} | ours | {ours['operations'] / 1e9:,.1f} billion operations | "
            f"{done / 1e9:,.0f} billion a second | {done / ours['peak_rate']:.0%} of the peak | | |"
        )
        if len(found) == 2:
            theirs = found["circuit-tracer"]
            ratios = [theirs[key] / ours[key] for key in ("attribute", "prune", "extra", "peak")]
            cells = " | ".join(f"{ratio:.1f} ×" for ratio in ratios)
            print(f"| {preset} | **ratio** | | {cells} |", flush=True)


if __name__ == "__main__":
    main()
