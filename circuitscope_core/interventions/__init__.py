"""Change features, errors and tokens by hand, and see what the model does."""

from circuitscope_core.interventions.changes import (
    Change,
    ErrorIntervention,
    Intervention,
    TokenIntervention,
)
from circuitscope_core.interventions.generation import Continuation, continue_prompt
from circuitscope_core.interventions.intervene import (
    InterventionResult,
    Mode,
    intervene,
    intervene_on,
)
from circuitscope_core.interventions.many import ManyResults, intervene_many
from circuitscope_core.interventions.nodes import How, change_nodes
from circuitscope_core.interventions.prediction import (
    PredictedChanges,
    predict_direct,
    predict_total,
)

__all__ = [
    "Change",
    "Continuation",
    "ErrorIntervention",
    "How",
    "Intervention",
    "InterventionResult",
    "ManyResults",
    "Mode",
    "PredictedChanges",
    "TokenIntervention",
    "change_nodes",
    "continue_prompt",
    "intervene",
    "intervene_many",
    "intervene_on",
    "predict_direct",
    "predict_total",
]
