"""Two workers of a real Ray cluster on this machine, one of which is killed in mid-training."""

import contextlib
import socket
import subprocess
import sys

import psutil
import pytest

import circuitscope_core as cs
from circuitscope_core.training import PhaseStarted, RunFolder
from tests.cluster.trainings import (
    Killer,
    assert_same_training,
    cut,
    equal_weights,
    longer_config,
    plan_of,
    restarts,
    run,
    wait_until,
)
from tests.unit.test_bundle import make_bundle

pytest.importorskip("ray", reason="Ray is not installed: requirements-cluster.txt")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    # Ray leaves its logs and pipes open when a process disconnects
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster that this machine is a part of, as the nodes of a job are: reached as auto."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    command += ["--num-cpus=3", f"--port={port}", "--node-ip-address=127.0.0.1"]
    command += ["--include-dashboard=false", "--disable-usage-stats"]
    place = tmp_path_factory.mktemp("ray")
    # it listens to this machine alone
    settings = {"RAY_ADDRESS": f"127.0.0.1:{port}", "RAY_AUTH_MODE": "disabled"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        log = (place / "head.log").open("wb")
        head = subprocess.Popen(command, cwd=place, stdout=log, stderr=log, start_new_session=True)
        wait_until(lambda: answers(port))
        yield
        family = [*psutil.Process(head.pid).children(recursive=True), psutil.Process(head.pid)]
        for process in family:
            with contextlib.suppress(psutil.Error):
                process.kill()
        head.wait()
        log.close()


def answers(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


def train_worker():
    """Find a process of Ray in which a worker's training runs."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if "RayTrainWorker" in " ".join(process.cmdline()):
                found.append(process)
    assert len(found) == 2
    return found[-1]


@pytest.mark.usefixtures("cluster")
def test_a_worker_of_a_cluster_is_killed_and_the_model_is_the_same(by_two, tmp_path):
    plan = plan_of(tmp_path, "killed", longer_config())
    killer = Killer(train_worker)
    events = run(plan, "ray:2@auto", killer)
    assert killer.killed is not None
    (news,) = restarts(events)
    assert "go on from the last checkpoint" in news.message
    starts = [e for e in events if isinstance(e, PhaseStarted) and e.phase == "language model"]
    assert [start.first_step > 0 for start in starts] == [False, True]
    assert equal_weights(plan.out, by_two)


@pytest.mark.usefixtures("cluster")
def test_a_training_moves_from_a_cluster_to_this_machine(by_one, tmp_path):
    plan = plan_of(tmp_path, "moved", longer_config())
    cut(plan, "ray:2@auto")
    step = RunFolder.for_bundle(plan.out).checkpoint("language model").step()
    assert step > 0
    events = run(plan, "local")
    start = next(e for e in events if isinstance(e, PhaseStarted) and e.phase == "language model")
    assert start.first_step == step
    assert_same_training(plan.out, by_one)


@pytest.mark.usefixtures("cluster")
def test_a_cluster_traces_many_prompts_in_their_order(tmp_path):
    bundle = cs.save_bundle(make_bundle(), tmp_path / "tiny")
    prompts = ["The (N", "", "A cat"]
    alone = list(cs.attribute_many(bundle, prompts, tmp_path / "alone"))
    done = list(cs.attribute_many(bundle, prompts, tmp_path / "far", backend="ray:2@auto"))
    for one, other in zip(done, alone, strict=True):
        assert (one.prompt, one.error, one.graph) == (other.prompt, other.error, other.graph)
        assert one.scores == pytest.approx(other.scores, rel=1e-4)
    assert cs.read_graph_file(tmp_path / "far" / "00002.json").prompt == "A cat"


def test_where_there_is_no_cluster_the_error_says_what_to_start(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(
        cs.TrainingError, match=r"no Ray cluster at 127.0.0.1:1: .* ray start --head"
    ):
        run(plan_of(tmp_path, "x"), "ray:2@auto")
