"""A training in a process of its own, seen only through its run folder.

Whoever started it may go away: the folder holds the events, the checkpoints and the process number.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from circuitscope_core.bundle import name_fault
from circuitscope_core.config import TrainConfig, TranscoderTrainConfig
from circuitscope_core.errors import ConfigError, TrainingError
from circuitscope_core.files import write_whole
from circuitscope_core.pipeline import check_free, file_errors
from circuitscope_core.pipeline.transcoder_estimate import TranscoderEstimate
from circuitscope_core.training import (
    PHASES,
    Event,
    PhaseFinished,
    PhaseStarted,
    RunFolder,
    TrainingCancelled,
    TrainingFailed,
    TrainingSpeed,
    event_from_json,
)

ASKED, PROCESS = "asked_to_stop.json", "process.json"
"""Files of a run folder that name the process that trains, and the one that was asked to stop."""
PATIENCE_SECONDS = 3.0
REQUEST = "request.json"
"""File of a run folder that holds its request."""
COMMAND = (sys.executable, "-m", "circuitscope_core")
Status = Literal["none", "running", "cancelled", "failed", "interrupted"]


@dataclass(frozen=True)
class TrainingRequest:
    """A training that was asked for, and the folder of its result."""

    config: TrainConfig | TranscoderTrainConfig
    sources: tuple[str, ...]
    models: Path
    name: str
    backend: str = "local"
    """The place to train, as ``parse_backend`` reads it."""
    store: str | None = None
    """A folder or stage that mirrors the run folder."""
    device: str | None = None
    """The device, as ``find_device`` takes it."""
    model: str | None = None
    """The model that transcoders are trained for, by its place; None where one is trained."""

    @property
    def out(self) -> Path:
        """The bundle's folder."""
        return self.models / self.name

    @property
    def folder(self) -> RunFolder:
        """The run folder."""
        return RunFolder.for_bundle(self.out)

    def save(self) -> None:
        """Write the request into its run folder, so that any process can go on with it."""
        data = {
            "config": self.config.to_json(),
            "sources": self.sources,
            "backend": self.backend,
            "store": self.store,
            "device": self.device,
            "model": self.model,
        }
        file = self.folder.path / REQUEST
        write_whole(file, json.dumps(data, indent=1))

    @classmethod
    def load(cls, folder: RunFolder) -> "TrainingRequest | None":
        """Return the request of a training that was begun, or None where there is none.

        Raises:
            TrainingError: If the file cannot be read.
        """
        file = folder.path / REQUEST
        if not file.is_file():
            return None
        try:
            data = _json_object(json.loads(file.read_text(encoding="utf-8")))
            if "config" not in data:
                data = _older_request(folder, data)
            model = data.get("model")
            kind = TrainConfig if model is None else TranscoderTrainConfig
            return cls(
                kind.from_json(_json_object(data["config"])),
                tuple(map(str, data["sources"])),
                folder.bundle.parent,
                folder.bundle.name,
                str(data["backend"]),
                data["store"],
                data.get("device"),
                model,
            )
        except (OSError, ValueError, RecursionError, KeyError, TypeError, ConfigError) as error:
            raise TrainingError(
                f"What was begun in {folder.path} cannot be read ({error}). Discard it, or start "
                "it again on the command line."
            ) from error


def _json_object(data: object) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise TypeError(f"{data!r} is no JSON object")
    return data


def _older_request(folder: RunFolder, config: object) -> dict[str, Any]:
    """Return a request of before there was one file for it: settings, sources, place."""
    data = {"config": config, "sources": ["builtin"], "backend": "local", "store": None}
    if (file := folder.path / "sources.json").is_file():
        data["sources"] = json.loads(file.read_text(encoding="utf-8"))
    if (file := folder.path / "where.json").is_file():
        data |= json.loads(file.read_text(encoding="utf-8"))
    return data


@dataclass(frozen=True)
class TrainingState:
    """The state of a training, as its run folder tells it."""

    status: Status
    events: tuple[Event, ...]
    message: str = ""
    stopping: bool = False
    """Whether a running one was asked to stop."""


def check_name(name: str) -> str:
    """Return the name if a model may be called so.

    Raises:
        TrainingError: If it may not.
    """
    if fault := name_fault(name):
        raise TrainingError(fault)
    return name


def start_training(request: TrainingRequest, *, restart: bool = False) -> None:
    """Start or resume a training in the background.

    Raises:
        TrainingError: If the name is not allowed, a model has it, or the same training is running
            already.
    """
    check_name(request.name)
    folder = request.folder
    if training_state(folder).status == "running":
        raise TrainingError(f"{request.name} is being trained already; wait for it or cancel it.")
    check_free(request.out, restart=restart)
    with file_errors():
        if restart:
            folder.discard()
        folder.path.mkdir(parents=True, exist_ok=True)
        request.save()
    what = ["train"] if request.model is None else ["train-transcoder", "--model", request.model]
    command = [*COMMAND, *what, "--json", "--config", "-", "--out", str(request.out.resolve())]
    for source in request.sources:
        command += ["--source", source]
    command += ["--backend", request.backend]
    if request.store:
        command += ["--store", request.store]
    if request.device:
        command += ["--device", request.device]
    with file_errors():
        process = _spawn(command, json.dumps(request.config.to_json()), folder)
        identity = {"pid": process.pid, "started": psutil.Process(process.pid).create_time()}
        write_whole(folder.path / PROCESS, json.dumps(identity))
    # a child that nobody waits for would stay in the process table
    threading.Thread(target=process.wait, daemon=True).start()


def _spawn(command: Sequence[str], settings: str, folder: RunFolder) -> subprocess.Popen[bytes]:
    """Start a process that reads its settings from a file which is gone once it has opened it."""
    with (folder.path / "output.log").open("ab") as output, tempfile.TemporaryFile() as file:
        file.write(settings.encode())
        file.seek(0)
        return subprocess.Popen(
            command,
            stdin=file,
            stdout=subprocess.DEVNULL,
            stderr=output,
            env=_environment(),
            start_new_session=True,
        )


def _environment() -> dict[str, str]:
    """Return this process's environment, with this copy of the package to be found first."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def measure_speed_apart(config: TrainConfig) -> TrainingSpeed:
    """Measure how fast training would run, in a process like the one that would do it.

    Inside a server, whose threads share memory and processors, it would seem slower than it is.

    Raises:
        TrainingError: If the process fails.
    """
    found, said = _answer([*COMMAND, "estimate", "--json", "--config", "-"], config.to_json())
    try:
        return TrainingSpeed(**found["seconds_per_token"])
    except (KeyError, TypeError) as error:
        raise TrainingError(f"The training's speed could not be measured: {said}") from error


def estimate_transcoder_apart(
    config: TranscoderTrainConfig, model: str, out: Path
) -> TranscoderEstimate:
    """Estimate a transcoder's training in a process of its own, which opens the model.

    Raises:
        TrainingError: If the training would refuse to begin, in its words, or the process fails.
    """
    command = [*COMMAND, "train-transcoder", "--estimate", "--json", "--config", "-"]
    found, said = _answer([*command, "--model", model, "--out", str(out)], config.to_json())
    if "error" in found:
        raise TrainingError(str(found["error"]))
    try:
        return TranscoderEstimate.from_json(found)
    except (KeyError, TypeError) as error:
        raise TrainingError(f"The training's speed could not be measured: {said}") from error


def _answer(command: Sequence[str], settings: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the JSON object that a command answers with, empty if none, and its last words."""
    try:
        done = subprocess.run(
            command,
            input=json.dumps(settings),
            capture_output=True,
            text=True,
            env=_environment(),
            check=False,
        )
    except OSError as error:  # where no process may be started, as in a warehouse
        raise TrainingError(f"The training's speed could not be measured: {error}") from error
    said = (done.stderr.strip() or done.stdout.strip()).split("\n")[-1]
    try:
        found = json.loads(done.stdout)
    except ValueError:
        found = None
    return (found if isinstance(found, dict) else {}), said


def training_state(folder: RunFolder) -> TrainingState:
    """Read a run folder. A line that is being written is passed over."""
    if not folder.events.is_file() and not (folder.path / PROCESS).is_file():
        return TrainingState("none", ())
    lines: list[str] = []
    if folder.events.is_file():
        lines = folder.events.read_text(encoding="utf-8").splitlines()
    events = tuple(event for line in lines if (event := event_from_json(line)) is not None)
    if _process_of(folder) is not None:
        return TrainingState("running", events, stopping=_is_asked(folder))
    if not folder.path.is_dir():  # it has finished while it was read
        return TrainingState("none", ())
    last = events[-1] if events else None
    if isinstance(last, TrainingFailed):
        return TrainingState("failed", events, last.message)
    if not isinstance(last, TrainingCancelled) and _is_asked(folder):
        last = TrainingCancelled()  # it ended before it had anything to save, or to say
    if isinstance(last, TrainingCancelled):
        return TrainingState("cancelled", events, last.message)
    return TrainingState("interrupted", events, _last_words(folder))


def _last_words(folder: RunFolder) -> str:
    """Return the end of what a process that just vanished wrote to its error stream."""
    output = folder.path / "output.log"
    lines = (
        output.read_text(encoding="utf-8", errors="replace").split("\n") if output.is_file() else []
    )
    said = [line for line in lines if line.strip()]
    return said[-1] if said else "The process ended without a word; it may have been killed."


def cancel_training(folder: RunFolder) -> bool:
    """Ask a running training to save a checkpoint and stop; False where none is running.

    One that still reads its text on this machine has nothing to save: if it is in the middle of a
    long step there, as where tokens are learned, it is ended.
    """
    process = _process_of(folder)
    if process is None:
        return False
    shutil.copyfile(folder.path / PROCESS, folder.path / ASKED)
    process.terminate()
    threading.Thread(target=_end_early_one, args=(folder, process), daemon=True).start()
    return True


def _end_early_one(folder: RunFolder, process: psutil.Process) -> None:
    """End a training that was asked to stop and has nothing to save, if it does not end itself."""
    try:
        process.wait(PATIENCE_SECONDS)
    except psutil.TimeoutExpired:
        with suppress(psutil.Error, TrainingError):
            request = TrainingRequest.load(folder)
            here = request is not None and request.backend == "local"
            if here and max(folder.progress()) < 0 and _reads_text(training_state(folder).events):
                process.kill()


def _reads_text(events: Sequence[Event]) -> bool:
    """Tell whether nothing but the first phase has begun."""
    begun = [event.phase for event in events if isinstance(event, PhaseStarted)]
    return set(begun) <= {PHASES[0]} and not any(isinstance(e, PhaseFinished) for e in events)


def _is_asked(folder: RunFolder) -> bool:
    """Tell whether the process that trains was asked to stop; an earlier one does not count."""
    try:
        asked, now = ((folder.path / name).read_bytes() for name in (ASKED, PROCESS))
    except OSError:
        return False
    return asked == now


def list_runs(models: Path) -> tuple[str, ...]:
    """Return the names of trainings that were begun and not finished."""
    runs = models / ".runs"
    if not runs.is_dir():
        return ()
    found = (path.name for path in runs.iterdir() if path.is_dir())
    return tuple(sorted(name for name in found if not name_fault(name)))


def _process_of(folder: RunFolder) -> psutil.Process | None:
    """Return the training's process if it lives; a number that was reused does not count."""
    try:
        record = json.loads((folder.path / PROCESS).read_text(encoding="utf-8"))
        process = psutil.Process(int(record["pid"]))
        same = abs(process.create_time() - float(record["started"])) < 1.0
        alive = process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, RecursionError, KeyError, psutil.Error):
        return None
    return process if same and alive else None
