"""Time and memory of the feature cards of a Hugging Face model's own neurons.

Usage: python bench/cards.py FOLDER [N_TOKENS ...]
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLLECT = """
import resource, sys, time
import circuitscope_core as cs

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3

bundle = cs.make_bundle(cs.load_model(sys.argv[1]))
places = None
if sys.argv[3] == "graph":
    places = cs.places_of([cs.attribute(bundle, "Once upon a time, there was a little girl named")])
before, started = peak(), time.perf_counter()
config = cs.FeatureCardConfig(n_tokens=int(sys.argv[2]))
*_, cards = cs.collect_cards(bundle, "builtin", places, config=config)
print(len(cards), time.perf_counter() - started, before, peak() - before)
"""


def main():
    """Collect cards of all neurons, and of those of a graph, each in a process of its own."""
    folder, *counts = sys.argv[1:]
    for n_tokens in map(int, counts or ["100000"]):
        for which in ("all", "graph"):
            command = [sys.executable, "-c", COLLECT, folder, str(n_tokens), which]
            done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
            n_cards, seconds, before, added = map(float, done.stdout.split()[-4:])
            print(
                f"{n_tokens:,} tokens, {n_cards:,.0f} cards: {seconds:.1f} s, "
                f"{added:.0f} MB above {before:.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
