"""circuit-tracer's attribution of a Hugging Face model, once for each line read.

Runs in its own environment, with its nnsight back end. Usage: python bench/pretrained_theirs.py
FOLDER, which has ``settings.json`` and ``transcoder/`` with a file for each layer.
"""

import json
import sys
import time
from pathlib import Path

import torch
from circuit_tracer.attribution.attribute import attribute
from circuit_tracer.replacement_model.replacement_model_nnsight import NNSightReplacementModel
from circuit_tracer.transcoder.single_layer_transcoder import TranscoderSet, load_relu_transcoder
from memory import PeakMemory


def load(folder, settings):
    layers = {
        layer: load_relu_transcoder(
            str(folder / "transcoder" / f"layer_{layer}.safetensors"),
            layer,
            device=torch.device("cpu"),
            lazy_encoder=False,
            lazy_decoder=False,
        )
        for layer in range(settings["n_layers"])
    }
    features = TranscoderSet(layers, "mlp.hook_in", "mlp.hook_out")
    return NNSightReplacementModel.from_pretrained_and_transcoders(
        settings["model"], features, device="cpu", dtype=torch.float32
    )


def main():
    folder = Path(sys.argv[1])
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    model = load(folder, settings)
    tokens = torch.tensor(settings["tokens"])
    memory = PeakMemory()
    for _ in sys.stdin:
        with memory:
            started = time.perf_counter()
            graph = attribute(
                tokens,
                model,
                batch_size=settings["batch_size"],
                max_feature_nodes=settings["max_feature_nodes"],
            )
            seconds = time.perf_counter() - started
        figures = {"attribute": seconds, "features": len(graph.selected_features)}
        print(json.dumps(figures | memory.figures()), flush=True)
        del graph


if __name__ == "__main__":
    main()
