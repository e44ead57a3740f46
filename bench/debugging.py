"""The share of the exam's wrong answers that turn when a few features are ablated.

Usage: python bench/debugging.py [QUESTIONS]   (of each skill; default: 100)
"""

import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import circuitscope_core as cs
from circuitscope_core.evals.debugging import MOST_FEATURES
from circuitscope_core.skills import SKILLS, exam

BAR = 0.6


def main():
    questions = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    bundle = cs.load_bundle(Path(__file__).resolve().parent.parent / "models" / "demo")
    sizes, n_failures = Counter(), 0
    print("| skill | wrong answers | turned |\n|---|---|---|")
    for skill in SKILLS:
        failures = cs.find_failures(bundle.replacement, exam(skill, questions))
        flips = [cs.diagnose(bundle, f.token_ids, f.wanted).flip for f in failures]
        turned = [flip for flip in flips if flip is not None]
        sizes.update(len(flip.nodes) for flip in turned)
        n_failures += len(failures)
        print(f"| {skill} | {len(failures)} | {len(turned)} |", flush=True)
    share = sizes.total() / n_failures
    print(
        f"{sizes.total()} of {n_failures}, {share:.0%} (bar {BAR:.0%}), by {MOST_FEATURES} or less"
    )
    print("features: answers", dict(sorted(sizes.items())))


if __name__ == "__main__":
    main()
