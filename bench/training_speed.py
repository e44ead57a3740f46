"""How fast the two trainings are on this machine, against what it could do, and how
fast text is read.

Usage: python bench/training_speed.py [--busy] [PARQUET ...]

With --busy the steps are timed once more while another process keeps one core busy.
"""

import argparse
import sys
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from against_circuit_tracer import busy_neighbour
from operations import peak_rate

import circuitscope_core as cs
from circuitscope_core.cores import freed_memory_kept
from circuitscope_core.corpus import open_sources, read_corpus
from circuitscope_core.training import (
    CheckpointFile,
    LanguageModelTrainer,
    Pace,
    TokenWindows,
    TranscoderTrainer,
)
from circuitscope_core.transcoder import ActivationScales, transcoder_loss

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


def language_model_trainer():
    """Return the training of a model of the default sizes on random tokens."""
    config, settings = cs.ModelConfig(), cs.LanguageModelTraining()
    tokens = np.random.default_rng(0).integers(0, config.d_vocab - 1, 500_000).astype(np.uint16)
    windows = TokenWindows.of(tokens, config.d_vocab - 1, config.n_ctx)
    model = cs.Transformer(config)
    return LanguageModelTrainer(model, windows, windows, settings, 0, *nothing_kept())


def transcoder_trainer(bundle):
    """Return the training of the demo's transcoder, whose sparsity is a real one.

    Its learning rate is 0, so that it stays as it is.
    """
    transcoder = bundle.transcoder.requires_grad_(True)
    model, text = bundle.model, Path(__file__).read_text(encoding="utf-8") * 4
    ids = np.array(bundle.tokenizer.encode(text), dtype=np.uint32)
    windows = TokenWindows.of(ids, model.config.d_vocab - 1, model.config.n_ctx)
    settings = cs.TranscoderTraining(buffer_sequences=16)
    trainer = TranscoderTrainer(model, transcoder, windows, settings, 0, *nothing_kept())
    n_layers, d_model = transcoder.config.n_layers, transcoder.config.d_model
    ones = torch.ones(n_layers)
    trainer.scales = ActivationScales(ones, ones, torch.zeros(n_layers, d_model))
    for group in trainer.adam.param_groups:
        group["initial_lr"] = 0.0
    return trainer


def nothing_kept():
    """Return the pace and the checkpoint of a training that is only timed."""
    return Pace(1_000_000, 1e9), CheckpointFile(Path())


def bench_language_model(peak, trainer, neighbour):
    """Time the steps of short and of whole windows."""
    config, settings = trainer.model.config, trainer.settings
    for n_pos, step in ((config.n_ctx // 2, 0), (config.n_ctx, trainer.n_steps)):
        with neighbour():
            (taken,) = in_turn(partial(trainer.train_step, step))
        rate = settings.batch_size * config.n_ctx / taken
        share = rate * operations_a_token(config, n_pos) / peak
        print(f"| language model, windows of {n_pos} | {rate:,.0f} | {share:.0%} of the peak |")


def bench_transcoder(trainer, neighbour):
    """Time steps beside those of dense autograd, without a loss on interventions in both."""
    transcoder, settings = trainer.transcoder, trainer.settings
    found = trainer.fill_buffer(0)
    order = torch.randperm(found.n_tokens, generator=torch.Generator().manual_seed(0))
    batch = found.at(order[: settings.batch_size])
    adam = torch.optim.Adam(transcoder.parameters(), lr=0.0)

    def dense():
        adam.zero_grad(set_to_none=False)
        loss = transcoder_loss(transcoder, batch.inputs, batch.targets, settings, 0.1)
        loss.total.backward()
        torch.nn.utils.clip_grad_norm_(transcoder.parameters(), 1.0)
        adam.step()

    with neighbour():
        by_autograd, ours = in_turn(dense, lambda: trainer.train_step(batch))
    rate, times = batch.n_tokens / ours, by_autograd / ours
    l0 = float(trainer.train_step(batch).l0)
    print(f"| transcoder, L0 {l0:.1f} | {rate:,.0f} | {times:.1f} times dense autograd |")
    with neighbour():
        (taken,) = in_turn(lambda: trainer.fill_buffer(0))
    print(f"| activations for it | {found.n_tokens / taken:,.0f} | |", flush=True)


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", metavar="PARQUET")
    parser.add_argument("--busy", action="store_true")
    options = parser.parse_args()
    peak = max(peak_rate() for _ in range(REPEAT))
    print(f"large matrix products: {peak / 1e9:.0f} billion operations a second")
    trainers = language_model_trainer(), transcoder_trainer(cs.load_bundle("models/demo"))
    for title, neighbour in (("alone", nullcontext), ("one core busy", busy_neighbour)):
        if title == "alone" or options.busy:
            print(f"| {title} | tokens a second | |\n|---|---|---|")
            with freed_memory_kept():  # as in a training
                bench_language_model(peak, trainers[0], neighbour)
                bench_transcoder(trainers[1], neighbour)
    if options.paths:
        bench_reading(options.paths)


if __name__ == "__main__":
    main()
