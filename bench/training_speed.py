"""How fast the two trainings are on this machine, against what it could do, and how
fast text is read.

Usage: python bench/training_speed.py [PARQUET ...]
"""

import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from operations import peak_rate

import circuitscope_core as cs
from circuitscope_core.corpus import open_sources, read_corpus
from circuitscope_core.training import TokenWindows, harvest
from circuitscope_core.training.language_model import next_token_loss
from circuitscope_core.training.transcoder_gradients import set_gradients
from circuitscope_core.transcoder import transcoder_loss

REPEAT = 7
STEPS = 10


def seconds(work, steps=STEPS):
    started = time.perf_counter()
    for _ in range(steps):
        work()
    return (time.perf_counter() - started) / steps


def in_turn(*works):
    """Time several pieces of work one after the other, again and again; medians."""
    for work in works:
        seconds(work, 2)
    times = [[seconds(work) for work in works] for _ in range(REPEAT)]
    return [median(column) for column in zip(*times, strict=True)]


def operations_a_token(config, n_pos):
    """Count a training step's multiplications and additions: thrice those of a forward pass.

    Causal attention is counted without the half that is masked.
    """
    block = 4 * config.d_model * config.n_heads * config.d_head + 2 * config.d_model * config.d_mlp
    weights = config.n_layers * block + config.d_model * config.d_vocab
    attention = config.n_layers * 2 * config.n_heads * config.d_head * n_pos / 2
    return 3 * 2 * (weights + attention)


def bench_language_model(peak):
    config, settings = cs.ModelConfig(), cs.LanguageModelTraining()
    model = cs.Transformer(config)
    tokens = np.random.default_rng(0).integers(0, 256, 500_000).astype(np.uint16)
    print("| sequence length | tokens a second | of the peak |\n|---|---|---|")
    for n_pos in (config.n_ctx // 2, config.n_ctx):
        n = settings.batch_size * config.n_ctx // n_pos
        windows = TokenWindows.of(tokens, 256, n_pos).sample(n, np.random.default_rng(1))
        (taken,) = in_turn(lambda batch=windows: next_token_loss(model, batch).backward())
        rate = windows[:, 1:].numel() / taken
        share = rate * operations_a_token(config, n_pos) / peak
        print(f"| {n_pos} | {rate:,.0f} | {share:.0%} |", flush=True)


def bench_transcoder(bundle):
    """Steps on the demo bundle's own activations: its sparsity is a real one."""
    settings = cs.TranscoderTraining()
    transcoder = cs.load_bundle(bundle).transcoder.requires_grad_(True)
    text = Path(__file__).read_text(encoding="utf-8") * 20
    ids = np.array(list(text.encode()), dtype=np.uint16)
    model = cs.load_bundle(bundle).model
    windows = TokenWindows.of(ids, 256, 256).sample(8, np.random.default_rng(0))
    found = harvest(model, windows[:, :-1], transcoder.config.read_point)
    order = torch.randperm(found.inputs.shape[1], generator=torch.Generator().manual_seed(0))
    batch = found.at(order[: settings.batch_size])
    inputs, targets = batch.inputs, batch.targets
    adam = torch.optim.Adam(transcoder.parameters(), lr=0.0)

    def dense():
        adam.zero_grad()
        transcoder_loss(transcoder, inputs, targets, settings, 0.1).total.backward()
        torch.nn.utils.clip_grad_norm_(transcoder.parameters(), 1.0)
        adam.step()

    def sparse():
        set_gradients(transcoder, batch, settings, 0.1)
        torch.nn.utils.clip_grad_norm_(transcoder.parameters(), 1.0)
        adam.step()

    by_autograd, ours = in_turn(dense, sparse)
    l0 = float(set_gradients(transcoder, batch, settings, 0.1).l0)
    n = inputs.shape[1]
    print(f"transcoder, L0 {l0:.1f}: {n / ours:,.0f} tokens a second; dense autograd", end=" ")
    print(f"{n / by_autograd:,.0f}; {by_autograd / ours:.1f} times", flush=True)
    (taken,) = in_turn(lambda: harvest(model, windows[:, :-1], transcoder.config.read_point))
    print(f"harvest: {windows[:, 1:].numel() / taken:,.0f} tokens a second")


def bench_reading(paths):
    config = cs.CorpusConfig(skill_share=0.0)
    times = []
    for _ in range(3):
        started = time.perf_counter()
        sources = open_sources(paths, config)
        *_, corpus = read_corpus(sources, config, cs.ByteTokenizer(), seed=0)
        times.append(time.perf_counter() - started)
    size = corpus.report.n_bytes / 1e6
    print(f"reading: {size:.1f} MB of text tokenised in {median(times):.2f} s,", end=" ")
    print(f"{size / median(times):.0f} MB a second")


def main():
    peak = max(peak_rate() for _ in range(REPEAT))
    print(f"large matrix products: {peak / 1e9:.0f} billion operations a second")
    bench_language_model(peak)
    bench_transcoder("models/demo")
    if sys.argv[1:]:
        bench_reading(sys.argv[1:])


if __name__ == "__main__":
    main()
