"""The time that a training of transcoders takes for each token, in passes of the real model.

Usage: OMP_NUM_THREADS=1 python bench/real_transcoder.py MODEL_FOLDER [NAME ...]

CPU time of one process. A pass is the model's own, with its logits, on windows of 128 tokens; a
trained token is one step's share and the harvest of it, divided by how often it is used.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import circuitscope_core as cs
from circuitscope_core.pipeline.layer_groups import buffer_for, needs_of
from circuitscope_core.pipeline.training_phases import TrainingText
from circuitscope_core.pipeline.transcoder_job import Group, group_trainer
from circuitscope_core.training import CheckpointFile, TokenWindows
from circuitscope_core.values import in_bytes

N_SEQUENCES, N_TIMES = 8, 3
PLAIN = cs.TranscoderTrainConfig()
TOPK = cs.TranscoderTrainConfig.for_topk(32)
CAUSAL = replace(PLAIN.transcoder_training, causal_weight=0.25)
KINDS = {
    "middle": PLAIN,
    "middle, skip": replace(PLAIN, skip_connection=True),
    "middle, top-k": TOPK,
    "middle, interventions": replace(PLAIN, transcoder_training=CAUSAL),
    "middle, cross-layer": replace(PLAIN, cross_layer=True),
    "last three": replace(PLAIN, layers="27-29"),
    "all": replace(PLAIN, layers="all"),
    "all, interventions": replace(PLAIN, layers="all", transcoder_training=CAUSAL),
}
"""2,048 features of each layer; per-layer and JumpReLU unless it says otherwise."""


def best(work):
    """Return the least CPU time of a few calls."""
    work()
    times = []
    for _ in range(N_TIMES):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


def main():
    torch.set_num_threads(1)
    model = cs.load_model(sys.argv[1])
    rng = np.random.default_rng(0)
    separator = model.tokenizer.separator_id
    tokens = rng.integers(0, model.tokenizer.d_vocab, size=20_000).astype(np.uint32)
    windows = TokenWindows.of(tokens, separator, PLAIN.n_ctx)
    ids = windows.sample(N_SEQUENCES, rng)[:, :-1]
    with torch.no_grad():
        forward = best(lambda: model(ids)) / ids.numel()
    print(f"one pass with logits: {1e3 * forward:.2f} ms a token")
    print("| layers | harvest | step | a trained token | passes | memory |")
    print("|---|---|---|---|---|---|")
    for name in sys.argv[2:] or KINDS:
        print(row(name, KINDS[name], model, windows, forward), flush=True)


def row(name, config, model, windows, forward):
    """Return a line of the table."""
    training = replace(config.transcoder_training, buffer_sequences=N_SEQUENCES)
    short = replace(config, transcoder_training=training)
    layers = config.chosen_layers(model.shape.n_layers)
    buffer = replace(buffer_for(short, model, len(layers), Path()), n_sequences=N_SEQUENCES)
    group = Group(layers, CheckpointFile(Path()), buffer)
    trainer = group_trainer(short, TrainingText(windows, windows), model, group)
    trainer.prepare()
    trainer.step = trainer.n_steps  # with the whole weight of each loss
    found = trainer.fill_buffer(0)
    harvest = best(lambda: trainer.fill_buffer(0)) / found.n_tokens
    every = torch.arange(min(found.n_tokens, training.batch_size))

    def step():
        batch = found.at(every, like=trainer.transcoder.W_enc).scaled(trainer.scales)
        return trainer.train_step(batch)

    taken = best(step) / len(every)
    token = taken + harvest / training.buffer_passes
    memory = in_bytes(needs_of(config, model, len(layers)).total)
    return (
        f"| {name} | {1e3 * harvest:.2f} ms | {1e3 * taken:.2f} ms | {1e3 * token:.2f} ms | "
        f"{token / forward:.2f} | {memory} |"
    )


if __name__ == "__main__":
    main()
