"""Trainings that nothing happens to, run once for all that is compared with them."""

import os

import pytest
from filelock import FileLock

from tests.cluster.trainings import longer_config, plan_of, run, write_events


def trained(tmp_path_factory, name, backend):
    """Return the folder of a bundle that the first process of a test run to ask for it trains."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # the folder of all processes is one above
        folder = folder.parent
    place = folder / f"trained_{name}"
    with FileLock(folder / f"trained_{name}.lock"):
        place.mkdir(exist_ok=True)
        plan = plan_of(place, name, longer_config())
        if not plan.out.exists():
            write_events(plan.out, run(plan, backend))
    return plan.out


@pytest.fixture(scope="session")
def by_one(tmp_path_factory):
    """The bundle of a training by one process."""
    return trained(tmp_path_factory, "one", "local")


@pytest.fixture(scope="session")
def by_two(tmp_path_factory):
    """The bundle of the same training by two processes."""
    return trained(tmp_path_factory, "two", "procs:2")
