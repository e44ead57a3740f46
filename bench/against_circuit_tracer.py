"""Attribution by this project and by circuit-tracer 0.5.0, the same random weights in turn.

Usage: CIRCUIT_TRACER_PYTHON=/path/to/python python bench/against_circuit_tracer.py [a b c]
       [--repeat 5]

Without that variable only our own figures are printed; plain autograd (oracle.py) always is, too.
Each tool has a process of its own that loads the weights once; then they are asked in turn, so that
a slow moment of the machine meets both. Time is the attribution of a prompt, the median after one
run to warm up. Memory is what the process takes beyond what it held once everything was loaded, at
its peak; mapped files, which the system may drop at any time, are counted, and given apart.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from random_weights import Sizes, random_weights

HERE = Path(__file__).resolve().parent
PRESETS = {
    "a": Sizes(n_layers=3, d_model=64, n_heads=4, d_transcoder=512),
    "b": Sizes(n_layers=12, d_model=256, n_heads=4, d_transcoder=2048),
    "c": Sizes(n_layers=12, d_model=768, n_heads=12, d_transcoder=8192, max_feature_nodes=2048),
}


class Tool:
    """One tool's process."""

    def __init__(self, python, script, folder):
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        command = [python, str(HERE / script), str(folder)]
        self.process = subprocess.Popen(
            command, env=environment, stderr=subprocess.DEVNULL, **pipes
        )
        self.runs = []

    def run(self):
        """Attribute once more; return the figures."""
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("{"):
                self.runs.append(json.loads(line))
                return
        raise RuntimeError(f"{self.process.args} ended with {self.process.wait()}")

    def figures(self):
        """Return the medians of all runs but the first, and the largest memory."""
        _, *runs = self.runs
        kinds = {"attribute", "prune", "peak_rate"} & runs[-1].keys()
        return runs[-1] | {kind: statistics.median(run[kind] for run in runs) for kind in kinds}

    def close(self):
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def compare(preset, repeat):
    """Return each tool's figures for a preset, and the oracle's."""
    theirs_python = os.environ.get("CIRCUIT_TRACER_PYTHON")
    with random_weights(PRESETS[preset]) as folder:
        machine = Tool(sys.executable, "operations.py", folder)
        tools = {"ours": Tool(sys.executable, "attribute_ours.py", folder)}
        if theirs_python:
            tools["circuit-tracer"] = Tool(theirs_python, "attribute_theirs.py", folder)
        for _ in range(1 + repeat):
            for tool in (*tools.values(), machine):
                tool.run()
        for tool in (*tools.values(), machine):
            tool.close()
        oracle = subprocess.run(
            [sys.executable, str(HERE / "oracle.py"), str(folder)],
            env={**os.environ, "PYTHONPATH": str(HERE.parent)},
            check=True,
            capture_output=True,
        )
    found = {name: tool.figures() for name, tool in tools.items()}
    found["ours"] |= machine.figures()
    return found, json.loads(oracle.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="*", default=["a"])
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    print(
        "| preset | tool | features | attribution s | prune + scores s | extra MB (mapped) | peak |"
    )
    print("|---|---|---|---|---|---|---|")
    for preset in options.presets:
        found, oracle = compare(preset, options.repeat)
        for tool, figures in found.items():
            memory = f"{figures['extra']:,.0f} ({figures['mapped']:,.0f}) | {figures['peak']:,.0f}"
            print(
                f"| {preset} | {tool} | {figures['features']:,} | {figures['attribute']:.3f} | "
                f"{figures['prune']:.3f} | {memory} |"
            )
        print(
            f"| {preset} | plain autograd, from {oracle['targets']} rows | | {oracle['all']:.1f} | "
            f"| differs by {oracle['worst']:.1e} of a row's largest effect | |"
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
