"""Graphs of many prompts: one JSON file each, a line each, and a table that can be queried."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from circuitscope_core.answers import Answer as GivenAnswer
from circuitscope_core.arguments import checked
from circuitscope_core.batch.prompt_tracing import PromptTraced, Work, plain_row
from circuitscope_core.batch.table import PromptTable, writing
from circuitscope_core.batch.workers import in_order, workers
from circuitscope_core.config import AttributionConfig, PruneConfig
from circuitscope_core.devices import Device, find_device
from circuitscope_core.errors import ConfigError
from circuitscope_core.files import place_of, write_whole
from circuitscope_core.launch.backend import parse_backend, require

SUMMARY = "summary.jsonl"


@checked
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
    graphs: bool = True,
    resume: bool = False,
) -> Iterator[PromptTraced]:
    """Build the graph of every prompt, in order, and write each as Neuronpedia JSON.

    ``out`` then holds ``00000.json`` and so on, ``summary.jsonl`` with a line for each prompt, and
    ``prompts.parquet`` with a row for each, which has its strongest features too. A prompt that
    cannot be traced has its reason there and stops no other. Stop asking to cancel: the rows so far
    are in the table.

    Args:
        bundle: A bundle's folder, or that of a model that was added. Machines of a cluster need not
            reach a bundle with weights of its own; of other models they need the folders that the
            bundle names, at the same paths.
        prompts: The texts.
        out: Folder for the files; of an earlier call's only those of the same numbers go, and its
            table when this one is whole.
        backend: ``local``, ``procs:N`` or ``ray:N…``; each worker loads the bundle once.
        config: How much of each prediction is explained.
        prune: How much of each graph is kept.
        answer: The whole answer that is explained after every prompt, for example a number of
            tokens of the model's own likeliest continuation; see ``answer_prompt``. None: the next
            token.
        device: The device of every worker, as for ``load_bundle``.
        graphs: False writes the two tables only.
        resume: Take over the rows that ``out`` has of the same prompts with the same numbers,
            bundle and settings, and compute the others. Prompts that failed are tried again.

    Raises:
        ConfigError: If the backend is none, or cannot be used for this.
        BundleError: If the bundle is damaged, or a worker does not reach what it names.
        DeviceError: If there is no such device, or it has too little free memory.
        GraphError: If a worker dies: its prompt may need more memory than there is; or the files in
            ``out`` cannot be read or written.
    """
    place = parse_backend(backend)
    require(place)
    if place.kind == "snowflake":
        raise ConfigError(f"{backend} trains only; trace with local, procs:N or ray:N.")
    folder = place_of(out)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    named = None if device is None else str(find_device(device))
    work = Work(place_of(bundle).absolute(), named, config, prune, answer, graphs)
    work.check()  # so that a damaged one is told before workers are started
    table, digest = PromptTable(folder), work.digest
    done = finished(table, prompts, folder, work) if resume else frozenset[int]()
    missing = [number for number in range(len(prompts)) if number not in done]
    whole = False
    try:
        with writing(folder):
            (folder / SUMMARY).write_bytes(b"")
        with workers(place, work) as ask:
            found = in_order(ask, (prompts[number] for number in missing), 2 * place.n_workers)
            for number, prompt in enumerate(prompts):
                head = (number, len(prompts), prompt)
                if number in done:
                    traced = PromptTraced(*head, **fields_of(table.row(number)))
                else:
                    answered = next(found)
                    name = write_graph(folder, number, answered.text)
                    traced = PromptTraced(*head, name, **answered.row)
                    table.put(plain_row(traced, answered, digest))
                add_line(folder / SUMMARY, traced)
                yield traced
        whole = True
    finally:
        # where the work was not finished, rows of an earlier call that it did not reach stay
        table.close(lambda number: resume or not whole or number < len(prompts))


def finished(
    table: PromptTable, prompts: Sequence[str], folder: Path, work: Work
) -> frozenset[int]:
    """Return the numbers of prompts whose rows need not be computed again."""
    digest = work.digest

    def is_finished(number: int) -> bool:
        row = table.row(number)
        same = row["prompt"] == prompts[number] and row["work"] == digest and not row["error"]
        there = bool(row["graph"]) and (folder / row["graph"]).is_file()
        return same and (there or not work.graphs)

    return frozenset(n for n in table.numbers if n < len(prompts) and is_finished(n))


def write_graph(folder: Path, number: int, text: str) -> str:
    """Write a prompt's graph, whole or not at all; returns its file's name, empty without one.

    An older graph of the same number goes.

    Raises:
        GraphError: If it cannot be written.
    """
    name = f"{number:05d}.json"
    with writing(folder):
        if text:
            write_whole(folder / name, text)
            return name
        (folder / name).unlink(missing_ok=True)
    return ""


def add_line(summary: Path, traced: PromptTraced) -> None:
    """Write a prompt's line at the end of the summary.

    Raises:
        GraphError: If it cannot be written.
    """
    with writing(summary.parent), summary.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(asdict(traced), sort_keys=True) + "\n")


def fields_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a row that say what was found."""
    names = ("graph", "error", "prediction", "probability", "scores", "n_nodes", "n_edges")
    return {name: row[name] for name in names}
