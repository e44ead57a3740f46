"""Work on the processor's cores: independent parts side by side, each on one core alone.

Two threads that share one small matrix product wait for each other at its end, and each wait is
long where another process has one of the cores. Parts that share nothing never wait.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from circuitscope_core.devices import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")


def n_cores() -> int:
    """Return how many cores PyTorch may use in this thread, a container's limit respected."""
    return min(torch.get_num_threads(), usable_cores())


@contextmanager
def one_core() -> Iterator[None]:
    """Compute with one core meanwhile, in this thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def map_on_cores(
    function: Callable[[Item], Result], items: Sequence[Item], cores: int
) -> Iterator[Result]:
    """Yield the results of a function in the order of its arguments, each core computing its own.

    At most two results a core wait to be taken. Stop asking to cancel: what has begun is finished.

    Args:
        function: Uses nothing that another call changes.
        items: The arguments.
        cores: How many cores compute at the same time; with one, this thread does.
    """
    n = min(cores, len(items))
    if n < 2:
        for item in items:
            with one_core():
                result = function(item)
            yield result
        return
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(n, "core", torch.set_num_threads, (1,))
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            torch.set_num_threads(before)  # a thread that begins sets it for those after it, too
            if len(waiting) >= 2 * n:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        pool.shutdown()
        torch.set_num_threads(before)
