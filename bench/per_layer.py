"""Attribution with per-layer transcoders in a deep model: memory of the sources, and time.

Usage: python bench/per_layer.py [--layers 30] [--tokens 64] [--active 30] [--budget 512]

Weights are random, of the shape of a small language model (576 wide, 9 heads); a bias makes about
``--active`` of 2,048 features active on a token and layer. A budget of features keeps the run
short: the sources of all active features are laid out whatever the budget.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from memory import PeakMemory

import circuitscope_core as cs

D_MODEL, N_HEADS, D_TRANSCODER, D_VOCAB = 576, 9, 2048, 257


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
    sizes = cs.TranscoderConfig(n_layers, D_MODEL, d_transcoder=D_TRANSCODER, cross_layer=False)
    transcoder = cs.CrossLayerTranscoder(sizes).requires_grad_(False)
    transcoder.log_threshold.fill_(-10.0)
    n_below = len(token_ids) * (D_TRANSCODER - n_active)
    for layer, site in enumerate(model.mlp_sites(torch.tensor([token_ids]))):
        transcoder.W_dec[layer].normal_(std=0.02)
        pre_acts = site.mlp_in[0] @ transcoder.W_enc[layer].T
        transcoder.b_enc[layer].fill_(-float(pre_acts.flatten().kthvalue(n_below).values))
    return cs.ReplacementModel(model, transcoder, cs.ByteTokenizer())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--active", type=int, default=30)
    parser.add_argument("--budget", type=int, default=512)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    token_ids = torch.randint(0, 256, (options.tokens,), generator=generator).tolist()
    replacement = random_replacement(options.layers, token_ids, options.active)
    times, memory = [], PeakMemory()
    for _ in range(options.repeat):
        with memory:
            started, work = time.perf_counter(), time.process_time()
            graph = cs.attribute(replacement, token_ids, max_feature_nodes=options.budget)
            times.append((time.perf_counter() - started, time.process_time() - work))
        figures = memory.figures()
    wall, work = (statistics.median(column) for column in zip(*times, strict=True))
    print("| layers | tokens | active features | rows | s | CPU s | extra MB |")
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {options.layers} | {options.tokens} | {graph.n_active_features:,} | {options.budget} | "
        f"{wall:.2f} | {work:.2f} | {figures['extra']:,.0f} |"
    )


if __name__ == "__main__":
    main()
