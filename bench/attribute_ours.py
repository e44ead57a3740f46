"""Our attribution of one preset's weights, once for each line read; see against_circuit_tracer.py.

Usage: python bench/attribute_ours.py FOLDER
"""

import json
import sys
import time
from pathlib import Path

from memory import PeakMemory
from operations import count_operations
from safetensors.torch import load_file

import circuitscope_core as cs

LARGE = 1e9
"""Bytes of a transcoder whose decoders are left on disk."""


def transcoder_bytes(folder):
    return sum(path.stat().st_size for path in folder.iterdir())


def main():
    folder = Path(sys.argv[1])
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    config = cs.ModelConfig.from_json(settings["model"])
    model = cs.Transformer.from_transformer_lens(load_file(folder / "model.safetensors"), config)
    lazy = transcoder_bytes(folder / "transcoder") > LARGE
    transcoder = cs.load_transcoder(folder / "transcoder", lazy_decoders=lazy)
    replacement = cs.ReplacementModel(model, transcoder, cs.ByteTokenizer())
    replacement.model.requires_grad_(False)
    active = cs.run_prompt(replacement, settings["tokens"]).features
    memory = PeakMemory()
    for _ in sys.stdin:
        with memory:
            started = time.perf_counter()
            graph = cs.attribute(
                replacement, settings["tokens"], max_feature_nodes=settings["max_feature_nodes"]
            )
            built = time.perf_counter()
        cs.prune_graph(graph, score="influence")
        cs.graph_scores(graph)
        figures = {"attribute": built - started, "prune": time.perf_counter() - built}
        figures |= memory.figures() | {"features": graph.n_features}
        figures["operations"] = count_operations(config, active, graph.features)
        print(json.dumps(figures), flush=True)
        del graph


if __name__ == "__main__":
    main()
