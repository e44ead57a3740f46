"""Shared by the tests of several workers: a training of a few seconds, and ways to disturb it."""

import contextlib
import dataclasses
import time

import psutil
import torch

import circuitscope_core as cs
from circuitscope_core.launch import parse_backend, run_training
from circuitscope_core.pipeline import PlannedModel, TrainingPlan
from circuitscope_core.training import (
    Checkpoint,
    Progress,
    WorkersNews,
    event_from_json,
    event_to_json,
)
from tests.texts import tiny_config, write_parquet

METRICS = 0.01
"""How far figures of one worker's and of several workers' trainings may be apart, as a share."""
WEIGHTS = 0.01
"""The same for the distance of a weight, against its norm. Sums in another order differ in the last
bit; at high learning rates hundreds of steps make anything of that, so the rates are low here."""


def longer_config(n_tokens=120_000, **changes):
    """Return settings for a training that leaves time to disturb it, saving all the time."""
    gentle = tiny_config()
    model = dataclasses.replace(
        gentle.language_model_training,
        n_tokens=n_tokens,
        learning_rate=0.002,
        muon_learning_rate=0.001,
    )
    transcoder = dataclasses.replace(gentle.transcoder_training, learning_rate=0.002)
    settings = {"language_model_training": model, "transcoder_training": transcoder}
    return tiny_config(**{**settings, "checkpoint_seconds": 0.2, **changes})


def plan_of(tmp_path, name, config=None):
    """Return a training of the same text under a name."""
    source = tmp_path / "text.parquet"
    if not source.is_file():
        write_parquet(source)
    return TrainingPlan(config or tiny_config(), str(source), tmp_path / name)


def run(plan, backend, disturb=lambda _: None, **options):
    """Train to the end; ``disturb`` sees every event as it comes."""
    events = []
    for event in run_training(plan, parse_backend(backend), **options):
        events.append(event)
        disturb(event)
    return events


def write_events(out, events):
    """Write the events that a training gave while it ran beside its bundle."""
    lines = "".join(f"{event_to_json(event)}\n" for event in events)
    out.with_suffix(".events").write_text(lines, encoding="utf-8")


def events_of(out):
    """Return the events that the training of a bundle gave while it ran."""
    lines = out.with_suffix(".events").read_text(encoding="utf-8").splitlines()
    return [event_from_json(line) for line in lines]


def cut(plan, backend, share=0.5, phase="language model"):
    """Train until a share of a phase is done, then cancel."""
    events = run_training(plan, parse_backend(backend))
    for event in events:
        known = isinstance(event, Progress) and event.phase == phase
        if known and event.step > event.n_steps * share:
            break
    events.close()


def assert_same_training(out, other):
    """Compare two bundles: weights and every figure."""
    one, two = cs.load_bundle(out), cs.load_bundle(other)
    for module in ("model", "transcoder"):
        expected = getattr(two, module).state_dict()
        for name, value in getattr(one, module).state_dict().items():
            distance = float((value - expected[name]).norm())
            assert distance <= WEIGHTS * max(float(expected[name].norm()), 0.1), name
    assert one.metadata.metrics.keys() == two.metadata.metrics.keys()
    for name, value in two.metadata.metrics.items():
        if not name.startswith("exam."):  # nothing is learned so fast: single answers by chance
            assert abs(one.metadata.metrics[name] - value) <= METRICS * max(abs(value), 0.05), name


class Killer:
    """Kills a process once, after the first checkpoint of a phase."""

    def __init__(self, find, phase="language model"):
        self.find, self.phase, self.killed = find, phase, None

    def __call__(self, event):
        wanted = isinstance(event, Checkpoint) and event.phase == self.phase
        if wanted and self.killed is None:
            self.killed = self.find()
            self.killed.kill()


def restarts(events):
    return [e for e in events if isinstance(e, WorkersNews) and e.status == "restarted"]


def children_with(*words):
    """Return the living processes below this one whose command line has all of the words."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it ended meanwhile
            line = " ".join(process.cmdline())
            if all(word in line for word in words):
                found.append(process)
    return found


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)


def equal_weights(out, other):
    """Tell whether two bundles' weights are the same to the last bit."""
    one, two = cs.load_bundle(out), cs.load_bundle(other)
    return all(
        torch.equal(value, getattr(two, module).state_dict()[name])
        for module in ("model", "transcoder")
        for name, value in getattr(one, module).state_dict().items()
    )


def transcoder_plan(tmp_path, name):
    """Return the training of a transcoder for two layers of a tiny Hugging Face model."""
    from tests.pretrained.test_load import write_tokenizer
    from tests.pretrained_families import random_module

    model, source = tmp_path / "llama", tmp_path / "cats.parquet"
    if not source.is_file():
        random_module("LLaMA-3", torch.float32).save_pretrained(model)
        write_tokenizer(model)
        write_parquet(source, [" the cats sat s the sat cats" * (5 + n % 3) for n in range(90)])
    config = cs.TranscoderTrainConfig(
        layers="1-2",
        d_transcoder=24,
        n_ctx=16,
        transcoder_training=cs.TranscoderTraining(
            n_tokens=2_000, batch_size=128, buffer_sequences=32, target_l0=4.0, learning_rate=0.002
        ),
        corpus=cs.CorpusConfig(skill_share=0.0, validation_every=10),
        feature_cards=cs.FeatureCardConfig(n_tokens=500),
        metric_tokens=200,
        score_prompts=0,
    )
    planned = PlannedModel.of(model)
    return TrainingPlan(config, str(source), tmp_path / name, model=planned)
