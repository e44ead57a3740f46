"""Workers that trace many prompts: this process, several of this machine, or a Ray cluster."""

import multiprocessing
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import torch

from circuitscope_core.batch.prompt_tracing import Answered, Work, trace_prompt
from circuitscope_core.bundle import Bundle
from circuitscope_core.devices import usable_cores
from circuitscope_core.errors import BundleError, CircuitScopeError, GraphError
from circuitscope_core.launch.backend import Backend
from circuitscope_core.launch.ray_cluster import connected

Ask: TypeAlias = Callable[[str], Callable[[], Answered]]
"""Begins the work on a prompt; what it returns waits for the answer."""


def in_order(ask: Ask, prompts: Iterable[str], most: int) -> Iterator[Answered]:
    """Return the answers in the order of the prompts, ``most`` of which are worked on at once."""
    waiting: deque[Callable[[], Answered]] = deque()
    for prompt in prompts:
        waiting.append(ask(prompt))
        if len(waiting) >= most:
            yield waiting.popleft()()
    while waiting:
        yield waiting.popleft()()


@contextmanager
def workers(place: Backend, work: Work) -> Iterator[Ask]:
    """Give what asks the workers of a place, while they are needed; each loads the bundle once."""
    if place.kind == "local":
        load = lru_cache(maxsize=1)(work.open)  # not before the first prompt that is asked
        yield lambda prompt: lambda: trace_prompt(load(), prompt, work)
    elif place.kind == "procs":
        with _pool(place.n_workers, work) as ask:
            yield ask
    else:
        with connected(place) as ray:
            files = {
                path.relative_to(work.folder).as_posix(): path.read_bytes()
                for path in sorted(work.folder.rglob("*"))
                if path.is_file()
            }
            sent, name = ray.put(files), ray.get_runtime_context().get_job_id()
            task = ray.remote(num_cpus=1)(_trace_far)
            yield lambda prompt: _far_answer(ray, task.remote(name, sent, prompt, work))


@contextmanager
def _pool(n: int, work: Work) -> Iterator[Ask]:
    context = multiprocessing.get_context("spawn")
    threads = max(1, usable_cores() // n)
    pool = ProcessPoolExecutor(n, context, torch.set_num_threads, (threads,))

    def ask(prompt: str) -> Callable[[], Answered]:
        future = pool.submit(_trace_near, prompt, work)

        def answer() -> Answered:
            try:
                return future.result()
            except BrokenProcessPool as error:
                raise _worker_lost(prompt) from error

        return answer

    try:
        yield ask
    finally:
        pool.shutdown(cancel_futures=True)


def _far_answer(ray: Any, reference: Any) -> Callable[[], Answered]:
    def answer() -> Answered:
        try:
            found: Answered | str = ray.get(reference)
        except ray.exceptions.RayError as error:
            raise _worker_lost("") from error
        if isinstance(found, str):
            raise BundleError(
                f"A worker of the cluster cannot open the bundle: {found} Every machine needs the "
                "folders that the bundle names, at the same paths, for example on a shared disk."
            )
        return found

    return answer


def _worker_lost(prompt: str) -> GraphError:
    about = f" on {prompt!r} or a prompt next to it" if prompt else ""
    return GraphError(
        f"A worker died while at work{about}; it may have run out of memory. Use fewer workers, or "
        "keep fewer features for each graph."
    )


_load_once = lru_cache(maxsize=1)(Work.open)


def _trace_near(prompt: str, work: Work) -> Answered:
    return trace_prompt(_load_once(work), prompt, work)


_unpacked: dict[str, Bundle] = {}
"""The bundle that this process of a cluster was sent, by the job that sent it."""


def _trace_far(job: str, files: dict[str, bytes], prompt: str, work: Work) -> Answered | str:
    """Trace a prompt on another machine; returns why the bundle cannot be opened if it cannot."""
    if job not in _unpacked:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place, work.folder.name)
            for name, data in files.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            _unpacked.clear()
            try:
                _unpacked[job] = replace(work, folder=folder).open()
            except CircuitScopeError as error:
                return str(error)
    return trace_prompt(_unpacked[job], prompt, work)
