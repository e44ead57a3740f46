"""How much faster two workers train than one worker on one core, phase by phase, with models of
the default sizes and fewer tokens.

Usage: python bench/workers.py [BACKEND ...]   (default: local procs:2 ray:2)

"local" is held to one core and one thread. Each is run three times and its best times are shown.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPEAT = 3
TOKENS = {"language model": 500_000, "transcoder": 300_000}
SETTINGS = (
    f"language_model_training.n_tokens={TOKENS['language model']}",
    f"transcoder_training.n_tokens={TOKENS['transcoder']}",
    "corpus.max_tokens=1000000",
    "feature_cards.n_tokens=20000",
    "event_steps=2",
)
ROOT = Path(__file__).resolve().parent.parent


def train(backend, out):
    """Return the seconds of every phase and of the whole, start and end of workers included, and
    the highest rate of each training over 20 reports, which is 40 steps."""
    command = [sys.executable, "-m", "circuitscope_core", "train", "--json", "--out", str(out)]
    command += ["--backend", backend]
    for item in SETTINGS:
        command += ["--set", item]
    environment, prepare = {**os.environ, "PYTHONPATH": str(ROOT)}, None
    if backend == "local":
        environment["OMP_NUM_THREADS"] = "1"
        core = min(os.sched_getaffinity(0))

        def prepare():
            os.sched_setaffinity(0, {core})

    started = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        preexec_fn=prepare,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    whole = time.perf_counter() - started
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    seconds = {e["phase"]: e["seconds"] for e in events if e["event"] == "PhaseFinished"}
    rates = {
        f"{name} rate": max(
            e["tokens_per_second"]
            for e in events
            if e["event"] == "Progress" and e["phase"] == name and e["step"] > 40
        )
        for name in TOKENS
    }
    return {
        **seconds,
        **rates,
        "both trainings": sum(seconds[name] for name in TOKENS),
        "whole": whole,
    }


def main():
    backends = sys.argv[1:] or ["local", "procs:2", "ray:2"]
    best = {}
    with tempfile.TemporaryDirectory() as place:
        # in turn, so that a slow minute of the machine meets all of them
        for number in range(REPEAT):
            for backend in backends:
                seconds = train(backend, Path(place) / f"{backend.split(':')[0]}{number}")
                known = best.setdefault(backend, seconds)
                best[backend] = {
                    name: (max if name.endswith("rate") else min)(known[name], seconds[name])
                    for name in known
                }
                print(
                    backend, {name: round(value, 1) for name, value in seconds.items()}, flush=True
                )
    print("| | " + " | ".join(backends) + " |\n|---|" + "---|" * len(backends))
    for name in TOKENS:
        rates = [best[backend][f"{name} rate"] for backend in backends]
        shown = (f"{rate:,.0f} tokens/s ({rate / rates[0]:.2f} times)" for rate in rates)
        print(f"| {name}, best 40 steps | " + " | ".join(shown) + " |")
    for name in (*TOKENS, "both trainings", "whole"):
        first = best[backends[0]][name]
        shown = (f"{first / best[b][name]:.2f} ({best[b][name]:.1f} s)" for b in backends)
        print(f"| {name}, times as fast | " + " | ".join(shown) + " |")


if __name__ == "__main__":
    main()
