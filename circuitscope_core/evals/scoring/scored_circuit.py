"""A graph file of a compiled program against the circuit that the compiler wrote."""

from collections import defaultdict
from dataclasses import dataclass

from circuitscope_core.errors import ScoreError
from circuitscope_core.evals.known_circuits import (
    CompiledProgram,
    ComponentEdge,
    average_precision,
    live_node_edges,
)
from circuitscope_core.evals.known_circuits.component_edges import EMBED, OUTPUT, mlp_name
from circuitscope_core.evals.scoring.flow import file_flow
from circuitscope_core.export.graph_json import viewer_text
from circuitscope_core.graph import Node, NodeKind
from circuitscope_core.graph_file import GraphFile


@dataclass(frozen=True)
class FileCircuit:
    """A file's edges between components against the true ones that such a file can show."""

    found: int
    true: int
    precision: float
    recall: float
    average_precision: float
    """The average precision of edges ranked by the flow along them."""


def score_circuit(file: GraphFile, program: CompiledProgram) -> FileCircuit:
    """Compare the components that a file's nodes belong to, and the links between them.

    A token node is the embedding, a feature or an error its layer's MLP, an output the output. Only
    links through which influence reaches an output count. Heads, and what made them attend, are in
    no file: a head's source counts as the source of what reads the head.

    Raises:
        ScoreError: If the prompt is no input of the program, or the file has other layers.
    """
    token_ids = _token_ids(file, program)
    truth = live_node_edges(program, token_ids)
    flow = file_flow(file)
    flows: dict[ComponentEdge, float] = defaultdict(float)
    edges = flow.circuit.edges
    carrying = flow.edge_influence.nonzero()[:, 0]
    columns = (edges.targets[carrying], edges.sources[carrying], flow.edge_influence[carrying])
    for target, source, carried in zip(*(column.tolist() for column in columns), strict=True):
        src = _component(file.nodes[source].node, program)
        dst = _component(file.nodes[target].node, program)
        slot = "unembed" if dst == OUTPUT else "mlp_in"
        flows[ComponentEdge(src, dst, slot)] += carried
    right = len(truth & set(flows))
    return FileCircuit(
        found=len(flows),
        true=len(truth),
        precision=right / len(flows) if flows else 1.0,
        recall=right / len(truth) if truth else 1.0,
        average_precision=average_precision(flows, truth),
    )


def _token_ids(file: GraphFile, program: CompiledProgram) -> tuple[int, ...]:
    ids = {text: number for number, text in enumerate(program.tokens)}
    ids |= {viewer_text(text): number for text, number in ids.items()}
    unknown = [text for text in file.token_texts if text not in ids]
    if unknown or file.token_texts[0] != program.separator:
        what = f"the token {unknown[0]!r}" if unknown else f"no {program.separator!r} at its start"
        raise ScoreError(
            f"The file's prompt has {what}; the program {program.name!r} reads "
            f"{', '.join(program.tokens)}, opened by {program.separator!r}."
        )
    if len(file.token_texts) > program.n_ctx:
        raise ScoreError(
            f"The file's prompt has {len(file.token_texts)} tokens; the program {program.name!r} "
            f"reads at most {program.n_ctx}."
        )
    return tuple(ids[text] for text in file.token_texts)


def _component(node: Node, program: CompiledProgram) -> str:
    if node.kind is NodeKind.TOKEN:
        return EMBED
    if node.kind is NodeKind.LOGIT:
        return OUTPUT
    if node.layer >= program.n_layers:
        raise ScoreError(
            f"The file has a node in layer {node.layer}; the program {program.name!r} has "
            f"{program.n_layers} layers, from 0 on."
        )
    return mlp_name(node.layer)
