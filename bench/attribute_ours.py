"""Our attribution of one preset's weights, once for each line read; see against_circuit_tracer.py.

Usage: python bench/attribute_ours.py FOLDER
"""

import json
import sys
import time
from pathlib import Path

from memory import PeakMemory
from safetensors.torch import load_file

import circuitscope_core as cs


def main():
    folder = Path(sys.argv[1])
    settings = json.loads((folder / "settings.json").read_text())
    config = cs.ModelConfig.from_json(settings["model"])
    model = cs.Transformer.from_transformer_lens(load_file(folder / "model.safetensors"), config)
    transcoder = cs.load_transcoder(folder / "transcoder", lazy_decoders=True)
    replacement = cs.ReplacementModel(model, transcoder, cs.ByteTokenizer())
    replacement.model.requires_grad_(False)
    memory = PeakMemory()
    for _ in sys.stdin:
        with memory:
            started = time.perf_counter()
            graph = cs.attribute(
                replacement, settings["tokens"], max_feature_nodes=settings["max_feature_nodes"]
            )
            built = time.perf_counter()
        cs.prune_graph(graph)
        cs.graph_scores(graph)
        figures = {"attribute": built - started, "prune": time.perf_counter() - built}
        print(json.dumps({"features": graph.n_features, **figures, **memory.figures()}), flush=True)
        del graph


if __name__ == "__main__":
    main()
