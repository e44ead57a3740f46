"""Parts of the loss on interventions, each left out: transcoders of the demo's model.

Usage: python bench/causal.py TEXT [MILLION_TOKENS] [N_PROMPTS] [VARIANT ...]

TEXT is the place of the Parquet files that the demo was trained on. Prints a row of a table for
each variant, with its CPU time; docs/method-causal.md has them.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

import circuitscope_core as cs
from circuitscope_core.corpus import open_sources, read_corpus
from circuitscope_core.evals.faithfulness import held_out_prompts
from circuitscope_core.evals.faithfulness.figures import mean_of_defined
from circuitscope_core.evals.faithfulness.states import measure_states
from circuitscope_core.evals.faithfulness.traced import shuffle_decoders, trace
from circuitscope_core.training import (
    CheckpointFile,
    Pace,
    TokenWindows,
    TranscoderTrainer,
    measure_replacement,
)

BUNDLE, N_SOURCES, METRIC_TOKENS = "models/demo", 16, 50_000
# settings of the transcoder, settings of its training
VARIANTS = {
    "neither": ({"skip_connection": False}, {"causal_weight": 0.0}),
    "skip connection alone": ({}, {"causal_weight": 0.0}),
    "interventions alone": ({"skip_connection": False}, {}),
    "both (the default)": ({}, {}),
    "both, half the share": ({}, {"causal_share": 0.125}),
    "both, four times the weight": ({}, {"causal_weight": 1.0}),
    "both, per layer": ({"cross_layer": False}, {}),
}
STATES = (
    ("states.stream.1.cosine", "graph"),
    ("states.stream.1.error", "graph"),
    ("states.stream.1.error", "carried"),
    ("states.mlp.1.cosine", "graph"),
    ("states.mlp.1.error", "graph"),
    ("states.mlp.1.cosine", "writes"),
    ("states.stream.2.cosine", "graph"),
    ("states.stream.2.error", "graph"),
)
HEAD = (
    "| | CPU s | L0 | NMSE | agreement | CE recovered | stream: cosine | error | no answer "
    "| MLP answer: cosine | error | writes alone: cosine | stream, two layers: cosine | error |"
)


def train(bundle, windows, sizes, settings):
    """Return a new transcoder of the bundle's model."""
    config = cs.TrainConfig.from_json(bundle.metadata.training)
    trainer = TranscoderTrainer(
        model=bundle.model.requires_grad_(False),
        transcoder=cs.CrossLayerTranscoder(replace(config.transcoder, **sizes)),
        train=windows,
        settings=replace(config.transcoder_training, **settings),
        seed=config.seed,
        pace=Pace(1000, 1e9),
        checkpoint=CheckpointFile(Path("out") / "nothing.safetensors"),
    )
    trainer.prepare()
    trainer.pace.start(0)
    for _, batch in zip(range(trainer.n_steps), trainer.batches(), strict=False):
        trainer.train_step(*batch)
        trainer.step += 1
    return trainer.folded().requires_grad_(False)


def measure(bundle, transcoder, held_out, prompts):
    """Return the figures of a transcoder, in the order of the table."""
    replacement = cs.ReplacementModel(bundle.model, transcoder, bundle.tokenizer)
    *_, metrics = measure_replacement(bundle.model, transcoder, held_out.consecutive(METRIC_TOKENS))
    control, found = shuffle_decoders(replacement, 0), {}
    for number, prompt in enumerate(prompts):
        generator = torch.Generator().manual_seed(number)
        states = measure_states(trace(replacement, control, prompt), N_SOURCES, generator)
        for key in STATES:
            found.setdefault(key, []).append(states[key])
    whole = metrics.to_json()
    names = ("l0", "normalized_mse", "replacement_agreement", "ce_recovered")
    return [whole[name] for name in names] + [mean_of_defined(found[key]) for key in STATES]


def main():
    source, million = sys.argv[1], float(sys.argv[2]) if sys.argv[2:] else 4.0
    n_prompts = int(sys.argv[3]) if sys.argv[3:] else 33
    chosen = sys.argv[4:] or list(VARIANTS)
    bundle = cs.load_bundle(BUNDLE)
    config = cs.TrainConfig.from_json(bundle.metadata.training)
    sources = open_sources([source, "builtin"], config.corpus)
    *_, corpus = read_corpus(sources, config.corpus, bundle.tokenizer, seed=config.seed)
    if corpus.fingerprint != bundle.metadata.corpus["fingerprint"]:
        print("This is not the text that the bundle was trained on.", file=sys.stderr)
    place = (bundle.tokenizer.separator_id, bundle.model.config.n_ctx)
    windows = TokenWindows.of(corpus.train_tokens, *place)
    held_out = TokenWindows.of(corpus.held_out_tokens, *place)
    prompts = held_out_prompts(source, n_prompts, bundle.tokenizer, config.corpus).token_ids
    print(HEAD)
    print("|---" * HEAD.count(" | ") + "|---|")
    for name in chosen:
        sizes, settings = VARIANTS[name]
        started = time.process_time()
        transcoder = train(bundle, windows, sizes, {"n_tokens": int(million * 1e6), **settings})
        seconds = time.process_time() - started
        figures = measure(bundle, transcoder, held_out, prompts)
        cells = (f"{seconds:.0f}", *(f"{figure:.3g}" for figure in figures))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
