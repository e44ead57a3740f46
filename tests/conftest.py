"""For all tests: one thread each, since tiny models only wait for a second one; and one seed."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded, and for the processes tests start
os.environ["CIRCUITSCOPE_SNOWFLAKE"] = "off"  # the account of whoever runs them is not for tests

import pytest
import torch

from tests import type_checks

torch.set_num_threads(1)
type_checks.install()  # before anything imports the engine


@pytest.fixture(autouse=True)
def seed() -> None:
    """Numbers that a test draws without a generator are the same in every run and every order."""
    torch.manual_seed(0)
