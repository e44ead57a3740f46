"""Starts a training in its place, and watches, cancels and resumes it."""

from circuitscope_core.launch.backend import (
    Backend,
    BackendChoice,
    available_backends,
    parse_backend,
)
from circuitscope_core.launch.background import (
    TrainingRequest,
    TrainingState,
    cancel_training,
    check_name,
    estimate_transcoder_apart,
    list_runs,
    measure_speed_apart,
    start_training,
    training_state,
)
from circuitscope_core.launch.handle import TrainingRun, launch
from circuitscope_core.launch.run import run_training

__all__ = [
    "Backend",
    "BackendChoice",
    "TrainingRequest",
    "TrainingRun",
    "TrainingState",
    "available_backends",
    "cancel_training",
    "check_name",
    "estimate_transcoder_apart",
    "launch",
    "list_runs",
    "measure_speed_apart",
    "parse_backend",
    "run_training",
    "start_training",
    "training_state",
]
