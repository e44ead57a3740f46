"""Numbers that processes of one machine add up in common memory, or send where they cannot."""

import multiprocessing
import os
from pathlib import Path

import pytest
import torch

from circuitscope_core.training import shared_memory
from circuitscope_core.training.shared_memory import MappedNumbers, SentNumbers, summed_numbers
from circuitscope_core.training.workers import ALONE, GroupWorkers

CPU = torch.device("cpu")
CASES = {2: ((1001, None), (5, 1), (5, 0)), 3: ((2, None), (7, None))}
"""By the number of processes: how many numbers, and the process that finds no common file."""
pytestmark = pytest.mark.skipif(
    not shared_memory.MEMORY.is_dir(),
    reason="common memory is a folder of Linux, and numbers are sent elsewhere",
)


def added_up(rank, world, meeting, results, all_done):
    """Add numbers up in one of several processes, twice a case, and put the sums in a queue."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=world
    )
    found = {case: sums_of(GroupWorkers(rank, world), *case) for case in CASES[world]}
    results.put((rank, found))
    all_done.wait(120)  # who leaves too early fails the others' last sum
    os._exit(0)  # the others may be gone by now: no farewell, which would wait for them


def sums_of(workers, n, missing):
    """Return how numbers were added up, whether they began at 0, and the two sums."""
    with pytest.MonkeyPatch.context() as patch:
        if workers.rank == missing:  # as on another machine, which has no such file
            patch.setattr(shared_memory, "_map", lambda *_: None)
        numbers = summed_numbers(workers, n, CPU)
    found = [isinstance(numbers, MappedNumbers), bool((numbers.own == 0).all())]
    for step in (1, 2):
        numbers.own.copy_(step * 10.0**workers.rank * torch.arange(1, n + 1))
        numbers.add_up()
        found.append(numbers.own.tolist())
    return found


@pytest.fixture(scope="module", params=CASES)
def in_processes(request, tmp_path_factory):
    """The sums of every case in each of several processes, which have ended."""
    world, before = request.param, files()
    context = multiprocessing.get_context("spawn")
    results, all_done = context.Queue(), context.Event()
    shared = (world, tmp_path_factory.mktemp("group") / "meeting", results, all_done)
    started = [context.Process(target=added_up, args=(rank, *shared)) for rank in range(world)]
    for process in started:
        process.start()
    found = dict(results.get(timeout=120) for _ in started)
    all_done.set()
    for process in started:
        process.join(60)
        assert process.exitcode == 0
    assert files() <= before
    return found


def files():
    return set(shared_memory.MEMORY.glob("circuitscope-*"))


def test_all_processes_have_the_sum_and_leave_no_file(in_processes):
    world = len(in_processes)
    for n, missing in CASES[world]:
        for rank in range(world):
            mapped, zeros, *sums = in_processes[rank][n, missing]
            assert mapped == (missing is None)
            assert zeros
            for step, found in zip((1, 2), sums, strict=True):
                total = step * sum(10.0**other for other in range(world))
                assert found == [total * number for number in range(1, n + 1)]


class Told(GroupWorkers):
    """The only process of a group of two, which the other always agrees with."""

    def add_up(self, values):
        values.mul_(2)

    def broadcast(self, data):
        return data


def test_without_room_numbers_are_sent(monkeypatch, tmp_path):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr(shared_memory, "MEMORY", tmp_path)
    numbers = summed_numbers(Told(0, 2), 5, CPU)
    assert isinstance(numbers, SentNumbers)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("changed", ["mark", "size", "gone"])
def test_a_file_that_is_not_the_one_told_of_is_not_used(changed, monkeypatch, tmp_path):
    monkeypatch.setattr(shared_memory, "MEMORY", tmp_path)

    class Misled(Told):
        def broadcast(self, data):
            path = Path(os.fsdecode(data[shared_memory.MARK_BYTES :]))
            if changed == "gone":
                path.unlink()
            elif changed == "size":
                path.write_bytes(data[: shared_memory.MARK_BYTES])
            else:
                content = bytearray(path.read_bytes())
                content[0] ^= 1
                path.write_bytes(content)
            return data

    assert isinstance(summed_numbers(Misled(0, 2), 5, CPU), SentNumbers)
    assert not list(tmp_path.iterdir())


def test_the_file_is_the_owners_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(shared_memory, "MEMORY", tmp_path)
    path = shared_memory._reserved(4096, b"x" * shared_memory.MARK_BYTES)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_size == 4096


def test_one_worker_and_other_devices_need_no_common_memory():
    assert isinstance(summed_numbers(ALONE, 3, CPU), SentNumbers)
    assert isinstance(summed_numbers(Told(0, 1), 3, CPU), SentNumbers)
    assert isinstance(summed_numbers(Told(0, 2), 3, torch.device("meta")), SentNumbers)
