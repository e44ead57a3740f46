"""Both training loops as generators of events, their checkpoints, and the metrics."""

from circuitscope_core.training.activations import Activations, harvest
from circuitscope_core.training.batches import TokenWindows
from circuitscope_core.training.checkpoints import CheckpointFile
from circuitscope_core.training.estimate import TimeEstimate, TrainingSpeed, measure_speed
from circuitscope_core.training.events import (
    PHASES,
    Checkpoint,
    Event,
    Phase,
    PhaseFinished,
    PhaseStarted,
    Progress,
    TrainingCancelled,
    TrainingFailed,
    TrainingFinished,
    WorkersNews,
    Working,
    event_from_json,
    event_to_json,
)
from circuitscope_core.training.language_model import LanguageModelTrainer, measure_loss
from circuitscope_core.training.metrics import ReplacementMetrics, measure_replacement
from circuitscope_core.training.pace import Pace
from circuitscope_core.training.run_folder import RunFolder
from circuitscope_core.training.transcoder_loop import TranscoderTrainer
from circuitscope_core.training.workers import ALONE, GroupWorkers, WorkerLost, Workers

__all__ = [
    "ALONE",
    "PHASES",
    "Activations",
    "Checkpoint",
    "CheckpointFile",
    "Event",
    "GroupWorkers",
    "LanguageModelTrainer",
    "Pace",
    "Phase",
    "PhaseFinished",
    "PhaseStarted",
    "Progress",
    "ReplacementMetrics",
    "RunFolder",
    "TimeEstimate",
    "TokenWindows",
    "TrainingCancelled",
    "TrainingFailed",
    "TrainingFinished",
    "TrainingSpeed",
    "TranscoderTrainer",
    "WorkerLost",
    "Workers",
    "WorkersNews",
    "Working",
    "event_from_json",
    "event_to_json",
    "harvest",
    "measure_loss",
    "measure_replacement",
    "measure_speed",
]
