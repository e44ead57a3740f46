"""The Train page, without a browser."""

import json
from pathlib import Path

import pytest
import streamlit as st

import circuitscope_core as cs
from circuitscope_core.launch import backend, measure_speed_apart
from circuitscope_core.training import (
    PhaseFinished,
    PhaseStarted,
    Progress,
    RunFolder,
    TrainingCancelled,
    TrainingFailed,
    WorkersNews,
)
from pages.ui.train.form import Sizes, make_config, minutes
from pages.ui.train.progress import curve, seconds_left, view_phases
from tests.app.opening import open_page

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
    monkeypatch.setattr("pages.ui.train.form.measure_speed_apart", measure_speed_apart)
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

    monkeypatch.setattr("pages.ui.train.form.measure_speed_apart", fail)
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


@pytest.mark.usefixtures("models")
def test_a_path_is_needed_before_the_start():
    at = open_page("train")
    at.radio(key="train_source").set_value("path").run()
    assert at.button(key="train_start").disabled
    at.text_input(key="train_path").set_value("/nowhere/x.parquet").run()
    assert not at.button(key="train_start").disabled


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
    monkeypatch.setattr("pages.ui.train.form.measure_speed_apart", measure_speed_apart)
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
