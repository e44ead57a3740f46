"""Transformer recipes against each other, on the same text and the same number of tokens.

Usage: python bench/recipes.py N_TOKENS PARQUET [PARQUET ...]
"""

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import circuitscope_core as cs
from circuitscope_core.corpus import open_sources, read_corpus
from circuitscope_core.training import (
    CheckpointFile,
    LanguageModelTrainer,
    Pace,
    TokenWindows,
    measure_loss,
)

MODEL, TRAINING = cs.ModelConfig(), cs.LanguageModelTraining()
RECIPES = {
    "default": (MODEL, TRAINING),
    "AdamW for the matrices too": (
        MODEL,
        replace(TRAINING, matrix_optimizer="adamw", learning_rate=0.005),
    ),
    "learned positions": (replace(MODEL, positions="learned"), TRAINING),
    "4 heads of 24": (replace(MODEL, n_heads=4, d_head=24), TRAINING),
    "6 heads of 16": (replace(MODEL, n_heads=6, d_head=16), TRAINING),
    # wider MLPs take up the parameters that the second embedding had
    "tied unembedding": (replace(MODEL, tied_embeddings=True, d_mlp=427), TRAINING),
    "whole length throughout": (MODEL, replace(TRAINING, short_share=0.0)),
    "half length throughout": (MODEL, replace(TRAINING, short_share=1.0)),
    "4 sequences a step": (MODEL, replace(TRAINING, batch_size=4)),
    "16 sequences a step": (MODEL, replace(TRAINING, batch_size=16)),
    "decay over the last 20 %": (MODEL, replace(TRAINING, decay_fraction=0.2)),
    "decay from the start": (MODEL, replace(TRAINING, decay_fraction=1.0)),
    "Muon 0.005": (MODEL, replace(TRAINING, muon_learning_rate=0.005)),
    "Muon 0.02": (MODEL, replace(TRAINING, muon_learning_rate=0.02)),
    "AdamW 0.005": (MODEL, replace(TRAINING, learning_rate=0.005)),
}


def main():
    n_tokens, paths = int(float(sys.argv[1])), sys.argv[2:]
    config = cs.CorpusConfig()
    tokenizer = cs.ByteTokenizer()
    *_, corpus = read_corpus(open_sources(paths, config), config, tokenizer, seed=0)
    print(f"{n_tokens:,} tokens each, seed 0\n")
    print("| recipe | parameters | bits a byte, held out | seconds |\n|---|---|---|---|")
    for name, (model_config, training) in RECIPES.items():
        torch.manual_seed(0)
        model = cs.Transformer(model_config)
        separator, n_ctx = tokenizer.separator_id, model_config.n_ctx
        train = TokenWindows.of(corpus.train_tokens, separator, n_ctx, counted=corpus.train_counted)
        held_out = TokenWindows.of(corpus.held_out_tokens, separator, n_ctx)
        with tempfile.TemporaryDirectory() as folder:
            trainer = LanguageModelTrainer(
                model=model,
                train=train,
                held_out=held_out,
                settings=replace(training, n_tokens=n_tokens),
                seed=0,
                pace=Pace(100, 1e9),
                checkpoint=CheckpointFile(Path(folder) / "state.safetensors"),
            )
            started = time.perf_counter()
            for _ in trainer.events():
                pass
            taken = time.perf_counter() - started
        loss = measure_loss(model, held_out.consecutive(len(corpus.held_out_tokens)))
        size = model_config.count_parameters()
        print(f"| {name} | {size:,} | {loss:.3f} | {taken:.0f} |", flush=True)


if __name__ == "__main__":
    main()
