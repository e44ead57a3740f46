"""A training in a process of its own, seen through its run folder only."""

import json
import sys
import time
from dataclasses import replace

import psutil
import pytest

import circuitscope_core as cs
from circuitscope_core.launch import (
    TrainingRequest,
    background,
    cancel_training,
    check_name,
    list_runs,
    measure_speed_apart,
    start_training,
    training_state,
)
from circuitscope_core.training import PHASES, PhaseStarted, Progress
from tests.texts import tiny_config, write_parquet

pytestmark = pytest.mark.slow


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)


@pytest.fixture
def request_(tmp_path):
    source = write_parquet(tmp_path / "t.parquet")
    longer = cs.LanguageModelTraining(n_tokens=250_000, batch_size=8)
    config = tiny_config(language_model_training=longer)
    return TrainingRequest(config, (source,), tmp_path / "models", "mine")


def test_a_training_is_watched_cancelled_and_resumed_to_its_end(request_):
    folder = request_.folder
    assert training_state(folder).status == "none"
    start_training(request_)
    with pytest.raises(cs.TrainingError, match="being trained already"):
        start_training(request_)
    wait_until(lambda: any(isinstance(e, Progress) for e in training_state(folder).events))
    assert training_state(folder).status == "running"
    assert list_runs(request_.models) == ("mine",)
    assert cancel_training(folder)
    wait_until(lambda: training_state(folder).status == "cancelled", seconds=2)
    assert not cancel_training(folder)
    assert TrainingRequest.load(folder) == request_
    start_training(request_)
    wait_until(lambda: (request_.out / "bundle.json").is_file(), 120)
    wait_until(lambda: training_state(folder).status == "none")
    log = cs.load_bundle(request_.out).training_log
    resumed = [json.loads(line) for line in log.splitlines()]
    starts = [e for e in resumed if e["event"] == "PhaseStarted" and e["phase"] == "language model"]
    assert [start["first_step"] > 0 for start in starts] == [False, True]


def test_a_training_that_learns_its_tokens_stops_within_seconds(tmp_path):
    config = cs.TrainConfig()  # its tokens are learned from the built-in text, which takes longer
    request = TrainingRequest(config, ("builtin",), tmp_path / "models", "mine")
    start_training(request)
    wait_until(lambda: any(isinstance(e, Progress) for e in training_state(request.folder).events))
    assert not training_state(request.folder).stopping
    assert cancel_training(request.folder)
    assert training_state(request.folder).stopping
    wait_until(lambda: training_state(request.folder).status == "cancelled", seconds=8)
    assert not training_state(request.folder).stopping


def test_a_training_that_was_asked_to_stop_before_it_could_speak_counts_as_cancelled(request_):
    start_training(request_)
    assert cancel_training(request_.folder)
    wait_until(lambda: training_state(request_.folder).status == "cancelled", seconds=8)
    start_training(request_)
    assert not training_state(request_.folder).stopping
    assert cancel_training(request_.folder)


def test_a_killed_training_counts_as_interrupted_and_a_reused_number_does_not_revive_it(request_):
    start_training(request_)
    folder = request_.folder
    wait_until(lambda: any(isinstance(e, PhaseStarted) for e in training_state(folder).events))
    record = json.loads((folder.path / "process.json").read_text())
    psutil.Process(record["pid"]).kill()
    wait_until(lambda: training_state(folder).status == "interrupted")
    ours = psutil.Process()
    other = {"pid": ours.pid, "started": ours.create_time() - 1000}
    (folder.path / "process.json").write_text(json.dumps(other))
    assert training_state(folder).status == "interrupted"


def test_a_failure_is_told_in_the_words_of_the_error(request_, tmp_path):
    wrong = TrainingRequest(request_.config, (str(tmp_path / "no.parquet"),), request_.models, "x")
    start_training(wrong)
    wait_until(lambda: training_state(wrong.folder).status == "failed")
    assert "no.parquet" in training_state(wrong.folder).message


def test_a_name_that_a_model_has_is_refused_before_anything_begins(request_):
    request_.out.mkdir(parents=True)
    (request_.out / "bundle.json").write_text("{}")
    with pytest.raises(cs.TrainingError, match=r"model 'mine' .* already.*'mine-2'.*--overwrite"):
        start_training(request_)
    with pytest.raises(cs.TrainingError, match="already"):
        cs.launch(request_.config, request_.sources, request_.out)
    assert not request_.folder.path.exists()


def test_a_request_is_read_as_it_was_saved_and_in_the_three_files_of_before(request_):
    folder = request_.folder
    assert TrainingRequest.load(folder) is None
    folder.path.mkdir(parents=True)
    wanted = replace(request_, backend="procs:2", store="@db.app.models/runs/mine")
    wanted.save()
    assert [file.name for file in folder.path.iterdir()] == ["request.json"]
    assert TrainingRequest.load(folder) == wanted
    before = {
        "request": wanted.config.to_json(),
        "sources": wanted.sources,
        "where": {"backend": wanted.backend, "store": wanted.store},
    }
    for name, data in before.items():
        (folder.path / f"{name}.json").write_text(json.dumps(data))
    assert TrainingRequest.load(folder) == wanted


@pytest.mark.parametrize("text", ["", "[]", "7", '{"config": {}}', '{"config": 1, "sources": []}'])
def test_a_damaged_request_is_refused_in_a_sentence(request_, text):
    request_.folder.path.mkdir(parents=True)
    (request_.folder.path / "request.json").write_text(text)
    with pytest.raises(cs.TrainingError, match=r"cannot be read .* Discard it"):
        TrainingRequest.load(request_.folder)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "x" * 65, "na\nme"])
def test_a_name_is_never_a_path(name):
    with pytest.raises(cs.TrainingError, match="is no model name"):
        check_name(name)


def test_the_speed_is_measured_in_another_process():
    speed = measure_speed_apart(tiny_config())
    assert speed.transcoder > 0
    more = tiny_config(transcoder_training=cs.TranscoderTraining(n_tokens=10_000))
    assert speed.estimate(more).transcoder == pytest.approx(10_000 * speed.transcoder)


def test_a_speed_that_cannot_be_measured_says_why(monkeypatch):
    monkeypatch.setattr(background, "COMMAND", (sys.executable, "-m", "no_such"))
    with pytest.raises(cs.TrainingError, match=r"could not be measured: .*no_such"):
        measure_speed_apart(tiny_config())


def test_a_launched_training_is_held_by_a_handle(request_, tmp_path):
    run = cs.launch(
        tiny_config(), request_.sources, tmp_path / "models" / "held", backend="procs:2"
    )
    events = list(run.events())
    phases = [event.phase for event in events if isinstance(event, PhaseStarted)]
    assert phases == list(PHASES)
    assert run.state().status == "none"
    assert run.result().metadata.name == "held"
    assert list(run.events())[-1] == events[-1]
    assert not run.cancel()


def test_the_result_of_a_cancelled_training_is_an_error_and_another_launch_goes_on(request_):
    run = cs.launch(request_.config, request_.sources, request_.out)
    assert next(event for event in run.events() if isinstance(event, Progress))
    assert run.cancel()
    with pytest.raises(cs.TrainingError, match=r"'mine' is not trained\. Stopped on request"):
        run.result()
    begun = TrainingRequest.load(request_.folder)
    assert (begun.backend, begun.store) == ("local", None)
    again = cs.launch(request_.config, request_.sources, request_.out)
    assert again.result().metadata.name == "mine"


def test_a_machine_that_starts_no_process_says_so(monkeypatch):
    monkeypatch.setattr(background, "COMMAND", ("/nowhere/python",))
    with pytest.raises(cs.TrainingError, match=r"could not be measured: .*/nowhere/python"):
        measure_speed_apart(tiny_config())
