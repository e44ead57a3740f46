"""Our attribution of a Hugging Face model, once for each line read; see pretrained_against.py.

Usage: python bench/pretrained_ours.py FOLDER
"""

import json
import sys
import time
from pathlib import Path

from memory import PeakMemory

import circuitscope_core as cs


def main():
    folder = Path(sys.argv[1])
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    transcoder = cs.load_transcoder(folder / "transcoder")
    bundle = cs.make_bundle(cs.load_model(settings["model"]), transcoder)
    memory = PeakMemory()
    for _ in sys.stdin:
        with memory:
            started = time.perf_counter()
            graph = cs.attribute(
                bundle, settings["tokens"], max_feature_nodes=settings["max_feature_nodes"]
            )
            seconds = time.perf_counter() - started
        figures = {"attribute": seconds, "features": graph.n_features}
        print(json.dumps(figures | memory.figures()), flush=True)
        del graph


if __name__ == "__main__":
    main()
