"""Whether graphs tell the truth about the demo's model: its cross-layer transcoder, and per-layer
transcoders that are trained here on the same model and the same tokens.

Usage: python bench/faithfulness.py TEXT [N_PROMPTS]

TEXT is the place of the Parquet files that the demo was trained on. Prints two reports.
"""

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import circuitscope_core as cs
from circuitscope_core.cli.faithfulness import lines_of
from circuitscope_core.corpus import open_sources, read_corpus
from circuitscope_core.evals.faithfulness import held_out_prompts
from circuitscope_core.training import CheckpointFile, Pace, TokenWindows, TranscoderTrainer

BUNDLE = "models/demo"


def train_per_layer(bundle, source):
    """Train per-layer transcoders as the bundle's transcoder was, features and tokens alike."""
    config = cs.TrainConfig.from_json(bundle.metadata.training)
    sources = open_sources([source, "builtin"], config.corpus)
    *_, corpus = read_corpus(sources, config.corpus, bundle.tokenizer, seed=config.seed)
    if corpus.fingerprint != bundle.metadata.corpus["fingerprint"]:
        print("This is not the text that the bundle was trained on.", file=sys.stderr)
    separator, n_ctx = bundle.tokenizer.separator_id, bundle.model.config.n_ctx
    with tempfile.TemporaryDirectory() as folder:
        trainer = TranscoderTrainer(
            model=bundle.model.requires_grad_(False),
            transcoder=cs.CrossLayerTranscoder(replace(config.transcoder, cross_layer=False)),
            train=TokenWindows.of(corpus.train_tokens, separator, n_ctx),
            settings=config.transcoder_training,
            seed=config.seed,
            pace=Pace(100, 1e9),
            checkpoint=CheckpointFile(Path(folder) / "state.safetensors"),
        )
        started = time.perf_counter()
        for event in trainer.events():
            print(event, file=sys.stderr)
    print(f"Per-layer transcoders: trained in {time.perf_counter() - started:.0f} s.\n")
    return cs.ReplacementModel(
        bundle.model, trainer.folded().requires_grad_(False), bundle.tokenizer
    )


def print_report(name, replacement, prompts):
    started = time.perf_counter()
    for step in cs.measure_faithfulness(replacement, prompts.token_ids):
        if not isinstance(step, cs.FaithfulnessReport):
            print(step, file=sys.stderr)
    print(f"## {name}\n\n{prompts.text} {time.perf_counter() - started:.0f} s.\n")
    for line in lines_of(step):
        print(f"* {line}")
    print(flush=True)


def main():
    source, n_prompts = sys.argv[1], int(sys.argv[2]) if sys.argv[2:] else 100
    bundle = cs.load_bundle(BUNDLE)
    config = cs.CorpusConfig.from_json(bundle.metadata.training["corpus"])
    prompts = held_out_prompts(source, n_prompts, bundle.tokenizer, config)
    print_report("Cross-layer transcoder", bundle.replacement, prompts)
    print_report("Per-layer transcoders", train_per_layer(bundle, source), prompts)


if __name__ == "__main__":
    main()
