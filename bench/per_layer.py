"""Attribution with per-layer transcoders in a deep model: memory of the sources, time of rows.

Usage: python bench/per_layer.py [--layers 30] [--tokens 64] [--active 30] [--nodes 4096]
       [--repeat 3]

Weights are random, of the shape of a small language model: 576 wide, 9 heads that share the values
of 3. A bias makes about ``--active`` of 2,048 features active on a token and layer. All sources are
laid out, and one batch of rows is computed in three layers: low, in the middle and at the top. At
last a whole graph is built, with a budget of ``--nodes`` features.
"""

import argparse
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from memory import PeakMemory

import circuitscope_core as cs
from circuitscope_core.attribution.row_batches import feature_rows
from circuitscope_core.attribution.sources import lay_out_sources

N_ROWS = 96
HEADS_PER_VALUE = 3
D_MODEL, N_HEADS, D_TRANSCODER, D_VOCAB = 576, 9, 2048, 257


def share_values(clean):
    """Return the pass with each value's weights once, of a model whose heads share them."""
    layers = tuple(
        replace(layer, W_V=layer.W_V[::HEADS_PER_VALUE], b_V=layer.b_V[::HEADS_PER_VALUE])
        for layer in clean.record.layers
    )
    return replace(clean, record=replace(clean.record, layers=layers))


def random_replacement(n_layers, token_ids, n_active):
    torch.manual_seed(0)
    config = cs.ModelConfig(
        n_layers=n_layers,
        d_model=D_MODEL,
        n_heads=N_HEADS,
        d_head=D_MODEL // N_HEADS,
        d_mlp=D_MODEL,
        n_ctx=len(token_ids),
        d_vocab=D_VOCAB,
    )
    model = cs.Transformer(config).requires_grad_(False)
    for name, weight in model.named_parameters():
        if name.endswith(("W_O", "W_out")):
            weight.normal_(std=0.02)
        if name.endswith("W_V"):
            weight.copy_(weight[::HEADS_PER_VALUE].repeat_interleave(HEADS_PER_VALUE, dim=0))
    sizes = cs.TranscoderConfig(n_layers, D_MODEL, d_transcoder=D_TRANSCODER, cross_layer=False)
    transcoder = cs.CrossLayerTranscoder(sizes).requires_grad_(False)
    transcoder.log_threshold.fill_(-10.0)
    n_below = len(token_ids) * (D_TRANSCODER - n_active)
    for layer, site in enumerate(model.mlp_pass(torch.tensor([token_ids])).sites):
        transcoder.W_dec[layer].normal_(std=0.02)
        pre_acts = site.mlp_in[0] @ transcoder.W_enc[layer].T
        transcoder.b_enc[layer].fill_(-float(pre_acts.flatten().kthvalue(n_below).values))
    return cs.ReplacementModel(model, transcoder, cs.ByteTokenizer())


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--active", type=int, default=30)
    parser.add_argument("--nodes", type=int, default=4096)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    token_ids = torch.randint(0, 256, (options.tokens,), generator=generator).tolist()
    clean = cs.run_prompt(random_replacement(options.layers, token_ids, options.active), token_ids)
    clean = share_values(clean)
    started = time.perf_counter()
    sources = lay_out_sources(clean)
    laid_out = time.perf_counter() - started
    print(
        f"{len(clean.features):,} active features; sources take {sources.n_bytes / 1e9:.2f} GB, "
        f"laid out in {laid_out:.2f} s"
    )
    print("| layer | rows | s |")
    print("|---|---|---|")
    for layer in (2, options.layers // 2, options.layers - 1):
        nodes = (clean.features[:, 0] == layer).nonzero()[:, 0][-N_ROWS:]
        times = []
        for _ in range(options.repeat + 1):
            started = time.perf_counter()
            list(feature_rows(clean, sources, nodes))
            times.append(time.perf_counter() - started)
        print(f"| {layer} | {len(nodes)} | {statistics.median(times[1:]):.3f} |", flush=True)
    del sources
    times, memory = [], PeakMemory()
    for _ in range(options.repeat):
        with memory:
            started = time.perf_counter()
            graph = cs.attribute(clean, token_ids, max_feature_nodes=options.nodes)
            times.append(time.perf_counter() - started)
    rows = graph.target_nodes
    gap = graph.adjacency[rows].double().sum(1) + graph.bias[rows] - graph.pre_activations[rows]
    print(
        f"\na graph of {graph.n_features:,} features, {graph.n_nodes:,} nodes in all: "
        f"{statistics.median(times):.1f} s, {memory.figures()['extra']:,.0f} MB beyond the model; "
        f"rows add up to {float(gap.abs().max() / graph.adjacency.abs().max()):.1e} of the largest "
        "effect"
    )


if __name__ == "__main__":
    main()
