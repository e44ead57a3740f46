"""Work on the processor's cores: independent parts side by side, each on one core alone.

Two threads that share one small matrix product wait for each other at its end, and each wait is
long where another process has one of the cores. Parts that share nothing never wait.
"""

import ctypes
import gc
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

import pyarrow as pa
import torch

from circuitscope_core.devices import usable_cores

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of the settings in ``malloc.h``."""
KEPT_BYTES = 2**30
USUAL_BYTES = (2**25, 2**26)
"""The thresholds of a process that has freed pieces of all sizes."""
Item = TypeVar("Item")
Result = TypeVar("Result")


def n_cores() -> int:
    """Return how many cores PyTorch may use in this thread, a container's limit respected."""
    return min(torch.get_num_threads(), usable_cores())


@contextmanager
def some_cores(n: int) -> Iterator[None]:
    """Compute with ``n`` cores meanwhile, in this thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_core() -> Iterator[None]:
    """Compute with one core meanwhile, in this thread; also a decorator of functions."""
    with some_cores(1):
        yield


def map_on_cores(
    function: Callable[[Item], Result], items: Sequence[Item], cores: int, threads: int = 1
) -> Iterator[Result]:
    """Yield the results of a function in the order of its arguments, each core computing its own.

    At most two results a core wait to be taken. Stop asking to cancel: what has begun is finished.

    Args:
        function: Uses nothing that another call changes.
        items: The arguments.
        cores: How many results are computed at the same time; with one, this thread does.
        threads: Cores for each of them, which is one unless there are more cores than results.
    """
    n = min(cores, len(items))
    if n < 2:
        for item in items:
            with one_core():
                result = function(item)
            yield result
        return
    pool = _pool(n, threads, os.getpid())
    differentiable = torch.is_grad_enabled()  # threads have a mode of their own

    def run(item: Item) -> Result:
        with torch.set_grad_enabled(differentiable):
            return function(item)

    waiting: deque[Future[Result]] = deque()
    with some_cores(threads):  # MKL has one number for all, and this thread should not compete
        try:
            for item in items:
                waiting.append(pool.submit(run, item))
                if len(waiting) >= 2 * n:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
            wait(waiting)


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep memory that is freed meanwhile in the process, for the tensors that come next.

    The GNU C library gives large pieces back to the system at once, and every page that the next
    tensor gets is made anew: a fifth of a training's time. Other systems' libraries are left alone.
    At the end all memory that is free is given back.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is None or not hasattr(library, "mallopt"):
        yield
        return
    with _keeping.lock:
        _keeping.count += 1
        _set_thresholds(library, KEPT_BYTES, KEPT_BYTES)
    try:
        yield
    finally:
        with _keeping.lock:
            _keeping.count -= 1
            if not _keeping.count:
                _set_thresholds(library, *USUAL_BYTES)
                library.malloc_trim(0)


def return_freed_memory() -> None:
    """Give memory that is free back to the system, where its library can do so (Linux).

    The GNU C library keeps small pieces, and Arrow what it read tables with; both for later.
    """
    gc.collect()
    pa.default_memory_pool().release_unused()
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    with _keeping.lock:
        if library is not None and hasattr(library, "malloc_trim") and not _keeping.count:
            library.malloc_trim(0)


@dataclass
class _Keeping:
    """The callers of ``freed_memory_kept`` that are not at their end."""

    count: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


_keeping = _Keeping()


def _set_thresholds(library: ctypes.CDLL, mapped: int, trimmed: int) -> None:
    """Set the size from which on a piece of memory, and the free end of memory, are given back."""
    library.mallopt(M_MMAP_THRESHOLD, mapped)
    library.mallopt(M_TRIM_THRESHOLD, trimmed)


@lru_cache(maxsize=4)
def _pool(n: int, threads: int, process: int) -> ThreadPoolExecutor:
    """Return threads of a process that use one core each, or more; they stay, with their memory.

    Several computations at once share them, and so the cores.
    """
    del process  # threads do not come along into a process that is forked
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(n, "core", _use_cores, (threads,))
    # all begin now: a thread that begins sets the number for those after it, too
    started = threading.Barrier(n + 1)
    for _ in range(n):
        pool.submit(started.wait)
    started.wait()
    torch.set_num_threads(before)
    return pool


def _use_cores(n: int) -> None:
    """Compute with some cores in this thread from now on.

    Without the first line a thread's first work would set the number again: to that of the others.
    """
    torch.get_num_threads()
    torch.set_num_threads(n)
