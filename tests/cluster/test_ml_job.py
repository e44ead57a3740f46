"""A training in a compute pool: the job is a process of this machine, the stage a folder."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import circuitscope_core as cs
from circuitscope_core.launch import backend, ml_job
from circuitscope_core.launch.backend import parse_backend
from circuitscope_core.launch.ml_job import JobSite, Payload, SnowflakeJobs, check_reachable
from circuitscope_core.launch.run import run_training
from circuitscope_core.launch.work import Assignment
from circuitscope_core.stages import FolderStore
from circuitscope_core.training import (
    PHASES,
    PhaseFinished,
    PhaseStarted,
    Progress,
    RunFolder,
    TrainingCancelled,
    TrainingFinished,
    WorkersNews,
    event_from_json,
)
from tests.cluster.trainings import equal_weights, longer_config, plan_of, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
BACKEND = "snowflake:CS_POOLx1"


class LocalJob:
    """A job that is a process: what a node of a pool would run, with the payload's own package."""

    def __init__(self, payload, place):
        self.id = "CS.APP.JOB_1"
        self.runs_from = time.monotonic() + 1.0
        self.log = place / "job.log"
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "entry.py", *payload.arguments],
                cwd=payload.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    @property
    def status(self):
        if time.monotonic() < self.runs_from:
            return "PENDING"
        code = self.process.poll()
        return "RUNNING" if code is None else "DONE" if code == 0 else "FAILED"

    def get_logs(self):
        return self.log.read_text()

    def cancel(self):
        self.process.kill()


class LocalJobs:
    """Runs payloads here; keeps a copy, since the one handed in is deleted."""

    def __init__(self, place):
        self.place, self.jobs, self.payloads = place, [], []

    def submit(self, payload):
        kept = self.place / f"payload-{len(self.jobs)}"
        shutil.copytree(payload.folder, kept)
        self.payloads.append(dataclasses.replace(payload, folder=kept))
        self.jobs.append(LocalJob(self.payloads[-1], self.place))
        return self.jobs[-1]

    def find(self, job_id):
        (found,) = [job for job in self.jobs if job.id == job_id]
        return found


@dataclasses.dataclass
class BreakingStore:
    """A store whose network goes away."""

    store: FolderStore
    broken: bool = False

    def __getattr__(self, name):
        if self.broken:
            raise cs.StageError("the network is down")
        return getattr(self.store, name)


@pytest.fixture
def pool(tmp_path, monkeypatch):
    """The service and the stage, put in place of the account's."""
    service = LocalJobs(tmp_path)
    monkeypatch.setattr(ml_job, "SnowflakeJobs", lambda _: service)
    monkeypatch.setattr(ml_job, "shared_session", lambda: None)
    monkeypatch.setattr(ml_job, "STATUS_SECONDS", 0.3)
    monkeypatch.setattr(backend, "find_connection", lambda: object())
    # here the job reads files of this machine
    monkeypatch.setattr(ml_job, "check_reachable", lambda _: None)
    yield service
    for job in service.jobs:
        job.process.kill()
        job.process.wait()


def test_a_job_is_handed_in_followed_and_its_bundle_brought_here(pool, tmp_path):
    store = FolderStore(tmp_path / "stage")
    plan = plan_of(tmp_path, "mine", longer_config(30_000))
    events = run(plan, BACKEND, store=store)
    begun = [event.phase for event in events if isinstance(event, PhaseStarted)]
    ended = [event.phase for event in events if isinstance(event, PhaseFinished)]
    assert begun == ended == list(PHASES)
    said = [event.message for event in events if isinstance(event, WorkersNews)]
    assert said[0] == "The job CS.APP.JOB_1 waits for nodes of the compute pool CS_POOL."
    assert "RUNNING" in said[1]
    assert isinstance(events[-1], TrainingFinished)
    assert events[-1].bundle == str(plan.out)
    alone = plan_of(tmp_path, "alone", longer_config(30_000))
    run(alone, "local")
    assert equal_weights(plan.out, alone.out)
    (payload,) = pool.payloads
    assert (payload.pool, payload.n_nodes, payload.stage) == ("CS_POOL", 1, store.place)
    assert payload.arguments[-4:] == ("--backend", "local", "--store", store.place)
    assert not RunFolder.for_bundle(plan.out).path.exists()


def test_a_pool_of_several_nodes_is_the_ray_cluster_of_the_job(tmp_path):
    site = JobSite(
        parse_backend("snowflake:POOLx4"), FolderStore(tmp_path), RunFolder(tmp_path), LocalJobs
    )
    told = Assignment(longer_config().to_json(), ("builtin", "@db.s.st/pile"), "mine")
    payload = site._payload(tmp_path / "payload", told)
    assert payload.n_nodes == 4
    assert payload.arguments[-4:-2] == ("--backend", "ray:4@auto")
    assert payload.arguments.count("--source") == 2
    names = {path.name for path in payload.folder.iterdir()}
    assert names == {"circuitscope_core", "entry.py", "settings.json"}
    settings = json.loads((payload.folder / "settings.json").read_text())
    assert cs.TrainConfig.from_json(settings) == longer_config()


def test_a_job_is_cancelled_saves_and_another_goes_on(pool, tmp_path):
    store = FolderStore(tmp_path / "stage")
    plan = plan_of(tmp_path, "mine", longer_config())
    asked = []
    events = run(
        plan,
        BACKEND,
        lambda event: asked.append(1) if isinstance(event, Progress) and event.step > 50 else None,
        store=store,
        stop=lambda: bool(asked),
    )
    assert isinstance(events[-1], TrainingCancelled)
    step = RunFolder.for_bundle(plan.out).checkpoint("language model").step()
    assert step > 50
    events = run(plan, BACKEND, store=store)
    start = next(e for e in events if isinstance(e, PhaseStarted) and e.phase == "language model")
    assert start.first_step == step
    assert len(pool.jobs) == 2
    assert isinstance(events[-1], TrainingFinished)


def test_a_process_that_goes_away_leaves_the_job_to_the_next_one(pool, tmp_path):
    store = FolderStore(tmp_path / "stage")
    plan = plan_of(tmp_path, "mine", longer_config())

    def part(event):
        if isinstance(event, Progress) and event.phase == "language model":
            stage.broken = True

    stage = BreakingStore(store)
    with pytest.raises(cs.StageError, match="the network is down"):
        run(plan, BACKEND, part, store=stage)
    assert pool.jobs[0].process.poll() is None
    events = run(plan, BACKEND, store=store)
    assert len(pool.jobs) == 1
    assert isinstance(events[-1], TrainingFinished)
    assert next(e for e in events if isinstance(e, Progress)).phase != "corpus"
    log = cs.load_bundle(plan.out).training_log
    steps = [
        event.step
        for line in log.splitlines()
        if isinstance(event := event_from_json(line), Progress) and event.phase == "language model"
    ]
    assert steps == sorted(set(steps))  # begun once, by one job


def test_a_job_that_fails_is_told_in_its_own_words(pool, tmp_path):
    store = FolderStore(tmp_path / "stage")
    plan = plan_of(tmp_path, "mine", longer_config())
    seen = []

    def kill(event):
        seen.append(event)
        if isinstance(event, Progress):
            pool.jobs[0].process.kill()

    with pytest.raises(cs.TrainingError, match=r"The job CS\.APP\.JOB_1 ended \(FAILED\).*is kept"):
        run(plan, BACKEND, kill, store=store)
    assert len(pool.jobs) == 1
    missing = plan_of(tmp_path, "other", longer_config())
    missing = dataclasses.replace(missing, source="hf://no")
    with pytest.raises(cs.TrainingError, match="hf://no"):
        run(missing, BACKEND, store=FolderStore(tmp_path / "another"))


def test_text_on_this_machine_is_refused_before_a_job_is_handed_in():
    check_reachable(("builtin", "@s/x", "hf://datasets/a/b.parquet"))
    with pytest.raises(cs.TrainingError, match=r"/home/x/pile is on this machine, .* into a stage"):
        check_reachable(("builtin", "/home/x/pile"))


def test_the_service_asks_for_what_a_node_lacks(monkeypatch, tmp_path):
    jobs = pytest.importorskip("snowflake.ml.jobs")
    asked = {}

    def submit_directory(folder, pool, **options):
        asked.update(options, folder=folder, pool=pool)
        return SimpleNamespace(id="J", status="PENDING", get_logs=str, cancel=int)

    monkeypatch.setattr(jobs, "submit_directory", submit_directory)
    payload = Payload(Path(tmp_path), "POOL", 3, "DB.S.STAGE", ("train", "--json"))
    assert SnowflakeJobs(None).submit(payload).id == "J"
    assert (asked["folder"], asked["pool"]) == (str(tmp_path), "POOL")
    assert asked["target_instances"] == 3
    assert asked["args"] == ["train", "--json"]
    assert any(name.startswith("jaxtyping") for name in asked["pip_requirements"])
    assert asked["artifact_repositories"] == ["snowflake.snowpark.pypi_shared_repository"]


def test_closing_the_run_cancels_the_job(pool, tmp_path):
    plan = plan_of(tmp_path, "mine", longer_config())
    events = run_training(plan, parse_backend(BACKEND), FolderStore(tmp_path / "stage"))
    next(event for event in events if isinstance(event, Progress) and event.step > 20)
    events.close()
    assert pool.jobs[0].process.wait(10) is not None
    assert RunFolder.for_bundle(plan.out).checkpoint("language model").step() > 20
