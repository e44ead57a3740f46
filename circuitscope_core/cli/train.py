"""``train`` and ``estimate``: make a model, and say how long that takes."""

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import circuitscope_core as cs
from circuitscope_core.cli.output import (
    MODELS_VARIABLE,
    Commands,
    add_device,
    device_of,
    file_to_write,
    models_folder,
    write,
)
from circuitscope_core.errors import ConfigError
from circuitscope_core.files import read_text, reason_of
from circuitscope_core.launch import parse_backend, run_training
from circuitscope_core.pipeline import TrainingPlan
from circuitscope_core.stages import open_store
from circuitscope_core.training import (
    Event,
    PhaseFinished,
    PhaseStarted,
    Progress,
    TrainingCancelled,
    TrainingFinished,
    WorkersNews,
    event_to_json,
    measure_speed,
)

EXIT_CANCELLED = 130


def add_train(commands: Commands) -> None:
    """Describe ``train``."""
    parser = commands.add_parser("train", help="train a model and save it as a bundle")
    parser.add_argument(
        "--out",
        type=file_to_write,
        default=f"{models_folder()}/mine",
        help=f"folder of the bundle to be (default: mine in {MODELS_VARIABLE}, or models/mine)",
    )
    add_run_options(parser)
    _add_settings(parser)
    parser.set_defaults(run=run_train)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Describe where text comes from, where a training runs, and what it may replace."""
    parser.add_argument(
        "--source",
        action="append",
        help="a Parquet file, folder, glob or hf://datasets/owner/name/file.parquet address, or "
        "'builtin'; may be given more than once (default: builtin)",
    )
    parser.add_argument(
        "--backend",
        default="local",
        help="where: local, procs:2, ray:2, ray:2@auto, ray:2@ray://HOST:10001 or "
        "snowflake:POOLx2 (default: local)",
    )
    parser.add_argument(
        "--store", help="a folder or @database.schema.stage/path that mirrors the run"
    )
    add_device(parser)
    parser.add_argument("--restart", action="store_true", help="discard an interrupted training")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a model that has the name already"
    )


def add_estimate(commands: Commands) -> None:
    """Describe ``estimate``."""
    parser = commands.add_parser("estimate", help="say how long training would take")
    _add_settings(parser)
    parser.set_defaults(run=run_estimate)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    add_setting_options(parser, "corpus.skill_share=0.25 or transcoder.d_transcoder=512")
    parser.add_argument(
        "--tokens",
        choices=("words", "bytes"),
        default="words",
        help="words and pieces of words that are learned from the text, or single bytes "
        "(default: words)",
    )


def add_setting_options(parser: argparse.ArgumentParser, example: str) -> None:
    """Describe how settings are given: a file, and single ones."""
    parser.add_argument(
        "--config", type=Path, help="JSON file with settings, - for standard input; see bundle.json"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"one setting, for example {example}",
    )


def run_train(options: argparse.Namespace) -> int:
    """Train a language model and its transcoder."""
    config = read_config(options.config, options.set, options.tokens)
    sources = options.source or ["builtin"]
    command = "python -m circuitscope_core train " + " ".join(
        [*(f"--source {source}" for source in sources), f"--out {options.out}"]
        + (["--tokens bytes"] if options.tokens == "bytes" else [])
        + [f"--set {item}" for item in options.set]
    )
    flags = (options.restart, options.overwrite)
    plan = TrainingPlan(config, sources, options.out, None, *flags, command, device=options.device)
    return follow(plan, options)


def follow(plan: TrainingPlan, options: argparse.Namespace) -> int:
    """Run a training and write its events; the first interrupt or termination signal stops it."""
    backend = parse_backend(options.backend)
    store = open_store(options.store) if options.store else None
    asked_to_stop = []
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: asked_to_stop.append(True))
    if backend.kind == "local" and plan.model is None:
        device_of(options)  # so that one that is not there is told before anything is read
    for event in run_training(plan, backend, store, stop=lambda: bool(asked_to_stop)):
        line = event_to_json(event) if options.json else describe_event(event)
        if line:
            write(line)
        if isinstance(event, TrainingCancelled):
            write("Stopped. Run the same command to resume.", sys.stderr)
            return EXIT_CANCELLED
    return 0


def run_estimate(options: argparse.Namespace) -> int:
    """Say how long each phase of a training would take on this machine."""
    config = read_config(options.config, options.set, options.tokens)
    speed = measure_speed(config)
    seconds = speed.estimate(config)
    if options.json:
        write(json.dumps({"seconds": vars(seconds), "seconds_per_token": vars(speed)}))
        return 0
    for name, value in vars(seconds).items():
        write(f"{name.replace('_', ' ')}: {value:.0f} s")
    write(f"total: {seconds.total:.0f} s")
    return 0


def read_config(
    path: Path | None, settings: Sequence[str], tokens: str = "words"
) -> cs.TrainConfig:
    """Return the default settings for words or bytes, changed by a file and ``NAME=VALUE`` items.

    Raises:
        ConfigError: If the file is no JSON object, or a name or value is not accepted.
    """
    default = cs.TrainConfig.for_bytes() if tokens == "bytes" else cs.TrainConfig()
    return cs.TrainConfig.from_json(changed_settings(default.to_json(), path, settings))


def changed_settings(
    data: dict[str, Any], path: Path | None, settings: Sequence[str]
) -> dict[str, Any]:
    """Return settings as plain data, changed by a file and ``NAME=VALUE`` items.

    Raises:
        ConfigError: If the file is no JSON object, or there is no such setting.
    """
    if path is not None:
        try:
            text = _standard_input() if str(path) == "-" else read_text(path)
            given = json.loads(text)
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(
                f"The settings file {path} cannot be read: {reason_of(error)}."
            ) from error
        if not isinstance(given, dict):
            raise ConfigError(f"The settings file {path} holds no JSON object.")
        for name, value in given.items():
            nested = isinstance(value, dict) and isinstance(data.get(name), dict)
            data[name] = {**data[name], **value} if nested else value
    for item in settings:
        _change(data, item)
    return data


def _change(data: dict[str, Any], item: str) -> None:
    """Put one ``section.field=value`` into nested settings."""
    name, equals, text = item.partition("=")
    *sections, last = name.split(".")
    place: Any = data
    for section in sections:
        place = place.get(section) if isinstance(place, dict) else None
    if not equals or not isinstance(place, dict) or last not in place:
        raise ConfigError(
            f"There is no setting {item!r}; {_a_place(data, last)}use for example "
            f"{_an_example(data)}=512."
        )
    try:
        place[last] = json.loads(text)
    except (ValueError, RecursionError):
        place[last] = text


def _a_place(data: dict[str, Any], name: str) -> str:
    """Return advice where a section has a setting of that name; else nothing."""
    found = [key for key, part in data.items() if isinstance(part, dict) and name in part]
    return f"there is {found[0]}.{name}; " if found else ""


def _an_example(data: dict[str, Any]) -> str:
    return "d_transcoder" if "d_transcoder" in data else "transcoder.d_transcoder"


def describe_event(event: Event) -> str:
    """Return an event as a line for people; empty for events without news."""
    if isinstance(event, PhaseStarted):
        resumed = f", resumed at step {event.first_step:,}" if event.first_step else ""
        return f"{event.phase}: {event.n_steps:,} steps{resumed}"
    if isinstance(event, Progress):
        shown = {name: value for name, value in event.metrics.items() if "." not in name}
        figures = ", ".join(f"{name} {value:.4g}" for name, value in shown.items())
        rate = f", {event.tokens_per_second:,.0f} tokens/s" if event.tokens_per_second else ""
        return f"  {event.step:,}/{event.n_steps:,}{rate}{', ' if figures else ''}{figures}"
    if isinstance(event, PhaseFinished):
        figures = ", ".join(f"{name} {value:.4g}" for name, value in event.metrics.items())
        said = f" {event.message}" if event.message else ""
        return f"{event.phase} done in {event.seconds:.1f} s. {figures}{said}"
    if isinstance(event, TrainingFinished):
        return f"Saved {event.bundle} after {event.seconds:.0f} s."
    if isinstance(event, WorkersNews):
        return event.message
    return ""


def _standard_input() -> str:
    """Return what is read from standard input, without the mark that editors put first."""
    return sys.stdin.read().removeprefix("\ufeff")
