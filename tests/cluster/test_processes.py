"""Several processes on one machine: the same model as one trains, whatever happens on the way."""

import dataclasses
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.launch import parse_backend, run_training
from circuitscope_core.launch import run as launch_run
from circuitscope_core.launch.processes import ProcessSite
from circuitscope_core.stages import FolderStore
from circuitscope_core.training import (
    PHASES,
    PhaseFinished,
    PhaseStarted,
    Progress,
    RunFolder,
    TrainingCancelled,
    TrainingFinished,
    event_from_json,
)
from tests.cluster.trainings import (
    Killer,
    assert_same_training,
    children_with,
    cut,
    equal_weights,
    events_of,
    longer_config,
    plan_of,
    restarts,
    run,
    transcoder_plan,
    wait_until,
)
from tests.texts import tiny_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
WORKER = "circuitscope_core.launch.processes"


def workers(rank):
    """Find the living worker processes of a number, which stands before the number of all."""
    return [p for p in children_with(WORKER) if p.cmdline()[-2] == str(rank)]


def test_two_processes_train_the_model_that_one_does(by_one, by_two):
    events = events_of(by_two)
    begun = [event.phase for event in events if isinstance(event, PhaseStarted)]
    ended = [event.phase for event in events if isinstance(event, PhaseFinished)]
    assert begun == ended == list(PHASES)
    assert isinstance(events[-1], TrainingFinished)
    assert events[-1].bundle == str(by_two)
    assert_same_training(by_two, by_one)
    log = cs.load_bundle(by_two).training_log
    logged = [event_from_json(line) for line in log.splitlines()]
    assert [e for e in logged if isinstance(e, Progress)] == [
        e for e in events if isinstance(e, Progress)
    ]
    assert not RunFolder.for_bundle(by_two).path.exists()
    assert children_with(WORKER) == []


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_worker_costs_no_more_than_the_steps_since_the_last_checkpoint(
    by_one, by_two, tmp_path, rank
):
    plan = plan_of(tmp_path, "killed", longer_config())
    killer = Killer(lambda: workers(rank)[0])
    events = run(plan, "procs:2", killer)
    assert killer.killed is not None
    (news,) = restarts(events)
    assert "Worker" in news.message
    assert "go on from the last checkpoint" in news.message
    starts = [e for e in events if isinstance(e, PhaseStarted) and e.phase == "language model"]
    assert [start.first_step > 0 for start in starts] == [False, True]
    assert equal_weights(plan.out, by_two)
    assert_same_training(plan.out, by_one)


def test_workers_that_are_lost_again_and_again_are_given_up(tmp_path, monkeypatch):
    assert ProcessSite(tmp_path, 2).most_restarts == 3
    monkeypatch.setattr(launch_run, "ProcessSite", partial(ProcessSite, most_restarts=1))
    plan = plan_of(tmp_path, "lost", longer_config(checkpoint_seconds=1000.0))
    kills = set()

    def kill(event):
        if isinstance(event, Progress) and event.phase == "language model":
            for process in workers(1):
                kills.add(process.pid)
                process.kill()

    with pytest.raises(cs.TrainingError, match=r"Worker \d of 2 ended .* lost 2 times in a row"):
        run(plan, "procs:2", kill)
    assert len(kills) == 2


@pytest.mark.parametrize("places", [("local", "procs:2"), ("procs:2", "procs:3", "local")])
def test_what_was_cancelled_goes_on_at_another_place(by_one, tmp_path, places):
    plan = plan_of(tmp_path, "moved", longer_config())
    folder, step = RunFolder.for_bundle(plan.out), 0
    for number, place in enumerate(places[:-1], start=1):
        cut(plan, place, share=number / len(places))
        last = event_from_json(folder.events.read_text().splitlines()[-1])
        assert isinstance(last, TrainingCancelled)
        assert children_with(WORKER) == []
        before, step = step, folder.checkpoint("language model").step()
        assert step > before
    events = run(plan, places[-1])
    start = next(e for e in events if isinstance(e, PhaseStarted) and e.phase == "language model")
    assert start.first_step == step
    assert_same_training(plan.out, by_one)


def test_a_stop_that_is_asked_for_saves_and_says_so(tmp_path):
    plan = plan_of(tmp_path, "stopped", longer_config())
    asked = []
    events = run(
        plan,
        "procs:2",
        lambda event: asked.append(1) if isinstance(event, Progress) and event.step > 50 else None,
        stop=lambda: bool(asked),
    )
    assert isinstance(events[-1], TrainingCancelled)
    assert RunFolder.for_bundle(plan.out).checkpoint("language model").step() > 50


def test_an_error_of_the_training_is_told_in_its_own_words_and_not_tried_again(tmp_path):
    wild = dataclasses.replace(
        tiny_config().language_model_training, learning_rate=1e30, muon_learning_rate=1e30
    )
    plan = plan_of(tmp_path, "wild", tiny_config(language_model_training=wild))
    seen = []
    with pytest.raises(cs.TrainingError, match=r"loss is nan at step \d+; lower the learning rate"):
        run(plan, "procs:2", seen.append)
    assert restarts(seen) == []
    missing = dataclasses.replace(plan, source=str(tmp_path / "no.parquet"), out=tmp_path / "m")
    with pytest.raises(cs.TrainingError, match=r"no\.parquet"):
        run(missing, "procs:2")


def test_workers_do_not_outlive_the_process_that_started_them(tmp_path):
    plan = plan_of(tmp_path, "orphan", longer_config(4_000_000))
    settings = tmp_path / "settings.json"
    settings.write_text(__import__("json").dumps(plan.config.to_json()))
    command = [sys.executable, "-m", "circuitscope_core", "train", "--backend", "procs:2"]
    command += ["--config", str(settings), "--source", plan.source, "--out", str(plan.out)]
    root = Path(cs.__file__).resolve().parents[1]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as process:
        for line in process.stdout:
            if b"tokens/s" in line:
                break
        found = children_with(WORKER)
        assert len(found) == 2
        process.kill()
    wait_until(
        lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in found)
    )


def test_a_run_that_a_store_mirrors_goes_on_from_it_on_another_machine(by_one, tmp_path):
    store = FolderStore(tmp_path / "store")
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    plan = plan_of(here, "mine", longer_config())
    events = run_training(plan, parse_backend("procs:2"), store)
    next(e for e in events if isinstance(e, Progress) and e.step > 100)
    events.close()
    names = {file.name for file in store.list()}
    assert {"run.json", "language_model.safetensors"} <= names
    began = time.monotonic()
    other = plan_of(there, "mine", longer_config())
    events = run(other, "local", store=store)
    start = next(e for e in events if isinstance(e, PhaseStarted) and e.phase == "language model")
    assert start.first_step > 100
    assert time.monotonic() - began < 60
    assert_same_training(other.out, by_one)
    found = {file.name for file in store.list("bundle/")}
    assert found == {
        f"bundle/{path.relative_to(other.out).as_posix()}"
        for path in other.out.rglob("*")
        if path.is_file()
    }
    log = cs.load_bundle(other.out).training_log
    kinds = [type(event_from_json(line)) for line in log.splitlines()]
    assert TrainingCancelled in kinds  # what the first machine did is in the log too


def test_two_processes_train_the_transcoder_of_a_real_model_as_one_does(tmp_path):
    pytest.importorskip("transformers")
    plans = [transcoder_plan(tmp_path, name) for name in ("one", "two")]
    for plan, backend in zip(plans, ("local", "procs:2"), strict=True):
        assert isinstance(run(plan, backend)[-1], TrainingFinished)
    one, two = (cs.load_transcoder(plan.out / "transcoder") for plan in plans)
    for name in ("W_enc", "b_enc", "b_dec"):
        torch.testing.assert_close(getattr(one, name), getattr(two, name), rtol=1e-3, atol=1e-4)
    with pytest.raises(cs.ConfigError, match="a compute pool has neither"):
        run(transcoder_plan(tmp_path, "pool"), "snowflake:POOLx2")
