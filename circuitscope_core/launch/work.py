"""The work of a worker process, wherever it was started: the same for every backend."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from circuitscope_core.config import TrainConfig, TranscoderTrainConfig
from circuitscope_core.files import temporary_folder
from circuitscope_core.launch.following import StopSign, say_error
from circuitscope_core.pipeline import PlannedModel, TrainingPlan, assist, carry_out
from circuitscope_core.stages import FileStore
from circuitscope_core.training import (
    PhaseFinished,
    TrainingFinished,
    WorkerLost,
    Workers,
)


@dataclass(frozen=True)
class Assignment:
    """The order that all workers of a training are given; plain data."""

    config: dict[str, Any]
    sources: tuple[str, ...]
    name: str
    command: str = ""
    model: dict[str, Any] | None = None
    """Place, device and precision of the model that transcoders are trained for; None: none."""

    def to_json(self) -> dict[str, Any]:
        """Return plain data that ``from_json`` turns back into an equal assignment."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Assignment":
        """Return the assignment that ``to_json`` made plain."""
        return cls(**{**data, "sources": tuple(data["sources"])})


def work(assignment: Assignment, workers: Workers, store: FileStore, n_cores: int) -> None:
    """Train as one of several workers; number 0 leaves all that happens in the store.

    Args:
        assignment: The same for all.
        workers: This process among the others.
        store: Where checkpoints come from, and where they, events and the bundle go.
        n_cores: Processors that number 0 uses when it is the only one left at work.

    Raises:
        WorkerLost: If another worker ended.
        TrainingError: As ``train`` does.
    """
    try:
        model = None if assignment.model is None else PlannedModel(**assignment.model)
        kind = TrainConfig if model is None else TranscoderTrainConfig
        config = kind.from_json(assignment.config)
        if workers.rank == 0:
            plan = (config, model)
            _lead(assignment, plan, workers, store, n_cores)
        else:
            assist(config, workers, model)
    except WorkerLost:
        raise
    except BaseException as error:
        say_error(store, workers.rank, error)
        raise


def _lead(
    assignment: Assignment,
    what: tuple[TrainConfig | TranscoderTrainConfig, PlannedModel | None],
    workers: Workers,
    store: FileStore,
    n_cores: int,
) -> None:
    config, model = what
    stop = StopSign(store)
    with temporary_folder() as place:
        out = place / assignment.name
        plan = TrainingPlan(
            config, assignment.sources, out, command=assignment.command, model=model
        )
        events = carry_out(plan, workers, store)
        for event in events:
            if isinstance(event, PhaseFinished) and event.phase == "transcoder":
                torch.set_num_threads(n_cores)  # the other workers are done
            if stop() and not isinstance(event, TrainingFinished):
                events.close()
                return
