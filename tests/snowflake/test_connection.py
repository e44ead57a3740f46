"""Where settings are found, how a host is looked for, and a login through the real client."""

import json
import socket
import time
from pathlib import Path

import pytest
from snowflake.connector.util_text import construct_hostname

import circuitscope_core as cs
from circuitscope_core.stages import (
    ConnectionSettings,
    connect,
    find_connection,
    forget_session,
    open_store,
    shared_session,
)
from circuitscope_core.stages.connection import _check_reachable


def test_settings_are_shown_without_what_proves_the_user():
    parameters = {"account": "org-acc", "user": "me", "password": "hunter2", "token": "t0ken"}
    found = ConnectionSettings.of("secrets", parameters)
    assert (found.account, found.user, found.host, found.port) == (
        "org-acc",
        "me",
        "org-acc.snowflakecomputing.com",
        443,
    )
    assert "hunter2" not in f"{found} {found!r}"
    assert "t0ken" not in f"{found} {found!r}"


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        ({"account": "org-acc"}, "org-acc.snowflakecomputing.com"),
        ({"account": "ab123.eu-west-1"}, "ab123.eu-west-1.snowflakecomputing.com"),
        ({"account": "ab123", "region": "eu-west-1"}, "ab123.eu-west-1.snowflakecomputing.com"),
        ({"account": "ab123", "region": "us-west-2"}, "ab123.snowflakecomputing.com"),
        ({"account": "ab123.cn-north-1"}, "ab123.cn-north-1.snowflakecomputing.cn"),
        ({"account": "ab123", "host": "private.link"}, "private.link"),
        ({}, ""),
    ],
)
def test_the_host_is_the_one_that_the_connector_calls(settings, host):
    assert ConnectionSettings.of("connections", settings).host == host
    if "account" in settings and "host" not in settings:
        assert construct_hostname(settings.get("region"), settings["account"]) == host


def test_a_port_that_is_no_number_is_told():
    with pytest.raises(cs.StageError, match="The port in f is 'x'"):
        ConnectionSettings.of("connections", {"port": "x"}, "f")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home without settings, a folder to work in, and no variable of Snowflake's."""
    names = ("CONNECTIONS", "DEFAULT_CONNECTION_NAME", "HOST", "ACCOUNT", "HOME")
    for name in names:
        monkeypatch.delenv(f"SNOWFLAKE_{name}", raising=False)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


SECTION = 'account = "{}"\nuser = "u"\npassword = "p"\n'


@pytest.mark.usefixtures("home")
def test_nothing_found_is_told_and_says_where_to_write():
    assert find_connection() is None
    with pytest.raises(cs.StageError, match=r"\.streamlit/secrets\.toml.*connections\.toml"):
        open_store("@db.s.stage")


def test_settings_are_looked_for_in_order(home, monkeypatch):
    monkeypatch.setenv("SNOWFLAKE_HOST", "inner.host")
    monkeypatch.setenv("SNOWFLAKE_ACCOUNT", "INNER")
    monkeypatch.setenv("SNOWFLAKE_WAREHOUSE", "WH")
    token = home / "token"
    put(token, "t0ken")
    monkeypatch.setattr("circuitscope_core.stages.connection.TOKEN_FILE", token)
    found = find_connection()
    assert (found.kind, found.account, found.host) == ("container", "INNER", "inner.host")
    assert found.parameters["warehouse"] == "WH"
    assert "t0ken" not in str(found.parameters)  # read when it is used, since it is renewed
    put(home / ".snowflake/config.toml", "[connections.default]\n" + SECTION.format("from-config"))
    assert (find_connection().kind, find_connection().account) == ("connections", "from-config")
    put(home / ".snowflake/connections.toml", "[default]\n" + SECTION.format("from-connections"))
    assert find_connection().account == "from-connections"
    put(home / ".streamlit/secrets.toml", "[connections.snowflake]\n" + SECTION.format("of-home"))
    assert (find_connection().kind, find_connection().account) == ("secrets", "of-home")
    put(Path(".streamlit/secrets.toml"), "[connections.snowflake]\n" + SECTION.format("of-here"))
    assert find_connection().account == "of-here"


def test_the_default_connection_is_the_one_that_is_named(home, monkeypatch):
    both = f"[default]\n{SECTION.format('first')}[other]\n{SECTION.format('second')}"
    put(home / ".snowflake/connections.toml", both)
    assert find_connection().account == "first"
    put(home / ".snowflake/config.toml", 'default_connection_name = "other"\n')
    assert find_connection().account == "second"
    monkeypatch.setenv("SNOWFLAKE_DEFAULT_CONNECTION_NAME", "default")
    assert find_connection().account == "first"
    monkeypatch.setenv("SNOWFLAKE_DEFAULT_CONNECTION_NAME", "third")
    with pytest.raises(cs.StageError, match=r"no connection 'third'.*it has default, other"):
        find_connection()


@pytest.mark.usefixtures("home")
def test_a_file_of_settings_that_cannot_be_read_is_told_without_its_contents():
    put(Path(".streamlit/secrets.toml"), 'password = "hunter2\n')
    with pytest.raises(cs.StageError, match=r"secrets\.toml is not valid TOML") as caught:
        find_connection()
    assert "hunter2" not in str(caught.value)


def test_a_host_that_is_not_there_is_told_within_three_seconds(home):
    put(home / ".snowflake/connections.toml", "[default]\n" + SECTION.format("no-such.account"))
    started = time.monotonic()
    with pytest.raises(cs.StageError) as caught:
        connect()
    assert time.monotonic() - started < 3
    said = str(caught.value)
    host = "no-such.account.snowflakecomputing.com"
    assert said.startswith(f"The account no-such.account cannot be reached: its host {host} ")
    assert said.endswith(". Check the account name, the network, and a proxy or VPN.")


@pytest.mark.usefixtures("home")
def test_a_host_that_refuses_or_is_silent_is_told():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening
        settings = {"account": "a", "host": "127.0.0.1", "port": taken.getsockname()[1]}
        found = ConnectionSettings.of("connections", settings)
        with pytest.raises(cs.StageError, match="refuses connections to port"):
            connect(found)


@pytest.mark.usefixtures("home")
def test_a_host_that_does_not_answer_is_given_up_after_two_seconds(monkeypatch):
    def silent(*_, **__):
        time.sleep(2.2)
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", silent)
    started = time.monotonic()
    with pytest.raises(cs.StageError, match=r"its host h did not answer within 2 s\. Check"):
        connect(ConnectionSettings.of("connections", {"account": "a", "host": "h"}))
    assert 1.9 < time.monotonic() - started < 3


def test_a_proxy_may_know_hosts_that_this_machine_does_not(home, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    asked = []
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: asked.append(1))
    settings = ConnectionSettings.of("connections", {"account": "a"})
    _check_reachable(settings)
    assert not asked
    assert home


@pytest.mark.usefixtures("home")
def test_settings_without_an_account_are_told():
    with pytest.raises(cs.StageError, match="names no account"):
        connect(ConnectionSettings.of("secrets", {"user": "u"}, "secrets.toml"))


def connections_file(server):
    values = {name: value for name, value in server.settings().items() if name != "password"}
    parameters = values.pop("session_parameters")
    lines = ["[default]", 'password = "not-a-secret"']
    lines += [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    lines += ["[default.session_parameters]"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in parameters.items()]
    return "\n".join(lines)


@pytest.mark.contract
def test_a_stage_is_opened_by_the_connection_that_is_found(home, server):
    put(home / ".snowflake/connections.toml", connections_file(server))
    folder = server.account.make_stage("CS", "APP", "FOUND")
    (folder / "x.txt").write_text("x")
    try:
        store = open_store("@cs.app.found")
        assert [file.name for file in store.list()] == ["x.txt"]
        assert shared_session() is store.session
        assert open_store("@cs.app.found").session is store.session
    finally:
        forget_session()
    forget_session()


@pytest.mark.contract
def test_a_token_of_a_container_is_read_at_login(home, server, monkeypatch):
    token = home / "token"
    put(token, "fresh-t0ken\n")
    monkeypatch.setattr("circuitscope_core.stages.connection.TOKEN_FILE", token)
    monkeypatch.setenv("SNOWFLAKE_HOST", "127.0.0.1")
    monkeypatch.setenv("SNOWFLAKE_ACCOUNT", "fakesnow")
    found = find_connection()
    port = server.settings()["port"]
    parameters = {**found.parameters, "port": port, "protocol": "http"}
    session = connect(ConnectionSettings.of("container", parameters))
    assert server.logins[-1]["AUTHENTICATOR"] == "OAUTH"
    assert server.logins[-1]["TOKEN"] == "fresh-t0ken"
    session.close()


@pytest.mark.contract
def test_inside_a_warehouse_its_own_session_is_taken(session, monkeypatch):
    monkeypatch.setattr("circuitscope_core.stages.connection.in_warehouse", lambda: True)
    assert find_connection().kind == "warehouse"
    assert connect() is session
