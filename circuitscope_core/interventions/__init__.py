"""Change features, errors and tokens by hand, and see what the model does."""

from circuitscope_core.interventions.ablation import ablate_in_replacement
from circuitscope_core.interventions.changes import (
    Change,
    ErrorIntervention,
    Intervention,
    TokenIntervention,
)
from circuitscope_core.interventions.curve import PatchedNode, PatchedRest, PatchingCurve
from circuitscope_core.interventions.experiment import (
    AblationRow,
    Experiment,
    Handle,
    NodeChange,
    OutputRow,
    Sweep,
    ablate,
    changes_of,
    node_changes,
    run_experiment,
    sweep,
)
from circuitscope_core.interventions.generation import Continuation, continue_prompt
from circuitscope_core.interventions.intervene import (
    InterventionResult,
    Mode,
    intervene,
    intervene_on,
)
from circuitscope_core.interventions.many import ManyResults, intervene_many, logits_at
from circuitscope_core.interventions.node_changes import How, change_nodes
from circuitscope_core.interventions.patching import verify_by_patching
from circuitscope_core.interventions.prediction import (
    PredictedChanges,
    predict_direct,
    predict_total,
)
from circuitscope_core.interventions.slopes import predict_alone

__all__ = [
    "AblationRow",
    "Change",
    "Continuation",
    "ErrorIntervention",
    "Experiment",
    "Handle",
    "How",
    "Intervention",
    "InterventionResult",
    "ManyResults",
    "Mode",
    "NodeChange",
    "OutputRow",
    "PatchedNode",
    "PatchedRest",
    "PatchingCurve",
    "PredictedChanges",
    "Sweep",
    "TokenIntervention",
    "ablate",
    "ablate_in_replacement",
    "change_nodes",
    "changes_of",
    "continue_prompt",
    "intervene",
    "intervene_many",
    "intervene_on",
    "logits_at",
    "node_changes",
    "predict_alone",
    "predict_direct",
    "predict_total",
    "run_experiment",
    "sweep",
    "verify_by_patching",
]
