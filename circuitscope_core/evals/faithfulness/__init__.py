"""Compares the predictions of graphs with ablations of features in the model."""

from circuitscope_core.evals.faithfulness.figures import Figure
from circuitscope_core.evals.faithfulness.held_out_prompts import (
    N_TOKENS,
    HeldOutPrompts,
    held_out_prompts,
)
from circuitscope_core.evals.faithfulness.measure import measure_faithfulness
from circuitscope_core.evals.faithfulness.report import (
    MEASURES,
    METHODS,
    DirectEffects,
    FaithfulnessProgress,
    FaithfulnessReport,
    Measure,
    describe_measure,
)

__all__ = [
    "MEASURES",
    "METHODS",
    "N_TOKENS",
    "DirectEffects",
    "FaithfulnessProgress",
    "FaithfulnessReport",
    "Figure",
    "HeldOutPrompts",
    "Measure",
    "describe_measure",
    "held_out_prompts",
    "measure_faithfulness",
]
