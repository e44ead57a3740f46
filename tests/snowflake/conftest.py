"""One server and one session for all tests; each test has a stage of its own."""

import itertools

import pytest

from circuitscope_core.stages import ConnectionSettings, StageLocation, StageStore, connect
from tests.snowflake.stage_server import stage_server

numbers = itertools.count(1)


@pytest.fixture(scope="session")
def running(tmp_path_factory):
    with stage_server(tmp_path_factory.mktemp("account")) as server:
        yield server


@pytest.fixture
def server(running):
    running.account.reset()
    running.drops.clear()
    running.login_error = None
    yield running
    running.account.reset()
    running.drops.clear()
    running.login_error = None


@pytest.fixture
def account(server):
    return server.account


@pytest.fixture(scope="session")
def session(running):
    session = connect(ConnectionSettings.of("connections", running.settings()))
    yield session
    session.close()


@pytest.fixture
def stage(account):
    """Names and folder of a stage that no other test uses."""
    names = ("CS", "APP", f"STAGE_{next(numbers)}")
    return names, account.make_stage(*names)


@pytest.fixture
def files(stage):
    return stage[1]


@pytest.fixture
def waits():
    """How long a store waited between tries; it does not really wait."""
    return []


@pytest.fixture
def store(session, stage, waits):
    return StageStore(session, StageLocation(stage[0]), wait=waits.append)
