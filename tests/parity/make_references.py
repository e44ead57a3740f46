"""Make the reference graphs in ``references/`` with circuit-tracer 0.5.0.

Usage, in an environment of its own (its dependencies are not ours):
    pip install circuit-tracer==0.5.0 "transformer-lens<3"
    python tests/parity/make_references.py [FOLDER]
"""

import json
import sys
from pathlib import Path

import torch
from circuit_tracer.attribution.attribute import attribute
from circuit_tracer.graph import compute_graph_scores, prune_graph
from circuit_tracer.replacement_model.replacement_model_transformerlens import (
    TransformerLensReplacementModel,
)
from circuit_tracer.transcoder.activation_functions import JumpReLU
from circuit_tracer.transcoder.cross_layer_transcoder import CrossLayerTranscoder
from circuit_tracer.transcoder.single_layer_transcoder import (
    SingleLayerTranscoder,
    TranscoderSet,
)
from safetensors.torch import save_file
from transformer_lens import HookedTransformerConfig

N_LAYERS, D_MODEL, D_TRANSCODER, D_VOCAB = 3, 8, 12, 257
PROMPT = [256, *b"The Navy (N"]
BASE = {
    "activation": "gelu",
    "causal": True,
    "tied": False,
    "cross_layer": True,
    "jump_relu": True,
    "skip": False,
    "read_point": "hook_resid_mid",
    "write_point": "hook_mlp_out",
    "max_feature_nodes": None,
}
KINDS = {
    "plain": {},
    "relu_tied": {"jump_relu": False, "tied": True, "activation": "gelu_new"},
    "relu_model": {"activation": "relu", "write_point": "mlp.hook_out", "max_feature_nodes": 20},
    "bidirectional": {"causal": False, "read_point": "ln2.hook_normalized"},
    "mlp_in": {"read_point": "mlp.hook_in", "write_point": "mlp.hook_out"},
    "skip": {"skip": True, "read_point": "mlp.hook_in"},
    "per_layer": {"cross_layer": False, "read_point": "ln2.hook_normalized"},
    "per_layer_skip": {"cross_layer": False, "skip": True, "jump_relu": False},
}


class Tokenizer:
    """As much of a tokenizer as circuit-tracer asks for."""

    vocab_size = D_VOCAB
    bos_token_id = pad_token_id = eos_token_id = 256
    all_special_ids = (256,)
    padding_side = "right"

    def decode(self, ids):
        return str(ids)


def noise(module, scale, generator):
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * scale)


def make_transcoder(kind, generator):
    function = "jump_relu" if kind["jump_relu"] else "relu"
    if kind["cross_layer"]:
        transcoder = CrossLayerTranscoder(
            N_LAYERS,
            D_TRANSCODER,
            D_MODEL,
            activation_function=function,
            skip_connection=kind["skip"],
            lazy_decoder=False,
            feature_input_hook=kind["read_point"],
            feature_output_hook=kind["write_point"],
            device=torch.device("cpu"),
            dtype=torch.float32,
        )
        noise(transcoder, 0.3, generator)
        if kind["jump_relu"]:
            transcoder.activation_function.threshold.data.fill_(0.2)
        return transcoder
    layers = {}
    for layer in range(N_LAYERS):
        threshold = torch.full((D_TRANSCODER,), 0.2)
        layers[layer] = SingleLayerTranscoder(
            D_MODEL,
            D_TRANSCODER,
            JumpReLU(threshold, 0.1) if kind["jump_relu"] else torch.relu,
            layer,
            skip_connection=kind["skip"],
            device=torch.device("cpu"),
            dtype=torch.float32,
        )
        noise(layers[layer], 0.3, generator)
        if kind["jump_relu"]:
            layers[layer].activation_function.threshold.data.fill_(0.2)
    for layer in layers.values():
        layer.d_transcoder = D_TRANSCODER
    return TranscoderSet(layers, kind["read_point"], kind["write_point"])


def make_model(kind, transcoder, generator):
    config = HookedTransformerConfig(
        n_layers=N_LAYERS,
        d_model=D_MODEL,
        n_ctx=16,
        d_head=3,
        n_heads=2,
        d_mlp=16,
        d_vocab=D_VOCAB,
        act_fn=kind["activation"],
        normalization_type="LN",
        attention_dir="causal" if kind["causal"] else "bidirectional",
        device="cpu",
    )
    model = TransformerLensReplacementModel.from_config(config, transcoder)
    own = [w for name, w in model.named_parameters() if not name.startswith("transcoders")]
    with torch.no_grad():
        for weight in own:
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.3)
        if kind["tied"]:
            model.unembed.W_U.copy_(model.embed.W_E.T)
    model.tokenizer = Tokenizer()
    return model


def model_weights(model):
    """Return TransformerLens' names, without the wrappers that circuit-tracer adds."""
    return {
        name.replace("old_mlp.", "").replace("old_unembed.", ""): value.detach().clone()
        for name, value in model.state_dict().items()
        if not name.startswith("transcoders") and not name.endswith((".mask", ".IGNORE"))
    }


def make_reference(name, kind, folder):
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    transcoder = make_transcoder(kind, generator)
    model = make_model(kind, transcoder, generator)
    target = folder / name
    (target / "transcoder").mkdir(parents=True, exist_ok=True)
    transcoder.to_safetensors(str(target / "transcoder"))
    hooks = [("feature_input_hook", "read_point"), ("feature_output_hook", "write_point")]
    settings = "".join(f"{theirs}: {kind[ours]}\n" for theirs, ours in hooks)
    (target / "transcoder" / "config.yaml").write_text(settings)
    tensors = {f"model.{key}": value for key, value in model_weights(model).items()}
    if kind["skip"] and kind["cross_layer"]:
        tensors["W_skip"] = transcoder.W_skip.detach().clone()  # their folder has no place for it
    graph = attribute(
        torch.tensor(PROMPT), model, batch_size=16, max_feature_nodes=kind["max_feature_nodes"]
    )
    pruned = prune_graph(graph)
    tensors |= {
        "adjacency": graph.adjacency_matrix,
        "features": graph.active_features[graph.selected_features],
        "activations": graph.activation_values[graph.selected_features],
        "logit_token_ids": torch.tensor([item.vocab_idx for item in graph.logit_targets]),
        "logit_probabilities": graph.logit_probabilities,
        "node_mask": pruned.node_mask,
        "edge_mask": pruned.edge_mask,
        "scores": torch.tensor([float(score) for score in compute_graph_scores(graph)]),
    }
    ready = {key: value.detach().contiguous() for key, value in tensors.items()}
    save_file(ready, target / "reference.safetensors")
    (target / "kind.json").write_text(json.dumps(kind, indent=1) + "\n")


def main():
    here = Path(__file__).resolve().parent / "references"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else here
    for name, changes in KINDS.items():
        make_reference(name, BASE | changes, folder)


if __name__ == "__main__":
    main()
