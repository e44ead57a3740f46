"""Zeros that take memory only where they are written to."""

import sys

import psutil
import pytest
import torch

from circuitscope_core.attribution.lazy_memory import lazy_zeros


@pytest.mark.parametrize("shape", [(0,), (3,), (0, 5), (7, 5), (2, 3, 4)])
def test_they_are_zeros_of_the_shape_asked_for(shape):
    zeros = lazy_zeros(*shape)
    assert torch.equal(zeros, torch.zeros(shape))
    zeros += 1
    assert torch.equal(zeros, torch.ones(shape))


@pytest.mark.skipif(sys.platform != "linux", reason="measures Linux' resident memory")
def test_only_what_is_written_to_takes_memory():
    process = psutil.Process()
    before = process.memory_info().rss
    zeros = lazy_zeros(1000, 100_000)
    zeros[:, :10_000] = 1
    grown = process.memory_info().rss - before
    assert 40e6 <= grown <= 60e6
    assert float(zeros.sum()) == 1e7
