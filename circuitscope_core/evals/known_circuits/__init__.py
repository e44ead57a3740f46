"""Programs whose circuit is known, and how well graphs show it."""

from circuitscope_core.evals.known_circuits.compiled_model import (
    ProgramTokenizer,
    oracle_replacement,
    oracle_transcoder,
    program_model,
    program_outputs,
    program_tokenizer,
)
from circuitscope_core.evals.known_circuits.component_edges import ComponentEdge
from circuitscope_core.evals.known_circuits.components import component_flows
from circuitscope_core.evals.known_circuits.measure import (
    CircuitScore,
    FoundEdges,
    average_precision,
    measure_circuit,
    possible_edges,
    strongest_edges,
)
from circuitscope_core.evals.known_circuits.program import (
    CompiledProgram,
    ProgramExample,
    VariableEdge,
    find_programs,
    load_program,
)
from circuitscope_core.evals.known_circuits.training import PROGRAM_TRAINING, train_on_program
from circuitscope_core.evals.known_circuits.truth import live_edges, live_node_edges

__all__ = [
    "PROGRAM_TRAINING",
    "CircuitScore",
    "CompiledProgram",
    "ComponentEdge",
    "FoundEdges",
    "ProgramExample",
    "ProgramTokenizer",
    "VariableEdge",
    "average_precision",
    "component_flows",
    "find_programs",
    "live_edges",
    "live_node_edges",
    "load_program",
    "measure_circuit",
    "oracle_replacement",
    "oracle_transcoder",
    "possible_edges",
    "program_model",
    "program_outputs",
    "program_tokenizer",
    "strongest_edges",
    "train_on_program",
]
