"""Batches of rows: on every core, in little memory, and the same however they are cut."""

import os
import subprocess
import sys
import threading

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core import cores
from circuitscope_core.attribution import row_batches, sources
from circuitscope_core.attribution.row_batches import split_targets
from circuitscope_core.language_model import Compute
from circuitscope_core.prompt_pass import run_prompt
from tests.samples import PROMPT, tiny_replacement


@pytest.fixture(scope="module")
def replacement():
    return tiny_replacement(n_layers=3)


@pytest.fixture(scope="module")
def expected(replacement):
    return cs.attribute(replacement, PROMPT)


def assert_same(graph, expected):
    torch.testing.assert_close(graph.adjacency, expected.adjacency, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(graph.bias, expected.bias, rtol=1e-4, atol=1e-6)


def test_every_feature_is_in_one_batch_with_its_neighbours(replacement, monkeypatch):
    clean = run_prompt(replacement, PROMPT)
    monkeypatch.setattr(Compute, "rows_at_once", lambda _, n_pos, __: 100 // n_pos)
    every = torch.arange(len(clean.features))
    batches = split_targets(clean, every)
    assert torch.equal(torch.cat(batches).sort().values, every)
    last = 0
    for nodes in batches:
        positions = clean.features[nodes, 1]
        assert bool((nodes.diff() > 0).all())
        assert int(positions.min()) >= last
        assert len(nodes) <= 100 // (int(positions.max()) + 1) + 1
        last = int(positions.max())


@pytest.mark.parametrize("n_threads", [1, 3])
def test_cores_share_the_batches_and_leave_pytorchs_threads_alone(
    replacement, expected, monkeypatch, n_threads
):
    before = torch.get_num_threads()
    monkeypatch.setattr(Compute, "rows_at_once", lambda *_: 20)
    used, together = set(), row_batches._rows_together

    def noted(*arguments):
        used.add((threading.get_ident(), torch.get_num_threads()))
        return together(*arguments)

    monkeypatch.setattr(row_batches, "_rows_together", noted)
    monkeypatch.setattr(sources, "n_cores", lambda: n_threads)
    monkeypatch.setattr(sources, "NUMBERS_FOR_CORES", 0)
    assert_same(cs.attribute(replacement, PROMPT), expected)
    assert {threads for _, threads in used} == {1}
    assert (threading.get_ident() in {thread for thread, _ in used}) == (n_threads == 1)
    assert torch.get_num_threads() == before


THREADS = """
import os, torch
from circuitscope_core.cores import map_on_cores
torch.set_num_threads(2)
matrix = torch.randn(300, 300)
before = len(os.listdir("/proc/self/task"))
list(map_on_cores(lambda _: matrix.exp() @ matrix, range(8), 2))
print(len(os.listdir("/proc/self/task")) - before, torch.get_num_threads())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in Linux's /proc")
def test_a_core_gets_no_helpers_that_it_would_wait_for():
    environment = os.environ | {"OMP_NUM_THREADS": "2", "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-c", THREADS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "2"]


def test_threads_take_over_whether_gradients_are_wanted():
    for mode, wanted in ((torch.no_grad(), False), (torch.enable_grad(), True)):
        with mode:
            found = list(cores.map_on_cores(lambda _: torch.is_grad_enabled(), range(4), 2))
        assert found == [wanted] * 4


def test_results_come_in_order_and_a_failure_ends_the_work():
    def halved(number):
        if number == 7:
            raise ValueError("seven")
        return number / 2

    assert list(cores.map_on_cores(halved, range(6), 3)) == [0, 0.5, 1, 1.5, 2, 2.5]
    with pytest.raises(ValueError, match="seven"):
        list(cores.map_on_cores(halved, range(20), 3))
    stopped = cores.map_on_cores(halved, range(6), 2)
    assert next(stopped) == 0
    stopped.close()


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory: 9 bytes")],
    ids=["device", "host"],
)
def test_without_memory_batches_are_halved(replacement, expected, monkeypatch, error):
    together = row_batches._rows_together

    def short_of_memory(clean, sources, nodes):
        if len(nodes) > 5:
            raise error
        return together(clean, sources, nodes)

    monkeypatch.setattr(row_batches, "_rows_together", short_of_memory)
    assert_same(cs.attribute(replacement, PROMPT), expected)


def test_memory_that_holds_no_row_is_an_error_with_a_remedy(replacement, monkeypatch):
    def no_memory(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(row_batches, "_rows_together", no_memory)
    with pytest.raises(cs.GraphError, match=r"does not hold .* Give a shorter prompt"):
        cs.attribute(replacement, PROMPT)


def test_another_error_stays_what_it_is(replacement, monkeypatch):
    def broken(*_):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(row_batches, "_rows_together", broken)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        cs.attribute(replacement, PROMPT)
