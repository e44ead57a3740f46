"""The device that a model runs on: found by its name, described, and its memory and cores counted.

``cpu``, ``cuda``, ``cuda:1`` and ``mps`` are names; ``auto`` takes the first that is there of CUDA,
MPS and the CPU. A container's limits on memory and processors are its own here, not the host's.
"""

import copy
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias, TypeVar

import psutil
import torch
from torch import Tensor, nn

from circuitscope_core.errors import DeviceError
from circuitscope_core.values import in_bytes, one_line

Device: TypeAlias = str | torch.device
Module = TypeVar("Module", bound=nn.Module)
AUTO = "auto"
VARIABLE = "CIRCUITSCOPE_DEVICE"
"""The environment variable that names the device where no argument does."""
CPU = torch.device("cpu")
GROUPS = Path("/sys/fs/cgroup")
"""The folder in which Linux shows the limits of a container."""
UNLIMITED = 2**60
"""Version 1 of control groups writes a number above this one where there is no limit."""
WITHOUT_FLOAT64 = ("mps",)
"""Kinds of devices that cannot compute in double precision."""
BUSY_SHARE = 0.35
"""Share of the processors that other work may want before it is worth a word."""
BEFORE_CUDA = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""The setting without which matrix products on CUDA may be added up in any order."""


@one_line
@dataclass(frozen=True)
class DeviceFacts:
    """A device, for people."""

    name: str
    """The name that ``find_device`` takes."""
    title: str
    """The hardware's own name."""
    free_bytes: int
    total_bytes: int

    def describe(self) -> str:
        """Return the same as a line."""
        memory = f"{in_bytes(self.free_bytes)} of {in_bytes(self.total_bytes)} free"
        return f"{self.name} ({self.title}, {memory})"


def find_device(name: Device | None = None) -> torch.device:
    """Return a device by its name.

    Args:
        name: ``cpu``, ``cuda``, ``cuda:1``, ``mps`` or ``auto``: CUDA where there is a card, then
            MPS, then the CPU. None takes the name in the environment variable
            ``CIRCUITSCOPE_DEVICE``, and ``auto`` where that is not set.

    Raises:
        DeviceError: If there is no such device; the message says why, and which there are.

    Example:
        >>> import circuitscope_core as cs
        >>> cs.find_device("cpu")
        device(type='cpu')
    """
    said_by = VARIABLE if name is None else "device"
    asked: Device = (os.environ.get(VARIABLE) or AUTO) if name is None else name
    if isinstance(asked, str) and asked.strip().lower() == AUTO:
        return torch.device(available_devices()[0])
    try:
        device = asked if isinstance(asked, torch.device) else torch.device(asked.strip().lower())
    except RuntimeError:
        raise DeviceError(f"{said_by} is {asked!r}, which names no device. {_choices()}") from None
    if device.type == "cuda":
        return _cuda(device, said_by)
    if device.type == "mps" and (why := why_no_mps()):
        raise DeviceError(f"{said_by} is {str(device)!r}. {why} {_choices()}")
    if device.type not in ("cpu", "mps") and device != _own_device():
        raise DeviceError(
            f"{said_by} is {str(device)!r}, and models run on cpu, cuda or mps. {_choices()}"
        )
    return device


def _own_device() -> torch.device | None:
    """Return the device of a package that adds one to PyTorch; None where there is none."""
    own = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return own if own is not None and own.type not in ("cuda", "mps") else None


def available_devices() -> tuple[str, ...]:
    """Return the names of the devices that are there, the one that ``auto`` takes first."""
    cards = [f"cuda:{n}" for n in range(torch.cuda.device_count())] if not why_no_cuda() else []
    return (*cards, *([] if why_no_mps() else ["mps"]), "cpu")


def _choices() -> str:
    return f"There is {' and '.join(available_devices())} here; auto takes the first."


def _cuda(device: torch.device, said_by: str) -> torch.device:
    if why := why_no_cuda():
        raise DeviceError(f"{said_by} is {str(device)!r}. {why} {_choices()}")
    number = torch.cuda.current_device() if device.index is None else device.index
    if number >= torch.cuda.device_count():
        raise DeviceError(f"{said_by} is {str(device)!r}, and there is no such card. {_choices()}")
    return torch.device("cuda", number)


@lru_cache(maxsize=1)
def why_no_cuda() -> str:
    """Return why CUDA cannot be used, as a sentence; empty where it can."""
    if torch.version.cuda is None and getattr(torch.version, "hip", None) is None:
        return (
            f"This PyTorch ({torch.__version__}) was built without CUDA; install one that was "
            "built with it from pytorch.org."
        )
    if torch.cuda.is_available():
        return ""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:  # a driver that is too old, or none
        return f"CUDA cannot be used: {str(error).strip().splitlines()[0]}"
    return "PyTorch finds no CUDA card: the driver shows none, or CUDA_VISIBLE_DEVICES hides all."


def why_no_mps() -> str:
    """Return why Apple's MPS cannot be used, as a sentence; empty where it can."""
    if not torch.backends.mps.is_built():
        return "This PyTorch was built without MPS, which is for Macs with an Apple chip."
    if not torch.backends.mps.is_available():
        return "MPS needs macOS 12.3 or later and an Apple chip."
    return ""


def device_facts(device: Device) -> DeviceFacts:
    """Return a device's name and memory."""
    found = find_device(device)
    title = "this machine's processors" if found.type == "cpu" else "Apple's GPU"
    if found.type == "cuda":
        title = torch.cuda.get_device_name(found)
    return DeviceFacts(str(found), title, free_bytes(found), total_bytes(found))


def describe_device(device: Device) -> str:
    """Return a line about a device: its names and memory, and whether results repeat on it."""
    return f"{device_facts(device).describe()}. {repeats_on(device)}"


def repeats_on(device: Device) -> str:
    """Return a sentence on whether the same work gives the same numbers again on a device."""
    kind = torch.device(device).type
    if kind == "cpu":
        return "The same call with as many threads gives the same numbers to the last bit."
    if kind == "cuda":
        return (
            "The same call gives the same numbers on the same card where PyTorch has an operation "
            "of a fixed order, which is asked for, and to rounding elsewhere."
        )
    return "The same call gives the same numbers to rounding: sums have no fixed order there."


def prefer_repeatable(device: Device) -> None:
    """Ask PyTorch for operations of a fixed order on a card; on the CPU they have one anyway.

    A setting of the whole process, for a program's own start: the shell commands and the app call
    it. Operations that have no fixed order stay, without a word.
    """
    if torch.device(device).type != "cuda":
        return
    for name, value in BEFORE_CUDA.items():
        os.environ.setdefault(name, value)
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    # memory that nothing was written to is not read here, and need not be filled
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010


def free_bytes(device: Device = CPU) -> int:
    """Return the memory that is free on a device; of the host, what its container has left."""
    place = torch.device(device)
    if place.type == "cuda":
        # what PyTorch keeps for itself is free for us
        kept = torch.cuda.memory_reserved(place) - torch.cuda.memory_allocated(place)
        return int(torch.cuda.mem_get_info(place)[0] + kept)
    if place.type == "mps":
        return max(0, total_bytes(place) - int(torch.mps.driver_allocated_memory()))
    available, (limit, used) = int(psutil.virtual_memory().available), _memory_limit(GROUPS)
    return available if limit is None else min(available, max(0, limit - used))


def total_bytes(device: Device = CPU) -> int:
    """Return the memory of a device; of the host, what its container allows."""
    place = torch.device(device)
    if place.type == "cuda":
        return int(torch.cuda.mem_get_info(place)[1])
    if place.type == "mps":
        return int(torch.mps.recommended_max_memory())
    total, (limit, _) = int(psutil.virtual_memory().total), _memory_limit(GROUPS)
    return total if limit is None else min(total, limit)


def check_room(needed: int, device: Device, text: str) -> None:
    """Refuse what does not fit into a device's memory, before it is begun.

    Args:
        needed: Bytes.
        device: The device.
        text: The thing that is to be loaded, as a sentence begins with it.

    Raises:
        DeviceError: If less is free.
    """
    free = free_bytes(device)
    if needed <= free:
        return
    place = "memory" if torch.device(device).type == "cpu" else f"memory of {device}"
    remedy = (
        "Close other programs, or take a smaller one."
        if torch.device(device).type == "cpu"
        else "Close what else uses it, load in bfloat16, leave decoders on disk (lazy_decoders), "
        "or use device='cpu'."
    )
    raise DeviceError(
        f"{text} needs {in_bytes(needed)} of {place}; {in_bytes(free)} are free. {remedy}"
    )


def module_on(module: Module, device: torch.device) -> Module:
    """Return a module with its weights on a device; the one that was given stays as it is.

    The same module where they lie there already. No weight is in memory twice on one device.
    """
    weights = [*module.parameters(), *module.buffers()]
    if all(weight.device == device for weight in weights):
        return module
    moved: dict[int, object] = {
        id(weight): nn.Parameter(weight.detach().to(device), weight.requires_grad)
        if isinstance(weight, nn.Parameter)
        else weight.to(device)
        for weight in weights
    }
    return copy.deepcopy(module, moved)


def in_double(value: Tensor) -> Tensor:
    """Return a tensor in double precision: where it is, or in the host's memory if that has none.

    Apple's GPUs have no double precision.
    """
    place = value.cpu() if value.device.type in WITHOUT_FLOAT64 else value
    return place.double()


def usable_cores(groups: Path = GROUPS) -> int:
    """Return how many processors this process may use at once: its affinity and container say.

    A container's share of less than a whole processor counts as one.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    n = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = _cpu_quota(groups)
    return n if quota is None else max(1, min(n, int(quota)))


@dataclass(frozen=True)
class MachineLoad:
    """How much other work the processors have."""

    wanting: float
    """Threads that want a processor, on average over the last minute."""
    cores: int
    """Processors that this process may use."""

    @property
    def is_busy(self) -> bool:
        """Whether a computation on all processors would notice."""
        return self.wanting > BUSY_SHARE * self.cores

    def when_idle(self, seconds: float) -> float:
        """Return how long work of these seconds on all processors would take on an idle machine.

        Threads that all want a processor get equal shares. Waiting for each other costs more than
        that, so that an idle machine may be quicker still.
        """
        return seconds * self.cores / (self.cores + self.wanting)


def machine_load() -> MachineLoad | None:
    """Return the load before anything else is begun; None where the system does not tell."""
    if not hasattr(os, "getloadavg"):
        return None
    return MachineLoad(os.getloadavg()[0], usable_cores())


def _own_groups(groups: Path, controller: str) -> list[Path]:
    """Return the folders of this process's group, the innermost first, as the kernel names them."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = {}
    for line in lines:
        _, controllers, place = line.split(":", 2)
        for name in controllers.split(","):
            names[name] = place.lstrip("/")
    second = (groups / "cgroup.controllers").is_file()
    root = groups if second else groups / controller
    own = root / names.get("" if second else controller, "")
    inside = [own, *own.parents]
    return [place for place in inside if place == root or root in place.parents]


def _numbers(path: Path) -> list[float | None]:
    """Return the numbers in a file of one line; None for words, an empty list where it is none."""
    try:
        words = path.read_text(encoding="utf-8").split()
    except OSError:
        return []
    return [float(word) if word.lstrip("-").isdigit() else None for word in words]


def _cpu_quota(groups: Path) -> float | None:
    """Return the processors that the groups of this process allow; None without a limit."""
    found = []
    for place in _own_groups(groups, "cpu"):
        pair = _numbers(place / "cpu.max")
        if not pair:
            pair = _numbers(place / "cpu.cfs_quota_us") + _numbers(place / "cpu.cfs_period_us")
        if len(pair) == 2 and pair[0] is not None and pair[1] and pair[0] > 0:
            found.append(pair[0] / pair[1])
    return min(found, default=None)


def _memory_limit(groups: Path) -> tuple[int | None, int]:
    """Return the bytes that the groups of this process allow, and how many of them are in use.

    Pages of files that were read are in use by the kernel's count, and are given up when memory is
    wanted; they are not counted here.
    """
    tightest: tuple[int | None, int] = (None, 0)
    for place in _own_groups(groups, "memory"):
        limit = _numbers(place / "memory.max") or _numbers(place / "memory.limit_in_bytes")
        used = _numbers(place / "memory.current") or _numbers(place / "memory.usage_in_bytes")
        if not limit or limit[0] is None or limit[0] > UNLIMITED or not used:
            continue
        size, taken = int(limit[0]), int(used[0] or 0) - _given_up(place / "memory.stat")
        if tightest[0] is None or size - taken < tightest[0] - tightest[1]:
            tightest = (size, max(0, taken))
    return tightest


def _given_up(path: Path) -> int:
    """Return the bytes of files' pages that were not used of late, as a group's statistics say."""
    try:
        rows = dict(line.split() for line in path.read_text(encoding="utf-8").splitlines())
        return int(rows.get("total_inactive_file", rows.get("inactive_file", 0)))
    except (OSError, ValueError):
        return 0
