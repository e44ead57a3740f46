"""How good trained bundles are: one column for each, and their mean.

Usage: python bench/quality.py BUNDLE [BUNDLE ...] --text PARQUET

The Parquet files must be the first that the bundles were trained on: then the documents held out
here are those that were held out there.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import circuitscope_core as cs
from circuitscope_core.corpus import open_sources, read_corpus
from circuitscope_core.skills import SKILLS, exam
from circuitscope_core.tokenizer import token_lengths
from circuitscope_core.training import TokenWindows, measure_loss

N_PROMPTS, N_TOKENS, N_QUESTIONS = 100, 64, 100
METRICS = {
    "l0": "L0",
    "normalized_mse": "normalised MSE",
    "dead": "dead features",
    "replacement_agreement": "replacement agreement",
    "ce_recovered": "CE recovered",
}


def figures(path, text):
    """Return every figure of a bundle by its name."""
    bundle = cs.load_bundle(path)
    config = cs.CorpusConfig(skill_share=0.0)
    *_, corpus = read_corpus(open_sources(text, config), config, bundle.tokenizer, seed=0)
    tokens = corpus.held_out_tokens
    metrics = bundle.metadata.metrics
    separator, n_ctx = bundle.tokenizer.separator_id, bundle.model.config.n_ctx
    windows = TokenWindows.of(tokens, separator, n_ctx).consecutive(len(tokens))
    lengths = token_lengths(bundle.tokenizer)
    found = {"bits a byte of these files": measure_loss(bundle.model, windows, token_bytes=lengths)}
    found |= {name: metrics[key] for key, name in METRICS.items()}
    documents = np.split(tokens, np.flatnonzero(tokens == separator))[1:]
    documents = [piece for piece in documents if len(piece) > N_TOKENS]
    chosen = documents[:: max(1, len(documents) // N_PROMPTS)][:N_PROMPTS]
    scores = [
        cs.graph_scores(cs.attribute(bundle, document[: N_TOKENS + 1].tolist()))
        for document in chosen
    ]
    for name in ("replacement", "completeness"):
        found[f"{name} score"] = float(np.mean([getattr(score, name) for score in scores]))
    for skill in SKILLS:
        found[f"exam: {skill}"] = metrics[f"exam.{skill}.whole"]
    found["exam: acronyms, letters"] = metrics["exam.acronyms.tokens"]
    replacement = cs.ReplacementModel(bundle.model, bundle.transcoder, bundle.tokenizer)
    for skill in SKILLS:
        result = cs.measure_localization(replacement, exam(skill, N_QUESTIONS))
        name = f"localization: {skill}"
        found[name] = result.graph
        found[f"{name}, chance"] = result.chance
        found[f"{name}, gradient × input"] = result.gradient
    found["seconds"] = sum(bundle.metadata.seconds.values())
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bundles", nargs="+")
    parser.add_argument("--text", nargs="+", required=True)
    options = parser.parse_args()
    columns = [figures(path, options.text) for path in options.bundles]
    print(f"| | {' | '.join(options.bundles)} | mean |")
    print("|---" * (len(columns) + 2) + "|")
    for name in columns[0]:
        values = [column[name] for column in columns]
        cells = [f"{value:.4g}" for value in (*values, np.mean(values))]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
