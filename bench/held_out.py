"""A bundle on held-out documents: bits a byte, and the scores of the graphs of their beginnings.

Usage: python bench/held_out.py BUNDLE PARQUET [PARQUET ...]

The files must be the first that the bundle was trained on, in the same order: then the documents
held out here are those that were held out there.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import circuitscope_core as cs
from circuitscope_core.corpus import open_sources, read_corpus
from circuitscope_core.training import TokenWindows, measure_loss

N_PROMPTS, N_BYTES = 100, 64


def main():
    bundle, paths = cs.load_bundle(sys.argv[1]), sys.argv[2:]
    config = cs.CorpusConfig(skill_share=0.0)
    *_, corpus = read_corpus(open_sources(paths, config), config, bundle.tokenizer, seed=0)
    tokens = corpus.held_out_tokens
    separator, n_ctx = bundle.tokenizer.separator_id, bundle.model.config.n_ctx
    windows = TokenWindows.of(tokens, separator, n_ctx).consecutive(len(tokens))
    print(f"{measure_loss(bundle.model, windows):.3f} bits a byte of {len(tokens):,}")
    starts = np.flatnonzero(tokens == separator)
    documents = [piece for piece in np.split(tokens, starts)[1:] if len(piece) > N_BYTES]
    chosen = documents[:: max(1, len(documents) // N_PROMPTS)][:N_PROMPTS]
    scores = [
        cs.graph_scores(cs.attribute(bundle, document[: N_BYTES + 1].tolist()))
        for document in chosen
    ]
    for name in ("replacement", "completeness"):
        values = np.array([getattr(score, name) for score in scores])
        spread = 1.96 * values.std(ddof=1) / len(values) ** 0.5
        print(f"{name}: {values.mean():.3f} ± {spread:.3f}, {len(values)} prompts, {N_BYTES} bytes")


if __name__ == "__main__":
    main()
