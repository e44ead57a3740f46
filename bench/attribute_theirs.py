"""circuit-tracer's attribution of one preset's weights, once for each line read.

Runs in its own environment. Usage: python bench/attribute_theirs.py FOLDER
"""

import json
import sys
import time
from pathlib import Path

import torch
from circuit_tracer.attribution.attribute import attribute
from circuit_tracer.graph import compute_graph_scores, prune_graph
from circuit_tracer.replacement_model.replacement_model_transformerlens import (
    TransformerLensReplacementModel,
)
from circuit_tracer.transcoder.cross_layer_transcoder import load_clt
from memory import PeakMemory
from safetensors.torch import load_file
from transformer_lens import HookedTransformerConfig


class Tokenizer:
    """As much of a tokenizer as circuit-tracer asks for."""

    vocab_size = 257
    bos_token_id = pad_token_id = eos_token_id = 256
    all_special_ids = (256,)
    padding_side = "right"

    def decode(self, ids):
        return str(ids)


def load(folder, sizes):
    cpu = torch.device("cpu")
    transcoder = load_clt(str(folder / "transcoder"), device=cpu, dtype=torch.float32)
    names = ("n_layers", "d_model", "n_ctx", "d_head", "n_heads", "d_mlp", "d_vocab")
    config = HookedTransformerConfig(
        **{name: sizes[name] for name in names},
        act_fn=sizes["activation"],
        normalization_type=sizes["normalization"],
        device="cpu",
    )
    model = TransformerLensReplacementModel.from_config(config, transcoder)
    weights = load_file(folder / "model.safetensors")
    renamed = {
        name.replace(".mlp.", ".mlp.old_mlp.").replace("unembed.", "unembed.old_unembed."): value
        for name, value in weights.items()
    }
    missing = model.load_state_dict(renamed, strict=False)
    assert not missing.unexpected_keys, missing.unexpected_keys
    model.tokenizer = Tokenizer()
    return model


def main():
    folder = Path(sys.argv[1])
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    model = load(folder, settings["model"])
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
            built = time.perf_counter()
        prune_graph(graph)
        compute_graph_scores(graph)
        figures = {"attribute": built - started, "prune": time.perf_counter() - built}
        n_features = len(graph.selected_features)
        print(json.dumps({"features": n_features, **figures, **memory.figures()}), flush=True)
        del graph


if __name__ == "__main__":
    main()
