"""Scores of graph files, whatever tool wrote them; ``docs/benchmarks.md`` defines them."""

from circuitscope_core.evals.scoring.effects import FileEffects, rank_correlation, score_effects
from circuitscope_core.evals.scoring.evidence import (
    FileLocalization,
    find_question,
    score_localization,
)
from circuitscope_core.evals.scoring.flow import FileFlow, file_flow
from circuitscope_core.evals.scoring.scored_circuit import FileCircuit, score_circuit

__all__ = [
    "FileCircuit",
    "FileEffects",
    "FileFlow",
    "FileLocalization",
    "file_flow",
    "find_question",
    "rank_correlation",
    "score_circuit",
    "score_effects",
    "score_localization",
]
