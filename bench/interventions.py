"""Many ablations in one call against the same ones after each other, in every mode.

Usage: python bench/interventions.py [N]

Takes away N features (default 1,000) of the demo's graph of a prompt of 64 bytes, one at a time.
One by one is timed on a sample, and for all by that sample. Medians of five.
"""

import sys
import time
from pathlib import Path
from statistics import median

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import circuitscope_core as cs
from circuitscope_core.interventions import change_nodes, intervene_many, intervene_on

PROMPT = "The National Digital Analytics Group (NDAG) is a body of the sta"
MODES = ("direct", "constrained", "iterative")
REPEAT, SAMPLE = 5, 40


def seconds(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main():
    n = int(sys.argv[1]) if sys.argv[1:] else 1000
    bundle = cs.load_bundle("models/demo")
    graph, clean = cs.attribute(bundle, PROMPT), cs.run_prompt(bundle, PROMPT)
    nodes = torch.linspace(0, graph.n_features - 1, n).long().tolist()
    sets = [change_nodes(graph, [node]) for node in nodes]
    some = sets[:: n // SAMPLE]
    print(f"{graph.n_pos} tokens, {graph.n_features:,} features, {n:,} of them ablated\n")
    print("| mode | one call | intervene, one by one | from one clean pass | times faster |")
    print("|---|---|---|---|---|")
    for mode in MODES:

        def many(mode=mode):
            intervene_many(bundle, PROMPT, sets, mode=mode)

        def apart(mode=mode):
            for changes in some:
                cs.intervene(bundle, PROMPT, changes, mode=mode)

        def from_one(mode=mode):
            for changes in some:
                intervene_on(clean, changes, mode=mode)

        works = (many, apart, from_one)
        for work in works:
            work()
        rows = [[seconds(work) for work in works] for _ in range(REPEAT)]
        one, each, each_clean = (median(column) for column in zip(*rows, strict=True))
        each, each_clean = (value * n / len(some) for value in (each, each_clean))
        times = f"{each / one:.0f}, {each_clean / one:.0f}"
        print(f"| {mode} | {one:.2f} s | {each:.1f} s | {each_clean:.1f} s | {times} |", flush=True)


if __name__ == "__main__":
    main()
