"""Damaged inputs are refused in words or read, and never end in a traceback; see bench/fuzz.py."""

import pytest

from tests.fuzz.boundaries import BOUNDARIES
from tests.fuzz.running import run_inputs

INPUTS = {"bundle": 60, "saved_graph": 150, "tokenizer": 150, "transcoder": 150}
"""Inputs of the slower boundaries; the others get 300."""


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", BOUNDARIES)
def test_damaged_inputs_are_refused_or_read(name, tmp_path):
    faults = [fault for fault in run_inputs(name, range(INPUTS.get(name, 300)), tmp_path) if fault]
    assert faults == []
