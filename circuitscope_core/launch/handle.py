"""``launch``: start a training somewhere and hold on to it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from circuitscope_core.arguments import checked
from circuitscope_core.bundle import Bundle, load_bundle
from circuitscope_core.config import TrainConfig
from circuitscope_core.errors import TrainingError
from circuitscope_core.files import place_of
from circuitscope_core.launch.backend import parse_backend, require
from circuitscope_core.launch.background import (
    TrainingRequest,
    TrainingState,
    cancel_training,
    start_training,
    training_state,
)
from circuitscope_core.launch.run import absolute_sources
from circuitscope_core.pipeline import Source
from circuitscope_core.training import Event, RunFolder, event_from_json

LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class TrainingRun:
    """A training that was launched. It continues without this object and without this process."""

    out: Path
    """The bundle's folder, once it is trained."""

    @property
    def _folder(self) -> RunFolder:
        return RunFolder.for_bundle(self.out)

    def state(self) -> TrainingState:
        """Return what is known of it now; status ``none`` where it is finished."""
        return training_state(self._folder)

    def events(self) -> Iterator[Event]:
        """Return all events from the first on, waiting for those to come, until it has ended."""
        shown = 0
        while True:
            state = self.state()
            events = state.events if state.status != "none" else self._logged()
            # the log of a finished training is in the bundle, as long as or longer than before
            yield from events[shown:]
            shown = max(shown, len(events))
            if state.status != "running":
                return
            time.sleep(LOOK_SECONDS)

    def _logged(self) -> tuple[Event, ...]:
        if not (self.out / "bundle.json").is_file():
            return ()
        log = load_bundle(self.out).training_log
        return tuple(event for line in log.splitlines() if (event := event_from_json(line)))

    def cancel(self) -> bool:
        """Ask it to save a checkpoint and stop; False where it is not running."""
        return cancel_training(self._folder)

    def result(self) -> Bundle:
        """Wait for the end and return the trained bundle.

        Raises:
            TrainingError: If it failed, was cancelled or was interrupted: in its own words.
        """
        while (state := self.state()).status == "running":
            time.sleep(LOOK_SECONDS)
        if state.status != "none":
            raise TrainingError(f"{self.out.name!r} is not trained. {state.message}".strip())
        return load_bundle(self.out)


@checked
def launch(  # noqa: PLR0913  # each a name of the public interface
    config: TrainConfig,
    source: Source = "builtin",
    out: str | Path = "models/mine",
    *,
    backend: str = "local",
    store: str | None = None,
    device: str | None = None,
    restart: bool = False,
) -> TrainingRun:
    """Start a training, or go on with one, in a process of its own, and return at once.

    Args:
        config: All settings.
        source: As for ``train``, texts and paths only.
        out: Folder of the bundle; its last part is the model's name.
        backend: ``local``, ``procs:N``, ``ray:N``, ``ray:N@auto``, ``ray:N@ray://HOST:10001`` or
            ``snowflake:POOLxN``. All train the same model, up to the rounding of sums.
        store: A folder or ``@database.schema.stage/path`` that mirrors the run; a compute pool
            needs one.
        device: As for ``train``, with the backend ``local``.
        restart: Discard what an earlier, interrupted training of this name left.

    Raises:
        ConfigError: If there is no such backend, or something is missing for it.
        TrainingError: If the name is not allowed, a model has it, the same training runs already,
            or a source exists in this process only.
    """
    require(parse_backend(backend))
    folder = place_of(out).absolute()
    sources = absolute_sources(source)
    request = TrainingRequest(config, sources, folder.parent, folder.name, backend, store, device)
    start_training(request, restart=restart)
    return TrainingRun(folder)
