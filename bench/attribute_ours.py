"""Our attribution of one preset's weights: prints figures as JSON. See against_circuit_tracer.py.

Usage: python bench/attribute_ours.py FOLDER REPEAT
"""

import json
import resource
import statistics
import sys
import time
from pathlib import Path

from safetensors.torch import load_file

import circuitscope_core as cs


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def main():
    folder, repeat = Path(sys.argv[1]), int(sys.argv[2])
    settings = json.loads((folder / "settings.json").read_text())
    config = cs.ModelConfig.from_json(settings["model"])
    model = cs.Transformer.from_transformer_lens(load_file(folder / "model.safetensors"), config)
    transcoder = cs.load_transcoder(folder / "transcoder")
    replacement = cs.ReplacementModel(model, transcoder, cs.ByteTokenizer())
    replacement.model.requires_grad_(False)
    before, times, prune_times = peak(), [], []
    for _ in range(repeat):
        started = time.perf_counter()
        graph = cs.attribute(
            replacement, settings["tokens"], max_feature_nodes=settings["max_feature_nodes"]
        )
        built = time.perf_counter()
        after = peak()
        cs.prune_graph(graph)
        cs.graph_scores(graph)
        times.append(built - started)
        prune_times.append(time.perf_counter() - built)
    figures = {
        "features": graph.n_features,
        "attribute": statistics.median(times),
        "prune": statistics.median(prune_times),
        "extra": after - before,
        "peak": after,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
