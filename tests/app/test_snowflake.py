"""The app with a connection to Snowflake: the real client, a server on this machine."""

import shutil
import socket
import time
from pathlib import Path

import pytest
import streamlit as st
import torch

import circuitscope_core as cs
from pages.ui.shared.snowflake import begin_attempt
from pages.ui.train.stage_models import read_bundles
from tests.app.opening import open_page
from tests.snowflake.settings import write_settings
from tests.snowflake.stage_server import stage_server
from tests.texts import write_parquet

ROOT = Path(__file__).parents[2]
USABLE_SECONDS = 3.0
HOSTILE = "<img src=x onerror=alert(1)> ![x](http://evil/a.png)"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with stage_server(tmp_path_factory.mktemp("account")) as server:
        folder = server.account.make_stage("CIRCUITSCOPE", "APP", "PILE")
        write_parquet(folder / "a.parquet")
        server.account.make_stage("Other", "my schema", 'quoted "stage"')
        server.account.objects["EMPTY"] = {"NOTHING": set()}
        yield server


@pytest.fixture
def connected(running, tmp_path, monkeypatch):
    running.account.reset()
    use_settings(monkeypatch, tmp_path, running.settings())
    return running


def use_settings(monkeypatch, folder, settings):
    """Let the app find a connection."""
    for name, value in write_settings(folder, settings).items():
        monkeypatch.setenv(name, value)
    begin_attempt.clear()
    st.cache_data.clear()


def open_connected(page):
    at = open_page(page)
    attempt = begin_attempt()
    if attempt is not None:
        attempt.session.exception(timeout=30)
        at.run()
    assert not at.exception
    return at


def choose_stage_text(at):
    return at.radio(key="train_source").set_value("stage").run()


def said(at):
    return " ".join(item.value for item in (*at.info, *at.error, *at.warning, *at.caption))


def not_connected(at):
    """Return the reason that the sidebar gives."""
    box = next(item for item in at.expander if item.label == "Snowflake: not connected")
    return box.markdown[0].value.replace("\\", "")


@pytest.fixture(autouse=True)
def leave_no_session():
    yield
    attempt = begin_attempt()
    if attempt is not None and attempt.session.exception(timeout=30) is None:
        attempt.session.result().close()
    begin_attempt.clear()


def test_the_account_is_named_in_the_sidebar(connected):
    at = open_connected("home")
    assert "Snowflake: fakesnow" in at.sidebar.caption[-1].value
    assert connected.settings()["password"] not in said(at)


@pytest.mark.usefixtures("connected")
def test_a_stage_is_found_by_browsing_and_its_rows_are_seen_before_the_start():
    at = choose_stage_text(open_connected("train"))
    assert at.selectbox(key="train_database").value == "CIRCUITSCOPE"
    assert at.selectbox(key="train_schema").value == "APP"
    assert at.selectbox(key="train_stage").value == "PILE"
    assert "Role **ANALYST** · Warehouse **TEST\\_WH**" in said(at)
    assert at.dataframe[0].value["File"].tolist() == ["a.parquet"]
    assert not at.button(key="train_start").disabled
    at.toggle(key="train_stage_preview").set_value(True).run()
    assert len(at.dataframe[1].value) > 0


def test_names_with_signs_are_quoted_and_an_empty_stage_says_what_to_do(connected):
    at = choose_stage_text(open_connected("train"))
    at.selectbox(key="train_database").set_value("Other").run()
    assert at.selectbox(key="train_schema").value == "my schema"
    assert "holds no Parquet file" in said(at)
    assert at.button(key="train_start").disabled
    listed = 'LIST \'@"Other"."my schema"."quoted ""stage"""\''
    assert listed in connected.account.statements


@pytest.mark.usefixtures("connected")
def test_where_there_is_no_stage_the_sql_that_makes_one_is_offered():
    at = choose_stage_text(open_connected("train"))
    at.selectbox(key="train_database").set_value("EMPTY").run()
    assert 'CREATE STAGE IF NOT EXISTS "EMPTY"."NOTHING"."PILE"' in at.code[0].value
    assert at.button(key="train_start").disabled


@pytest.mark.usefixtures("connected")
def test_a_place_that_is_typed_is_checked_where_it_is_typed():
    at = choose_stage_text(open_connected("train"))
    at.segmented_control(key="train_stage_way").set_value("Type the place").run()
    at.text_input(key="train_stage_place").set_value("@nowhere.app.pile").run()
    assert "does not exist, or your role may not see it" in said(at)
    assert 'CREATE DATABASE IF NOT EXISTS "NOWHERE"' in at.code[0].value
    at.text_input(key="train_stage_place").set_value("@a.b.c.d").run()
    assert "names before the path" in said(at)
    assert at.button(key="train_start").disabled


@pytest.fixture
def models(connected, tmp_path, monkeypatch):
    folder = tmp_path / "models"
    shutil.copytree(ROOT / "models" / "demo", folder / "demo")
    monkeypatch.setattr("pages.ui.shared.models.MODELS", folder)
    connected.account.make_stage("CIRCUITSCOPE", "APP", "MODELS")
    read_bundles.clear()  # what another test's stage held
    return folder


def test_a_model_is_kept_in_a_stage_and_fetched_by_another_app(connected, models):
    at = open_connected("train")
    assert "The stage holds no model yet" in said(at)
    at.selectbox(key="train_keep").set_value("demo").run()
    at.button(key="train_keep_start").click().run()
    assert "is in @CIRCUITSCOPE.APP.MODELS" in at.success[0].value.replace("\\", "")
    sent = [item for item in connected.account.statements if item.startswith("PUT")]
    assert sent
    assert all("auto_compress = False" in item for item in sent)
    assert "bundle.json" in sent[-1]
    before = (models / "demo" / "bundle.json").read_bytes()
    shutil.rmtree(models / "demo")
    at = open_connected("train")
    at.button(key="train_fetch_start").click().run()
    assert (models / "demo" / "bundle.json").read_bytes() == before
    assert cs.load_bundle(models / "demo").metadata.name == "demo"


def test_a_hugging_face_model_in_a_stage_is_added(connected, models):
    pytest.importorskip("transformers")
    from tests.pretrained.test_model_library import save_transcoder
    from tests.pretrained_families import random_module

    stage = connected.account.make_stage("CIRCUITSCOPE", "APP", "WEIGHTS")
    random_module("LLaMA-3", torch.float32).save_pretrained(stage / "llama")
    save_transcoder(stage / "features")
    at = open_connected("models")
    assert "is copied beside the models" in said(at)
    place = "@CIRCUITSCOPE.APP.WEIGHTS"
    at.text_input(key="models_source").set_value(f"{place}/llama")
    at.text_input(key="models_transcoder").set_value(f"{place}/features")
    at.button[-1].click().run()
    assert not at.exception
    assert "“llama” was added" in at.success[0].value
    assert (models / ".weights" / "llama" / "model" / "model.safetensors").is_file()
    assert cs.load_bundle(models / "llama").model.shape.n_layers == 3


@pytest.mark.usefixtures("connected")
def test_a_copy_of_a_model_never_replaces_another_one(models):
    at = open_connected("train")
    at.text_input(key="train_models_place").set_value("@CIRCUITSCOPE.APP.MODELS/copies").run()
    at.button(key="train_keep_start").click().run()
    at.run()
    for way in ("fetch", "keep"):
        field = at.text_input(key=f"train_{way}_name_demo-2")
        assert field.value == "demo-2"
        field.set_value("demo").run()
        assert at.button(key=f"train_{way}_start").disabled
    assert "would replace it" in said(at)
    at.text_input(key="train_fetch_name_demo-2").set_value("demo-2").run()
    at.button(key="train_fetch_start").click().run()
    assert cs.load_bundle(models / "demo-2").metadata.name == "demo"


def test_a_model_that_breaks_off_on_its_way_leaves_nothing_behind(connected, models):
    open_connected("train").button(key="train_keep_start").click().run()
    shutil.rmtree(models / "demo")
    connected.account.fail("^GET.*W_dec", "003001", "Insufficient privileges", state="42501")
    at = open_connected("train")
    at.button(key="train_fetch_start").click().run()
    assert "Your role may not do that" in said(at)
    assert list(models.iterdir()) == []


@pytest.mark.usefixtures("models")
def test_a_compute_pool_is_chosen_by_name(monkeypatch):
    requests = []
    monkeypatch.setattr("pages.ui.train.run.start_training", requests.append)
    at = open_connected("train").radio(key="train_where").set_value("snowflake").run()
    at.number_input(key="train_where_nodes").set_value(2).run()
    at.button(key="train_start").click().run()
    (request,) = requests
    assert request.backend == "snowflake:CS_POOLx2"
    assert request.store == "@CIRCUITSCOPE.APP.MODELS/runs/mine"


def test_what_snowflake_says_is_shown_as_text(connected):
    connected.account.fail(
        "^LIST", "003001", f"Insufficient privileges on {HOSTILE}", state="42501"
    )
    at = choose_stage_text(open_connected("train"))
    shown = next(item.value for item in at.error if "Your role may not do that" in item.value)
    assert "<img" not in shown.replace("\\<img", "")
    assert "![" not in shown.replace("\\!\\[", "")


def test_a_refused_login_is_a_reason_and_a_second_try_may_work(connected):
    connected.login_error = ("390100", "Incorrect username or password was specified.")
    at = open_connected("train")
    assert "refused the user name or what proves it" in not_connected(at)
    assert "refused the user name" in said(choose_stage_text(at))
    connected.login_error = None
    at.button(key="snowflake_again").click().run()
    begin_attempt().session.result(timeout=30)
    at.run()
    assert at.selectbox(key="train_stage").value == "PILE"


@pytest.mark.parametrize("page", ["home", "train"])
@pytest.mark.parametrize("host", ["silent", "unknown"])
def test_an_account_that_cannot_be_reached_keeps_no_page_waiting(
    running, tmp_path, monkeypatch, page, host
):
    with socket.socket() as silent:  # takes connections and never answers, as a firewall may
        silent.bind(("127.0.0.1", 0))
        settings = running.settings(port=silent.getsockname()[1])
        if host == "unknown":
            settings |= {"host": "no-such-account.invalid", "port": 443}
        use_settings(monkeypatch, tmp_path, settings)
        # what training would take is measured with real steps, account or not
        monkeypatch.setattr("pages.ui.train.train_form.show_estimate", lambda _: None)
        started = time.perf_counter()
        at = open_page(page)
        assert time.perf_counter() - started < USABLE_SECONDS
        assert not at.error
        problem = begin_attempt().session.exception(timeout=USABLE_SECONDS)
        assert "cannot be reached: its host" in str(problem)
        at.run()
        assert "cannot be reached" in not_connected(at)


def test_without_a_connection_the_page_says_how_to_get_one(tmp_path, monkeypatch):
    monkeypatch.setenv("SNOWFLAKE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CIRCUITSCOPE_SNOWFLAKE", "on")
    begin_attempt.clear()
    at = choose_stage_text(open_connected("train"))
    assert "snow connection add" in at.info[0].value


def test_a_broken_file_of_connections_is_a_warning_and_no_end(tmp_path, monkeypatch):
    (tmp_path / "connections.toml").write_text("[default\n", encoding="utf-8")
    monkeypatch.setenv("SNOWFLAKE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CIRCUITSCOPE_SNOWFLAKE", "on")
    begin_attempt.clear()
    at = open_connected("home")
    assert "not valid TOML" in not_connected(at)
