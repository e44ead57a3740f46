"""A real model: seconds to open it and to its first graph, peak memory, and how exact rows are.

Run with: ``python bench/pretrained.py FOLDER [tokens …]``; features are a random per-layer
transcoder with 2,048 features a layer of which about 30 are active. With ``--neurons`` they are the
model's own neurons: 200 beside which the others are folded, and 1,000 beside which they are nodes.
"""

import resource
import sys
import time

import torch

import circuitscope_core as cs

PROMPT = "When Mary and John went to the store, John gave a drink to"
D_TRANSCODER, L0, MAX_FEATURES = 2_048, 30, 1_000


def peak_mb() -> float:
    """Return the largest memory that this process ever held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


@torch.no_grad()
def random_transcoder(model: cs.PretrainedModel, token_ids: list[int]) -> cs.CrossLayerTranscoder:
    """Return random features whose thresholds let about ``L0`` of each layer be active."""
    shape = model.shape
    config = cs.TranscoderConfig(
        shape.n_layers, shape.d_model, d_transcoder=D_TRANSCODER, cross_layer=False
    )
    transcoder = cs.CrossLayerTranscoder(config).requires_grad_(requires_grad=False)
    generator = torch.Generator().manual_seed(0)
    for parameter in transcoder.parameters():
        if parameter.ndim > 2:
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(drawn / shape.d_model**0.5)
    transcoder.b_enc.zero_()
    transcoder.b_dec.zero_()
    sites = model.mlp_pass(model.tokens(token_ids)).sites
    for site in sites:
        values = transcoder.pre_activations(site.layer, site.mlp_in[0, 1:])
        top = values.topk(L0 + 1, dim=-1).values[:, -1].mean()
        transcoder.log_threshold[site.layer] = top.clamp(min=1e-6).log()
    return transcoder


def main(folder: str, sizes: list[int], *, neurons: bool) -> None:
    """Print a line for each length of prompt, and each number of nodes."""
    started = time.perf_counter()
    model = cs.load_model(folder)
    print(
        f"{model}: opened and checked in {time.perf_counter() - started:.1f} s, {peak_mb():.0f} MB"
    )
    text = model.tokenizer.encode(f"{PROMPT} Mary. " * 8)
    for n_tokens in sizes:
        ids = [model.tokenizer.separator_id, *text[: n_tokens - 1]]
        if neurons:
            measure(cs.make_bundle(model), ids, 200)
            measure(cs.make_bundle(model), ids, MAX_FEATURES)
        else:
            measure(cs.make_bundle(model, random_transcoder(model, ids)), ids, MAX_FEATURES)


def measure(bundle: cs.Bundle, ids: list[int], n_features: int) -> None:
    """Print the best time of three, what rows add up to, and the peak memory so far."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        graph = cs.attribute(bundle, ids, max_feature_nodes=n_features)
        times.append(time.perf_counter() - started)
    rows = graph.target_nodes
    got = graph.adjacency[rows].double().sum(1) + graph.bias[rows]
    size = graph.adjacency[rows].abs().sum(1) + graph.bias[rows].abs()
    gap = float(((got - graph.pre_activations[rows]).abs() / size).max())
    print(
        f"{len(ids)} tokens: {graph.n_features:,} of {graph.n_active_features:,} active features, "
        f"{graph.n_nodes:,} nodes, {min(times):.2f} s, rows add up to {gap:.1e}, "
        f"peak {peak_mb():.0f} MB",
        flush=True,
    )


if __name__ == "__main__":
    given = [word for word in sys.argv[1:] if word != "--neurons"]
    lengths = [int(size) for size in given[1:]] or [6, 15, 64]
    main(given[0], lengths, neurons="--neurons" in sys.argv)
