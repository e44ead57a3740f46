"""Time attribution, pruning, grouping and layout on the demo bundle for prompts of several lengths.

Usage: python bench/attribution.py [BUNDLE]
"""

import resource
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import circuitscope_core as cs
from circuitscope_core.view import layout_graph

TEXT = (
    "The National Digital Analytics Group (NDAG) is based in the capital. The NDAG was founded "
    "by three engineers, and the report of the NDAG says that the region exports coffee, cotton "
    "and gold to its neighbors. In 1998 the government signed a treaty (N"
)
LENGTHS = (16, 32, 64, 128, 240)
REPEAT = 5


def median_seconds(work):
    times = []
    for _ in range(REPEAT + 1):
        started = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:]), result


def main():
    bundle = cs.load_bundle(sys.argv[1] if len(sys.argv) > 1 else "models/demo")
    steps = "attribute s | prune + scores s | supernodes s | layout s | all s"
    print(f"| prompt bytes | features | edges | {steps} |")
    print("|---|---|---|---|---|---|---|---|")
    for length in LENGTHS:
        prompt = TEXT[-length:]
        build, graph = median_seconds(lambda prompt=prompt: cs.attribute(bundle, prompt))
        prune, pruned = median_seconds(
            lambda graph=graph: (cs.prune_graph(graph), cs.graph_scores(graph))[0]
        )
        group, groups = median_seconds(
            lambda pruned=pruned: cs.cluster_features(pruned, bundle.transcoder)
        )
        parts = (bundle.tokenizer, bundle.feature_cards, groups, bundle.global_weights)
        draw, _ = median_seconds(lambda pruned=pruned, parts=parts: layout_graph(pruned, *parts))
        whole = build + prune + group + draw
        row = f"{build:.3f} | {prune:.3f} | {group:.3f} | {draw:.3f} | {whole:.3f}"
        print(f"| {length} | {graph.n_features:,} | {graph.n_edges:,} | {row} |", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nPeak memory of the process: {peak:,.0f} MB")


if __name__ == "__main__":
    main()
