"""A graph file as a circuit: the table that our own graphs have."""

import re
from collections.abc import Mapping
from dataclasses import replace

import torch

from circuitscope_core.circuit import KINDS, Circuit, CircuitEdges, node_name
from circuitscope_core.graph import NodeKind, output_weights
from circuitscope_core.graph_file.file_values import FileNode, GraphFile
from circuitscope_core.pruning import propagate_edges
from circuitscope_core.tokenizer import output_name

LONGEST_LABEL, LONGEST_TOKEN = 300, 60
"""Characters that are drawn; files may hold labels of any length."""
OUTPUT_LABEL = re.compile(r'Output "(.*)" \(p=[^()]*\)', re.DOTALL)


def circuit_of_file(file: GraphFile) -> Circuit:
    """Return a file's nodes and links as a circuit.

    Influence and shares are computed from the file's links, by the rules of our own graphs. The
    part that pruning left out is not in the file, so they are shares of its contents.
    """
    texts = tuple(shorten(text, LONGEST_TOKEN) for text in file.token_texts)
    n = len(file.nodes)
    nodes = [item.node for item in file.nodes]
    named = [_named(item, texts[item.node.position]) for item in file.nodes]
    layers = torch.tensor([node.layer for node in nodes])
    worth = _worth_of(file)
    sources = torch.tensor([link.source for link in file.links], dtype=torch.int64)
    targets = torch.tensor([link.target for link in file.links], dtype=torch.int64)
    weights = torch.tensor([link.weight for link in file.links], dtype=torch.float32)
    missing = float("nan")
    return Circuit(
        prompt=file.prompt,
        token_texts=texts,
        n_layers=file.n_layers,
        ids=tuple(item.id for item in file.nodes),
        index=torch.arange(n),
        kinds=torch.tensor([KINDS.index(node.kind) for node in nodes]),
        layers=layers,
        positions=torch.tensor([node.position for node in nodes]),
        features=torch.tensor([node.feature for node in nodes]),
        labels=tuple(label for label, _ in named),
        names=tuple(name for _, name in named),
        influence=propagate_edges(layers, worth, sources, targets, weights),
        reached=_column([item.reached for item in file.nodes]),
        score=_column([item.score for item in file.nodes]),
        ablation_bits=_column([item.ablation_bits for item in file.nodes]),
        activations=_column(
            [
                item.activation if item.node.kind is NodeKind.FEATURE else missing
                for item in file.nodes
            ]
        ),
        probabilities=_column(
            [item.probability if _is_token_output(item) else missing for item in file.nodes]
        ),
        worth=worth,
        dropped=torch.zeros(n, device="cpu", dtype=torch.float32),
        edges=CircuitEdges.of(sources, targets, weights, n),
    )


def _column(values: list[float | None]) -> torch.Tensor:
    """Return numbers as a column, NaN where there is none."""
    return torch.tensor(
        [float("nan") if value is None else value for value in values], dtype=torch.float32
    )


def _worth_of(file: GraphFile) -> torch.Tensor:
    """Return how much each output counts, as in our own graphs; 0 for other nodes."""
    worth = torch.tensor(
        [item.probability or 0.0 for item in file.nodes], device="cpu", dtype=torch.float32
    )
    rows = [at for at, item in enumerate(file.nodes) if item.node.kind is NodeKind.LOGIT]
    nodes = [file.nodes[at].node for at in rows]
    positions, tokens = ([getattr(n, name) for n in nodes] for name in ("position", "feature"))
    worth[rows] = output_weights(
        worth[rows], torch.tensor(positions, device="cpu"), torch.tensor(tokens, device="cpu")
    )
    return worth


def _is_token_output(item: FileNode) -> bool:
    return item.node.kind is NodeKind.LOGIT and item.node.feature >= 0


def _named(item: FileNode, token_text: str) -> tuple[str, str]:
    """Return a node's label and the words that it is called by."""
    node = item.node
    if node.kind is not NodeKind.LOGIT:
        label = shorten(item.label, LONGEST_LABEL)
        unnamed = "" if node.feature >= 0 else shorten(item.id, LONGEST_LABEL)
        return label, node_name(node, token_text, label or unnamed)
    written = OUTPUT_LABEL.fullmatch(item.label)
    text = shorten(written[1] if written else item.label or item.id, LONGEST_LABEL)
    return text, output_name(text, is_token=written is not None and node.feature >= 0)


def with_labels(circuit: Circuit, given: Mapping[str, str]) -> Circuit:
    """Return a file's circuit with a person's labels, by the ids of features."""
    labels, names = list(circuit.labels), list(circuit.names)
    for name, text in given.items():
        row = circuit.rows.get(name)
        if row is None or circuit.node(row).kind is not NodeKind.FEATURE:
            continue
        node = circuit.node(row)
        labels[row] = shorten(text, LONGEST_LABEL)
        unnamed = name if node.feature < 0 else ""
        token_text = circuit.token_texts[node.position]
        names[row] = node_name(node, token_text, labels[row] or unnamed)
    return replace(circuit, labels=tuple(labels), names=tuple(names))


def shorten(text: str, length: int) -> str:
    """Return a text cut to at most ``length`` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"
