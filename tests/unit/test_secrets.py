"""Passwords and tokens of the machine are in no written file and in nothing that is said."""

import json
import logging
import os
import subprocess
import sys

import pytest

import circuitscope_core as cs
from circuitscope_core.stages.connection import ConnectionSettings, find_connection
from tests.app.opening import open_page
from tests.test_architecture import ROOT
from tests.texts import tiny_config, write_parquet

SECRET = "c4nary-9f2e"
ENVIRONMENT = dict.fromkeys(
    (
        *("SNOWFLAKE_PASSWORD", "SNOWFLAKE_TOKEN", "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE"),
        *("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY"),
    ),
    SECRET,
)


def files_with_the_secret(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return [str(path) for path in files if SECRET.encode() in path.read_bytes()]


def test_a_training_and_what_is_made_of_it_hold_no_secret_of_the_environment(tmp_path):
    source = write_parquet(tmp_path / "t.parquet")
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps(tiny_config().to_json()))
    out, page = tmp_path / "models" / "mine", tmp_path / "graph.html"
    train = ["train", "--source", source, "--out", out, "--config", settings, "--json"]
    trace = ["trace", "--bundle", out, "--prompt", "The mill", "--html", page]
    for arguments in (train, trace, ["trace", "--bundle", tmp_path / "missing"]):
        done = subprocess.run(
            [sys.executable, "-m", "circuitscope_core", *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, **ENVIRONMENT},
            capture_output=True,
            text=True,
            check=False,
        )
        assert SECRET not in done.stdout + done.stderr
    assert page.is_file()
    assert (out / "training_log.jsonl").is_file()
    assert files_with_the_secret(tmp_path) == []


def test_a_connection_that_fails_says_nothing_that_proves_the_user(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    parameters = {
        **{"account": "org-acc", "user": "me", "host": "127.0.0.1", "port": 9, "protocol": "http"},
        **dict.fromkeys(("password", "token", "private_key_file_pwd", "passcode"), SECRET),
    }
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in parameters.items())
    file = tmp_path / "connections.toml"
    file.write_text(f"[default]\n{lines}")
    file.chmod(0o600)
    monkeypatch.setenv("SNOWFLAKE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert SECRET in str(find_connection().parameters)
    with pytest.raises(cs.StageError) as caught:
        cs.load_bundle("@db.s.stage/model")
    assert SECRET not in f"{caught.value}{caught.value.__cause__!r}{find_connection()!r}"
    assert SECRET not in caplog.text
    assert SECRET not in repr(ConnectionSettings.of("connections", parameters))


def test_no_page_shows_a_secret_of_the_environment(monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for name in ("home", "train", "models", "prompt"):
        at = open_page(name)
        said = "".join(str(getattr(node, "proto", "")) for node in at._tree)
        assert at.title[0].value in said  # all that the page says is looked at
        assert SECRET not in said + str(dict(at.query_params))
