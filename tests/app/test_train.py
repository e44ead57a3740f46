"""The Train page, without a browser."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import streamlit as st

import circuitscope_core as cs
from circuitscope_core.devices import MachineLoad
from circuitscope_core.launch import TrainingState, backend, measure_speed_apart
from circuitscope_core.training import (
    PhaseFinished,
    PhaseStarted,
    Progress,
    RunFolder,
    TrainingCancelled,
    TrainingFailed,
    WorkersNews,
)
from pages.ui.train.answers import read_answers
from pages.ui.train.estimate import minutes, say_load
from pages.ui.train.progress import curve, seconds_left, view_phases
from pages.ui.train.train_form import Sizes, make_config
from tests.app.opening import open_page
from tests.texts import write_parquet

ROOT = Path(__file__).parents[2]
EVENTS = (
    PhaseStarted("corpus", 1),
    PhaseFinished("corpus", 2.0, {}, "Read 3 documents."),
    PhaseStarted("language model", 100),
    Progress("language model", 10, 100, 1000.0, {"loss": 7.0}),
    Progress("language model", 20, 100, 2000.0, {"loss": 5.0, "validation_loss": 5.5}),
    PhaseStarted("language model", 100, 10),
    Progress("language model", 20, 100, 2000.0, {"loss": 4.0}),
)


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.setattr("pages.ui.shared.models.MODELS", tmp_path)
    return tmp_path


def begin_run(models, *last):
    folder = RunFolder.for_bundle(models / "mine")
    folder.path.mkdir(parents=True)
    for event in (*EVENTS, *last):
        folder.append(event)
    (folder.path / "request.json").write_text(json.dumps(cs.TrainConfig().to_json()))
    return folder


def test_sizes_parameters_and_an_estimate_are_shown_before_the_start(models, monkeypatch):
    monkeypatch.setattr("pages.ui.train.estimate.measure_speed_apart", measure_speed_apart)
    st.cache_data.clear()
    at = open_page("train")
    shown = {metric.label: metric.value for metric in at.metric}
    parameters = f"{cs.TrainConfig().model.count_parameters():,}"
    assert shown["Model parameters"] == parameters
    assert shown["Time on this machine"].startswith("about ")
    assert not at.button(key="train_start").disabled
    at.radio(key="train_size").set_value("small").run()
    assert {m.label: m.value for m in at.metric}["Model parameters"] != parameters
    assert list(models.iterdir()) == []


@pytest.mark.usefixtures("models")
def test_a_machine_that_cannot_be_timed_may_train_all_the_same(monkeypatch):
    def fail(_):
        raise cs.TrainingError("The training's speed could not be measured: <b>no memory</b>")

    monkeypatch.setattr("pages.ui.train.estimate.measure_speed_apart", fail)
    st.cache_data.clear()
    at = open_page("train")
    assert {m.label: m.value for m in at.metric}["Time on this machine"] == "unknown"
    assert "no memory" in at.warning[0].value
    assert not at.button(key="train_start").disabled


@pytest.mark.usefixtures("models")
def test_a_column_is_asked_for_where_there_are_columns():
    at = open_page("train")
    assert "train_column" not in {item.key for item in at.text_input}
    at.radio(key="train_source").set_value("path").run()
    assert at.text_input(key="train_column").value == "text"


@pytest.mark.usefixtures("models")
def test_a_stage_says_what_it_needs_and_cannot_be_started():
    at = open_page("train")
    at.radio(key="train_source").set_value("stage").run()
    assert "come with a Snowflake connection" in at.info[0].value
    assert at.button(key="train_start").disabled


def reason_beside_train(at):
    """Return the sentence beside the button, which is off."""
    assert at.button(key="train_start").disabled
    return at.main.caption[-1].value


@pytest.mark.usefixtures("models")
def test_a_path_and_a_column_that_are_there_are_needed_before_the_start(tmp_path_factory):
    source = write_parquet(tmp_path_factory.mktemp("text") / "t.parquet")
    at = open_page("train")
    at.radio(key="train_source").set_value("path").run()
    assert reason_beside_train(at) == "Name the file or folder of the text."
    wrong = {"/nowhere/x.parquet": "is not there", "hf://x": "is not the address", "@S": "stage"}
    for location, said in wrong.items():
        at.text_input(key="train_path").set_value(location).run()
        assert said in at.error[0].value
        assert reason_beside_train(at) == "The place of the text is wrong."
    at.text_input(key="train_path").set_value(str(source)).run()
    assert not at.button(key="train_start").disabled
    at.text_input(key="train_column").set_value("<b>").run()
    assert "has no column" in at.error[0].value
    assert reason_beside_train(at) == "The column of the text is wrong."


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(
    ("field", "wrong", "said"),
    [
        ("model_tokens", 1, "from 100,000 to 100,000,000"),
        ("n_layers", 0, "from 1 to 8"),
        ("target_l0", 1000.0, "from 1.0 to 200.0"),
        ("n_heads", 5, "choose 1, 2, 3, 4, 6, 8, 12, 16 heads"),
    ],
)
def test_a_number_that_cannot_be_is_said_at_its_field_and_keeps_it_from_starting(
    field, wrong, said
):
    at = open_page("train").radio(key="train_size").set_value("custom").run()
    assert not at.button(key="train_start").disabled
    at.number_input(key="train_custom_d_model").set_value(96).run()
    at.number_input(key=f"train_custom_{field}").set_value(wrong).run()
    assert said in at.error[0].value
    assert "out of range" in reason_beside_train(at) or "do not fit" in reason_beside_train(at)


def test_a_busy_machine_is_named_as_such():
    assert "busy" not in say_load(660.0, None)
    assert "busy" not in say_load(660.0, MachineLoad(0.2, 2))
    said = say_load(4500.0, MachineLoad(6.0, 2))
    assert "other work wants 6.0 of its 2 processors. About 75 min now, 19 min on an idle" in said


def test_an_idle_machine_gives_each_thread_a_processor():
    assert MachineLoad(0.0, 4).when_idle(10.0) == 10.0
    assert MachineLoad(4.0, 4).when_idle(10.0) == 5.0


def test_the_form_keeps_its_answers_when_a_training_failed(models, monkeypatch, tmp_path_factory):
    source = str(write_parquet(tmp_path_factory.mktemp("text") / "t.parquet"))
    answers = {"train_source": "path", "train_path": source, "train_size": "custom"}

    def fail_at_once(request):
        request.folder.path.mkdir(parents=True)
        request.save()
        request.folder.append(TrainingFailed("The file is gone."))

    monkeypatch.setattr("pages.ui.train.run.start_training", fail_at_once)
    at = open_page("train")
    at.radio(key="train_source").set_value("path").run()
    at.text_input(key="train_path").set_value(source).run()
    at.radio(key="train_size").set_value("custom").run()
    at.number_input(key="train_custom_n_layers").set_value(2).run()
    at.text_input(key="train_name").set_value("second").run()
    at.button(key="train_start").click().run()
    assert any("The file is gone" in error.value for error in at.error)
    again = open_page("train")  # another window, or the same one after a reload
    assert again.button(key="train_discard").label == "Change the settings"
    again.button(key="train_discard").click().run()
    assert not (models / ".runs" / "second").exists()
    assert again.text_input(key="train_name").value == "second"
    assert again.number_input(key="train_custom_n_layers").value == 2
    assert {key: again.session_state[key] for key in answers} == answers
    assert not again.button(key="train_start").disabled


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"train_start": true, "other": 3}'])
def test_answers_that_are_none_are_passed_over(tmp_path, text):
    file = tmp_path / "answers.json"
    file.write_text(text)
    assert read_answers(file) == {}


def test_a_training_that_was_asked_to_stop_says_so_and_is_not_asked_twice(models, monkeypatch):
    folder, asked = begin_run(models), []
    state = TrainingState("running", EVENTS)
    monkeypatch.setattr(
        "pages.ui.train.run.training_state", lambda _: replace(state, stopping=bool(asked))
    )
    monkeypatch.setattr("pages.ui.train.run.cancel_training", asked.append)
    at = open_page("train")
    assert at.button(key="train_cancel").label == "Cancel"
    at.button(key="train_cancel").click().run()
    assert asked == [folder]
    assert at.button(key="train_cancel").label == "Stopping …"
    assert at.button(key="train_cancel").disabled


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("name", ["../x", "a b", ""])
def test_a_wrong_name_is_refused_where_it_is_typed(name):
    at = open_page("train")
    at.text_input(key="train_name").set_value(name).run()
    assert "is no model name" in at.error[0].value
    assert at.button(key="train_start").disabled


@pytest.mark.parametrize(
    ("last", "shown"),
    [
        (TrainingCancelled(), "Stopped on request"),
        (TrainingFailed("<b>column x</b> is missing"), "column x"),
    ],
    ids=["cancelled", "failed"],
)
def test_a_training_that_ended_early_can_be_resumed_or_discarded(models, last, shown):
    folder = begin_run(models, last)
    at = open_page("train")
    said = [*(item.value for item in at.warning), *(item.value for item in at.error)]
    assert any(shown in text for text in said)
    assert at.button(key="train_resume")
    at.button(key="train_discard").click().run()
    assert not folder.path.exists()
    assert at.button(key="train_start")


def make_model(models, name):
    (models / name).mkdir()
    (models / name / "bundle.json").write_text("{}")


def test_a_name_that_a_model_has_cannot_be_trained_and_the_next_free_one_is_offered(models):
    make_model(models, "mine")
    make_model(models, "demo")
    at = open_page("train")
    assert at.text_input(key="train_name").value == "mine-2"
    assert not at.button(key="train_start").disabled
    for name in ("mine", "demo"):
        at.text_input(key="train_name").set_value(name).run()
        assert any("already" in error.value and "-2" in error.value for error in at.error)
        assert at.button(key="train_start").disabled


def test_a_training_of_the_demo_that_was_begun_elsewhere_does_not_replace_it_from_here(models):
    make_model(models, "demo")
    (begin_run(models, TrainingCancelled()).path).rename(models / ".runs" / "demo")
    at = open_page("train")
    at.button(key="train_resume").click().run()
    assert "comes with the app" in at.error[0].value
    assert not (models / ".runs" / "demo" / "process.json").exists()


def test_what_was_begun_on_the_command_line_is_gone_on_with_there(models):
    folder = begin_run(models, TrainingCancelled())
    (folder.path / "request.json").unlink()
    at = open_page("train")
    assert "on the command line" in at.info[0].value
    assert at.button(key="train_resume").disabled


def test_what_was_begun_and_cannot_be_read_is_not_resumed(models):
    folder = begin_run(models, TrainingCancelled())
    (folder.path / "request.json").write_text("{")
    at = open_page("train")
    assert "Discard it" in at.error[0].value
    assert at.button(key="train_resume").disabled
    at.button(key="train_discard").click().run()
    assert not folder.path.exists()


@pytest.fixture
def started(models, monkeypatch):
    assert not list(models.iterdir())
    requests = []
    monkeypatch.setattr("pages.ui.train.run.start_training", requests.append)
    return requests


def choose_where(kind):
    return open_page("train").radio(key="train_where").set_value(kind).run()


def test_a_training_runs_where_it_was_asked_to(started):
    open_page("train").button(key="train_start").click().run()
    at = choose_where("procs")
    at.number_input(key="train_where_processes").set_value(3).run()
    at.button(key="train_start").click().run()
    at = choose_where("ray")
    at.number_input(key="train_where_workers").set_value(2).run()
    at.button(key="train_start").click().run()
    at.selectbox(key="train_where_cluster").set_value("@auto").run()
    at.button(key="train_start").click().run()
    at.selectbox(key="train_where_cluster").set_value("@").run()
    assert at.button(key="train_start").disabled
    at.text_input(key="train_where_address").set_value("ray://head:10001").run()
    at.button(key="train_start").click().run()
    expected = ["local", "procs:3", "ray:2", "ray:2@auto", "ray:2@ray://head:10001"]
    assert [request.backend for request in started] == expected


@pytest.mark.usefixtures("started")
def test_an_address_that_is_none_is_refused_where_it_is_typed():
    at = choose_where("ray")
    at.selectbox(key="train_where_cluster").set_value("@").run()
    at.text_input(key="train_where_address").set_value("http://head").run()
    assert "is no place to train" in at.error[0].value
    assert at.button(key="train_start").disabled


@pytest.mark.usefixtures("models")
def test_what_a_place_still_needs_is_said_and_keeps_it_from_starting(monkeypatch):
    monkeypatch.setattr(backend, "_installed", lambda _: False)
    for kind, package in (("ray", "Ray"), ("snowflake", "snowflake-ml-python")):
        at = choose_where(kind)
        assert f"{package} is not installed" in at.info[0].value.replace("\\", "")
        assert at.button(key="train_start").disabled


def test_news_of_lost_workers_is_seen(models):
    lost = WorkersNews("restarted", "Process 2 was lost. <b>All go on.</b>")
    begin_run(models, lost, WorkersNews("started", "2 processes share each batch."), lost)
    at = open_page("train")
    shown = " ".join(item.value for item in at.warning)
    assert "Process 2 was lost" in shown
    assert "<b>" not in shown.replace("\\<b", "")
    assert "lost 2 times" in shown


def test_phases_are_seen_as_their_last_events_tell():
    corpus, model = view_phases(EVENTS)
    assert (corpus.done, corpus.message) == (True, "Read 3 documents.")
    assert (model.step, model.n_steps, model.done) == (20, 100, False)
    config = cs.TrainConfig()
    per_step = config.language_model_training.batch_size * config.model.n_ctx
    assert seconds_left(model, config) == pytest.approx(80 * per_step / 2000)
    assert seconds_left(corpus, config) is None


def test_after_a_resume_later_figures_replace_earlier_ones():
    frame = curve(EVENTS, "language model")
    assert frame.index.tolist() == [10, 20]
    assert frame["loss"].tolist() == [7.0, 4.0]
    assert curve(EVENTS, "transcoder").empty


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(cs.ConfigError, match="3 heads do not divide a width of 64"):
        make_config(cs.TrainConfig(), Sizes(3, 64, 3, 256, 1024, 1000, 1000), "text", 0.1, "all")


def test_a_model_of_bytes_can_be_chosen(models, monkeypatch):
    del models
    monkeypatch.setattr("pages.ui.train.estimate.measure_speed_apart", measure_speed_apart)
    at = open_page("train")
    words = {m.label: m.value for m in at.metric}["Model parameters"]
    at.radio(key="train_tokens").set_value("bytes").run()
    found = {m.label: m.value for m in at.metric}["Model parameters"]
    assert found == f"{cs.TrainConfig.for_bytes().model.count_parameters():,}" != words


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (61, "61 s"), (600, "10 min"), (7200, "2.0 h")]
)
def test_durations_are_short(seconds, text):
    assert minutes(seconds) == text
