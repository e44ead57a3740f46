"""Events that a training reports while it runs: typed, and the same as JSON lines."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias, get_args

Phase = Literal["corpus", "language model", "transcoder", "metrics", "exam", "feature cards"]
PHASES: tuple[Phase, ...] = get_args(Phase)
"""The phases in the order in which they run."""


@dataclass(frozen=True)
class PhaseStarted:
    """A phase begins. ``first_step`` is above 0 where a checkpoint was resumed."""

    phase: Phase
    n_steps: int
    first_step: int = 0


@dataclass(frozen=True)
class Progress:
    """A phase went on.

    ``metrics`` of the corpus: ``sample_characters`` that tokens are learned from, ``tokens`` read
    or written so far; of the language model: ``loss`` and now and then ``validation_loss`` (bits a
    byte); of the transcoder: ``harvested`` (share of the next activations that is collected), or
    ``loss``, ``normalized_mse``, ``l0`` (active features per token and layer), ``causal_loss`` (the
    part of the loss that is taken from interventions), ``dead`` (share that did not fire since the
    last report of it); and ``l0.2`` and the like for each layer.
    """

    phase: Phase
    step: int
    n_steps: int
    tokens_per_second: float
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """A state was saved from which the phase can be resumed."""

    phase: Phase
    step: int


@dataclass(frozen=True)
class PhaseFinished:
    """A phase is over.

    ``metrics`` of the exam: for each skill ``exam.<skill>.whole`` and ``exam.<skill>.tokens``, the
    shares of ``ExamResult``.
    """

    phase: Phase
    seconds: float
    """Wall time in this process; what an interrupted earlier run took is not in it."""
    metrics: dict[str, float] = field(default_factory=dict)
    message: str = ""


@dataclass(frozen=True)
class TrainingFinished:
    """The bundle is written."""

    bundle: str
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingFailed:
    """The training stopped with an error; the last checkpoint is kept."""

    message: str


@dataclass(frozen=True)
class TrainingCancelled:
    """The training was asked to stop and did; it can be resumed."""

    message: str = "Stopped on request. Start it again to resume from the last checkpoint."


@dataclass(frozen=True)
class Working:
    """No news, but a moment at which a training may be stopped; it is in no log."""


@dataclass(frozen=True)
class WorkersNews:
    """Something about the processes or machines that train, for people to read."""

    status: Literal["waiting", "started", "restarted"]
    """The workers' state; ``restarted``: one was lost, and all resume from the last checkpoint."""
    message: str


Event: TypeAlias = (
    PhaseStarted
    | Progress
    | Checkpoint
    | PhaseFinished
    | TrainingFinished
    | TrainingFailed
    | TrainingCancelled
    | WorkersNews
    | Working
)
_TYPES: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        PhaseStarted,
        Progress,
        Checkpoint,
        PhaseFinished,
        TrainingFinished,
        TrainingFailed,
        TrainingCancelled,
        WorkersNews,
    )
}


def event_to_json(event: Event) -> str:
    """Return the event as one line of JSON."""
    return json.dumps({"event": type(event).__name__, **asdict(event)}, sort_keys=True)


def event_from_json(line: str) -> Event | None:
    """Return the event of a line, or None for a line cut off or of an unknown kind."""
    try:
        data = json.loads(line)
    except json.JSONDecodeError:
        return None
    if not isinstance(data, Mapping) or data.get("event") not in _TYPES:
        return None
    values = {name: value for name, value in data.items() if name != "event"}
    try:
        event: Event = _TYPES[data["event"]](**values)
    except TypeError:
        return None
    return event
