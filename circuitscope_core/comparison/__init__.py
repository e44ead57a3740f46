"""Two pruned graphs on shared axes: what is kept in A, in B, in both, and what changed."""

from circuitscope_core.comparison.align import Column, align
from circuitscope_core.comparison.compare import OutputsBy, compare_graphs
from circuitscope_core.comparison.compared_circuit import compared_circuit
from circuitscope_core.comparison.compared_graphs import (
    ComparedEdge,
    ComparedEdges,
    ComparedNode,
    Comparison,
    EdgeColumns,
    Presence,
    Side,
)
from circuitscope_core.comparison.feature_matrix import (
    FeatureMatrix,
    MatrixRow,
    RowsBy,
    Value,
    feature_matrix,
)

__all__ = [
    "Column",
    "ComparedEdge",
    "ComparedEdges",
    "ComparedNode",
    "Comparison",
    "EdgeColumns",
    "FeatureMatrix",
    "MatrixRow",
    "OutputsBy",
    "Presence",
    "RowsBy",
    "Side",
    "Value",
    "align",
    "compare_graphs",
    "compared_circuit",
    "feature_matrix",
]
