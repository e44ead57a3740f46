"""Names of places to train, their requirements, and sources that mean the same elsewhere."""

import contextlib
from importlib.metadata import PackageNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

import circuitscope_core as cs
from circuitscope_core.launch import (
    Backend,
    available_backends,
    backend,
    parse_backend,
    run_training,
)
from circuitscope_core.launch.backend import require
from circuitscope_core.launch.run import absolute_sources
from circuitscope_core.pipeline import TrainingPlan, check_share
from tests.texts import tiny_config


@pytest.mark.parametrize(
    ("text", "backend"),
    [
        ("local", Backend()),
        (" procs:2 ", Backend("procs", 2)),
        ("ray:3", Backend("ray", 3)),
        ("ray:8@auto", Backend("ray", 8, "auto")),
        ("ray:8@ray://head.example.org:10001", Backend("ray", 8, "ray://head.example.org:10001")),
        ("snowflake:MY_POOLx4", Backend("snowflake", 4, "MY_POOL")),
        ("snowflake:x_x2x3", Backend("snowflake", 3, "x_x2")),
    ],
)
def test_a_text_names_a_place(text, backend):
    assert parse_backend(text) == backend
    assert str(backend) == text.strip()


NO_PLACES = """
Local procs procs: procs:-1 procs:2.5 procs:٢ ray ray:2@ ray:2@x ray:2@ray://h ray:2@http://h:1
snowflake:POOL snowflake:x2 snowflake:a;bx2 snowflake:a.bx2 local:1 procs:2,--store
"""


@pytest.mark.parametrize("text", ["", "procs:2\n--store", *NO_PLACES.split()])
def test_another_text_is_answered_with_all_forms(text):
    with pytest.raises(
        cs.ConfigError, match=r"is no place to train\. Write local, procs:N .*ray:N"
    ):
        parse_backend(text)


@pytest.mark.parametrize("text", ["procs:0", "ray:513", "snowflake:Px999999999"])
def test_a_number_of_workers_has_bounds(text):
    with pytest.raises(cs.ConfigError, match=r"workers; use 1 to 512"):
        parse_backend(text)


@given(st.text(max_size=40))
def test_any_text_is_a_place_or_refused(text):
    with contextlib.suppress(cs.ConfigError):
        assert parse_backend(text) == parse_backend(str(parse_backend(text)))


def test_every_kind_of_place_says_what_it_needs(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(backend, "version", missing)
    choices = {choice.kind: choice for choice in available_backends()}
    assert list(choices) == ["local", "procs", "ray", "snowflake"]
    assert choices["local"].needs == choices["procs"].needs == ""
    assert "pip install -r requirements-cluster.txt" in choices["ray"].needs
    assert "snowflake-ml-python is not installed" in choices["snowflake"].needs
    for choice in choices.values():
        assert parse_backend(choice.example).kind == choice.kind


def test_a_compute_pool_needs_a_connection_and_a_stage(monkeypatch, tmp_path):
    monkeypatch.setattr(backend, "version", lambda _: "2.0")
    monkeypatch.setattr(backend, "find_connection", lambda: None)
    (needs,) = [choice.needs for choice in available_backends() if choice.kind == "snowflake"]
    assert "no connection to Snowflake" in needs
    with pytest.raises(cs.ConfigError, match=r"snowflake:Px2 cannot be used here\. There is no"):
        cs.launch(tiny_config(), out=tmp_path / "x", backend="snowflake:Px2")
    monkeypatch.setattr(backend, "find_connection", lambda: object())
    plan = TrainingPlan(tiny_config(), "builtin", tmp_path / "x")
    with pytest.raises(cs.ConfigError, match=r"needs a place .* --store @database"):
        list(run_training(plan, parse_backend("snowflake:Px2")))


def test_more_workers_than_sequences_are_refused():
    check_share(tiny_config(), 8)
    with pytest.raises(
        cs.TrainingError, match=r"9 workers cannot share .*batch_size = 8.*at most 8"
    ):
        check_share(tiny_config(), 9)


def test_sources_mean_the_same_in_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given_ = ["builtin", "a/b.parquet", "hf://datasets/x/y.parquet", "@db.s.stage/x"]
    assert absolute_sources(given_) == (
        "builtin",
        str(tmp_path / "a" / "b.parquet"),
        "hf://datasets/x/y.parquet",
        "@db.s.stage/x",
    )
    with pytest.raises(cs.TrainingError, match="exists in this process only"):
        absolute_sources([cs.BuiltinSource()])
    with pytest.raises(cs.TrainingError, match="exists in this process only"):
        absolute_sources(cs.BuiltinSource())


def test_an_app_on_a_warehouse_says_that_it_cannot_train(monkeypatch):
    monkeypatch.setattr(backend, "in_warehouse", lambda: True)
    assert all("cannot train" in choice.needs for choice in available_backends())
    with pytest.raises(cs.ConfigError, match="from a notebook or a shell"):
        require(parse_backend("local"))
