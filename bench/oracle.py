"""Direct effects by plain autograd, one target at a time: slow, and easy to believe.

Usage: python bench/oracle.py FOLDER, with the weights that against_circuit_tracer.py makes. Prints,
as JSON, the seconds for a sample of targets, and for all by that sample, and the largest difference
from ``cs.attribute`` relative to the largest effect of its row.
"""

import json
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

import circuitscope_core as cs

N_TARGETS = 100


def frozen_record(replacement, graph):
    """Run the model with patterns, norms and MLP outputs frozen; return what gradients are of."""
    model = replacement.model
    tokens = graph.token_ids[None]
    clean = model.record(tokens)
    outputs = torch.stack([site.mlp_out for site in clean.sites]).requires_grad_()
    embedding = model.embed.W_E[graph.token_ids].clone().requires_grad_()
    record = model.record(
        tokens,
        edit_mlp=lambda call: outputs[call.layer],
        embed_change=(embedding - embedding.detach())[None],
        clean=clean,
    )
    return record, outputs, embedding


def main():
    folder = Path(sys.argv[1])
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    config = cs.ModelConfig.from_json(settings["model"])
    model = cs.Transformer.from_transformer_lens(load_file(folder / "model.safetensors"), config)
    transcoder = cs.load_transcoder(folder / "transcoder", lazy_decoders=True)
    replacement = cs.ReplacementModel(model.requires_grad_(False), transcoder, cs.ByteTokenizer())
    graph = cs.attribute(
        replacement, settings["tokens"], max_feature_nodes=settings["max_feature_nodes"]
    )
    layers, positions, numbers = graph.features.T
    written = torch.cat(
        [transcoder.decoder_vectors(n, numbers[layers == n]) for n in range(config.n_layers)]
    )
    written *= graph.activations[:, None, None]
    record, outputs, embedding = frozen_record(replacement, graph)
    read_point = transcoder.config.read_point
    targets = torch.linspace(0, graph.n_features - 1, min(N_TARGETS, graph.n_features)).long()
    worst, started = 0.0, time.perf_counter()
    for target in targets.tolist():
        layer, position, feature = graph.features[target].tolist()
        read = record.sites[layer].read(read_point)[0, position]
        value = read @ transcoder.W_enc[layer, feature]
        by_output, by_embedding = torch.autograd.grad(
            value, (outputs, embedding), retain_graph=True, allow_unused=True
        )
        if by_output is None:
            by_output = torch.zeros_like(outputs)
        at_source = by_output[:, 0, positions].transpose(0, 1)
        row = torch.cat(
            [
                (at_source * written).sum(dim=(1, 2)),
                (by_output[:, 0] * graph.error_vectors).sum(dim=-1).flatten(),
                (by_embedding * embedding).sum(dim=-1),
            ]
        )
        ours = graph.adjacency[target, : len(row)]
        worst = max(worst, float((row - ours).abs().max() / row.abs().max()))
    seconds = time.perf_counter() - started
    every = seconds * graph.n_features / len(targets)
    print(json.dumps({"targets": len(targets), "sample": seconds, "all": every, "worst": worst}))


if __name__ == "__main__":
    main()
