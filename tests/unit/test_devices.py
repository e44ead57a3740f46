"""Devices by name, and the memory and processors of a container."""

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core import devices
from circuitscope_core.devices import (
    available_devices,
    check_room,
    describe_device,
    find_device,
    free_bytes,
    total_bytes,
    usable_cores,
    why_no_cuda,
)


@pytest.fixture(autouse=True)
def nothing_is_remembered():
    why_no_cuda.cache_clear()
    yield
    why_no_cuda.cache_clear()


@pytest.fixture
def two_cards(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "A card")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (3 * 10**9, 8 * 10**9))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 2 * 10**9)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 10**9)


@pytest.mark.usefixtures("two_cards")
def test_the_first_card_is_found_by_itself():
    assert available_devices() == ("cuda:0", "cuda:1", "cpu")
    assert find_device("auto") == torch.device("cuda:0")
    assert find_device("cuda") == torch.device("cuda:1")  # the one that PyTorch is set to
    assert find_device(" CPU ") == find_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.usefixtures("two_cards")
def test_a_name_goes_before_the_variable_and_the_variable_before_what_is_there(monkeypatch):
    monkeypatch.setenv("CIRCUITSCOPE_DEVICE", "cuda:1")
    assert find_device() == torch.device("cuda:1")
    assert find_device("cpu") == torch.device("cpu")
    monkeypatch.setenv("CIRCUITSCOPE_DEVICE", "card")
    with pytest.raises(cs.DeviceError, match="CIRCUITSCOPE_DEVICE is 'card', which names no"):
        find_device()
    monkeypatch.delenv("CIRCUITSCOPE_DEVICE")
    assert find_device() == torch.device("cuda:0")


@pytest.mark.usefixtures("two_cards")
def test_a_card_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(
        cs.DeviceError, match=r"no such card\. There is cuda:0 and cuda:1 and cpu here"
    ):
        find_device("cuda:2")


def test_a_torch_without_cuda_says_so(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "cuda" not in " ".join(available_devices())
    with pytest.raises(cs.DeviceError, match=r"device is 'cuda'\. This PyTorch .* without CUDA"):
        find_device("cuda")


def test_a_driver_that_is_too_old_is_told_in_its_own_words(monkeypatch):
    def init():
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).")

    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", init)
    with pytest.raises(cs.DeviceError, match=r"cannot be used: The NVIDIA driver .* too old"):
        find_device("cuda:0")


def test_mps_and_unknown_kinds_are_refused():
    if not torch.backends.mps.is_available():
        with pytest.raises(cs.DeviceError, match="MPS"):
            find_device("mps")
    with pytest.raises(cs.DeviceError, match="models run on cpu, cuda or mps"):
        find_device("meta")


@pytest.mark.usefixtures("two_cards")
def test_a_card_is_described_with_its_memory_and_whether_results_repeat():
    said = describe_device("cuda:0")
    assert said.startswith("cuda:0 (A card, 4.0 GB of 8.0 GB free). The same call")
    assert "to the last bit" in describe_device("cpu")


@pytest.mark.usefixtures("two_cards")
def test_too_little_memory_is_refused_with_numbers_and_a_remedy():
    check_room(4 * 10**9, "cuda:1", "A transcoder")
    with pytest.raises(
        cs.DeviceError,
        match=r"A transcoder needs 5\.0 GB of memory of cuda:1; 4\.0 GB are free\. .*bfloat16",
    ):
        check_room(5 * 10**9, "cuda:1", "A transcoder")


def write_groups(root, second, files):
    """Write a container's limits as version 1 or 2 of Linux's control groups shows them."""
    if second:
        root.mkdir(exist_ok=True)
        (root / "cgroup.controllers").write_text("cpu memory\n")
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("second", "files", "expected"),
    [
        (True, {"cpu.max": "150000 100000\n"}, 1),
        (True, {"cpu.max": "50000 100000\n"}, 1),
        (True, {"cpu.max": "max 100000\n"}, None),
        (True, {}, None),
        (False, {"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        (False, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
    ],
)
def test_processors_are_those_that_the_container_allows(
    tmp_path, monkeypatch, second, files, expected
):
    monkeypatch.setattr(devices.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    assert usable_cores(write_groups(tmp_path / "groups", second, files)) == (expected or 4)


def test_memory_is_what_the_container_has_left(tmp_path, monkeypatch):
    limits = {
        "memory.max": f"{4 * 10**6}\n",
        "memory.current": f"{3 * 10**6}\n",
        "memory.stat": f"anon {10**6}\ninactive_file {10**6}\n",
    }
    monkeypatch.setattr(devices, "GROUPS", write_groups(tmp_path / "groups", True, limits))
    assert free_bytes() == 2 * 10**6  # what files take is given up
    assert total_bytes() == 4 * 10**6
    monkeypatch.setattr(devices, "GROUPS", tmp_path / "nowhere")
    assert free_bytes() > 2 * 10**6
