"""``train``: from documents to a saved bundle, phase by phase, as one stream of events."""

from circuitscope_core.pipeline.bundle_job import phase_seconds
from circuitscope_core.pipeline.names import check_free, free_name, numbered
from circuitscope_core.pipeline.planned_model import PlannedModel
from circuitscope_core.pipeline.run_log import (
    BUNDLE,
    CANCEL,
    EVENTS,
    RunLog,
    file_errors,
    logged,
)
from circuitscope_core.pipeline.train import (
    Source,
    TrainingPlan,
    assist,
    carry_out,
    train,
    train_transcoder,
)
from circuitscope_core.pipeline.training_phases import check_share

__all__ = [
    "BUNDLE",
    "CANCEL",
    "EVENTS",
    "PlannedModel",
    "RunLog",
    "Source",
    "TrainingPlan",
    "assist",
    "carry_out",
    "check_free",
    "check_share",
    "file_errors",
    "free_name",
    "logged",
    "numbered",
    "phase_seconds",
    "train",
    "train_transcoder",
]
