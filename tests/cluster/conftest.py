"""Trainings that nothing happens to, run once for all that is compared with them."""

import pytest

from tests.cluster.trainings import longer_config, plan_of, run


@pytest.fixture(scope="session")
def by_one(tmp_path_factory):
    """The bundle of a training by one process."""
    plan = plan_of(tmp_path_factory.mktemp("by_one"), "one", longer_config())
    run(plan, "local")
    return plan.out


@pytest.fixture(scope="session")
def by_two(tmp_path_factory):
    """The bundle of the same training by two processes."""
    plan = plan_of(tmp_path_factory.mktemp("by_two"), "two", longer_config())
    run(plan, "procs:2")
    return plan.out
