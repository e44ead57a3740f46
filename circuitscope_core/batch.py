"""Graphs of many prompts, by several processes or machines: one JSON file each, and a table."""

import json
import multiprocessing
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import torch

from circuitscope_core.answers import Answer as GivenAnswer
from circuitscope_core.bundle import Bundle, load_bundle
from circuitscope_core.config import AttributionConfig, PruneConfig, TraceConfig
from circuitscope_core.devices import Device, find_device, usable_cores
from circuitscope_core.errors import CircuitScopeError, ConfigError, GraphError
from circuitscope_core.export import graph_to_json
from circuitscope_core.launch.backend import Backend, parse_backend, require
from circuitscope_core.launch.ray_cluster import connected
from circuitscope_core.tracing import trace
from circuitscope_core.values import one_line

TABLE = "summary.jsonl"
Answer: TypeAlias = tuple[str, dict[str, Any]]
"""A graph as JSON text, empty where there is none, and the row of the table."""
Settings: TypeAlias = tuple[AttributionConfig, PruneConfig, GivenAnswer | None]
"""How much is explained and kept, and the answer that is explained; the same for every prompt."""
Ask: TypeAlias = Callable[[str], Callable[[], Answer]]
"""Begins the work on a prompt; what it returns waits for the answer."""


@dataclass(frozen=True)
class Loaded:
    """The bundle that a worker loads, and onto which device."""

    folder: Path
    device: str | None

    def open(self) -> Bundle:
        """Load it."""
        return load_bundle(self.folder, device=self.device)


@one_line
@dataclass(frozen=True)
class PromptTraced:
    """One prompt of many is done."""

    number: int
    """From 0, in the order in which prompts were given."""
    n_prompts: int
    prompt: str
    graph: str
    """Name of the file with its graph; empty where there is none."""
    error: str = ""
    """Why there is none."""
    prediction: str = ""
    """The most likely next token, or the answer that was explained."""
    probability: float = 0.0
    scores: dict[str, float] = field(default_factory=dict)
    n_nodes: int = 0
    """Nodes that pruning kept."""
    n_edges: int = 0


def attribute_many(  # noqa: PLR0913  # each a name of the public interface
    bundle: str | Path,
    prompts: Sequence[str],
    out: str | Path,
    *,
    backend: str = "local",
    config: AttributionConfig = AttributionConfig(),  # noqa: B008  # a frozen value
    prune: PruneConfig = PruneConfig(),  # noqa: B008  # as above
    answer: GivenAnswer | None = None,
    device: Device | None = None,
) -> Iterator[PromptTraced]:
    """Build the graph of every prompt, in order, and write each as Neuronpedia JSON.

    ``out`` then holds ``00000.json`` and so on, and ``summary.jsonl`` with a line for each prompt.
    A prompt that cannot be traced has its reason there and stops no other.

    Args:
        bundle: A bundle's folder; machines of a cluster need not reach it.
        prompts: The texts.
        out: Folder for the files; of an earlier call's only those of the same numbers go.
        backend: ``local``, ``procs:N`` or ``ray:N…``.
        config: How much of each prediction is explained.
        prune: How much of each graph is kept.
        answer: The whole answer that is explained after every prompt, for example a number of
            tokens of the model's own likeliest continuation; see ``answer_prompt``. None: the next
            token.
        device: The device of every worker, as for ``load_bundle``.

    Raises:
        DeviceError: If there is no such device, or it has too little free memory.
        ConfigError: If the backend is none, or cannot be used for this.
        BundleError: If the bundle is damaged.
        GraphError: If a worker dies: its prompt may need more memory than there is.
    """
    place = parse_backend(backend)
    require(place)
    if place.kind == "snowflake":
        raise ConfigError(f"{backend} trains only; trace with local, procs:N or ray:N.")
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    load_bundle(bundle, device=device)  # so that a damaged one is told before workers start
    where = Loaded(Path(bundle).absolute(), None if device is None else str(find_device(device)))
    settings: Settings = (config, prune, answer)
    with (
        _workers(place, where, settings) as ask,
        (folder / TABLE).open("w", encoding="utf-8") as table,
    ):
        answers = _in_order(ask, prompts, 2 * place.n_workers)
        for number, (text, row) in enumerate(answers):
            name = f"{number:05d}.json"
            if text:
                partial = folder / f"{name}.partial"
                partial.write_text(text, encoding="utf-8")
                partial.replace(folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
            done = PromptTraced(number, len(prompts), prompts[number], name if text else "", **row)
            table.write(json.dumps(asdict(done), sort_keys=True) + "\n")
            table.flush()
            yield done


def trace_prompt(bundle: Bundle, prompt: str, settings: Settings) -> Answer:
    """Return a prompt's graph as JSON and what the table says of it."""
    config, prune, answer = settings
    try:
        found = trace(bundle, prompt, TraceConfig(config, prune), answer=answer)
        data = graph_to_json(found, supernodes=found.supernodes)
    except CircuitScopeError as error:
        return "", {"error": str(error)}
    graph = found.graph
    best = int(torch.as_tensor(graph.logit_probabilities).argmax())
    said, probability = graph.logit_texts[best], float(graph.logit_probabilities[best])
    if graph.answer is not None:
        said, probability = graph.answer.text, graph.answer.probability
    row = {
        "prediction": said,
        "probability": probability,
        "scores": {name: float(value) for name, value in vars(found.scores).items()},
        "n_nodes": found.pruned.n_nodes,
        "n_edges": found.pruned.n_edges,
    }
    return json.dumps(data), row


def _in_order(ask: Ask, prompts: Iterable[str], most: int) -> Iterator[Answer]:
    """Return the answers in the order of the prompts, ``most`` of which are worked on at once."""
    waiting: deque[Callable[[], Answer]] = deque()
    for prompt in prompts:
        waiting.append(ask(prompt))
        if len(waiting) >= most:
            yield waiting.popleft()()
    while waiting:
        yield waiting.popleft()()


@contextmanager
def _workers(place: Backend, where: Loaded, settings: Settings) -> Iterator[Ask]:
    if place.kind == "local":
        loaded = where.open()
        yield lambda prompt: lambda: trace_prompt(loaded, prompt, settings)
    elif place.kind == "procs":
        with _pool(place.n_workers, where, settings) as ask:
            yield ask
    else:
        with connected(place) as ray:
            files = {
                path.relative_to(where.folder).as_posix(): path.read_bytes()
                for path in sorted(where.folder.rglob("*"))
                if path.is_file()
            }
            sent, name = ray.put(files), ray.get_runtime_context().get_job_id()
            task = ray.remote(num_cpus=1)(_trace_far)
            yield lambda prompt: _far_answer(
                ray, task.remote(name, sent, where.device, prompt, settings)
            )


@contextmanager
def _pool(n: int, where: Loaded, settings: Settings) -> Iterator[Ask]:
    context = multiprocessing.get_context("spawn")
    threads = max(1, usable_cores() // n)
    pool = ProcessPoolExecutor(n, context, torch.set_num_threads, (threads,))

    def ask(prompt: str) -> Callable[[], Answer]:
        future = pool.submit(_trace_near, where, prompt, settings)

        def answer() -> Answer:
            try:
                return future.result()
            except BrokenProcessPool as error:
                raise _worker_lost(prompt) from error

        return answer

    try:
        yield ask
    finally:
        pool.shutdown(cancel_futures=True)


def _far_answer(ray: Any, reference: Any) -> Callable[[], Answer]:
    def answer() -> Answer:
        try:
            text, row = ray.get(reference)
        except ray.exceptions.RayError as error:
            raise _worker_lost("") from error
        return text, row

    return answer


def _worker_lost(prompt: str) -> GraphError:
    about = f" on {prompt!r} or a prompt next to it" if prompt else ""
    return GraphError(
        f"A worker died while at work{about}; it may have run out of memory. Use fewer workers, or "
        "keep fewer features for each graph."
    )


_load_once = lru_cache(maxsize=1)(Loaded.open)


def _trace_near(where: Loaded, prompt: str, settings: Settings) -> Answer:
    return trace_prompt(_load_once(where), prompt, settings)


_unpacked: dict[str, Bundle] = {}
"""The bundle that this process of a cluster was sent, by the job that sent it."""


def _trace_far(
    job: str,
    files: dict[str, bytes],
    device: str | None,
    prompt: str,
    settings: Settings,
) -> Answer:
    if job not in _unpacked:
        with tempfile.TemporaryDirectory() as place:
            for name, data in files.items():
                path = Path(place, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            _unpacked.clear()
            _unpacked[job] = load_bundle(place, device=device)
    return trace_prompt(_unpacked[job], prompt, settings)
