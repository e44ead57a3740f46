"""One prompt of many: its graph as text, and what a table says of it."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from circuitscope_core.answers import Answer as GivenAnswer
from circuitscope_core.bundle import Bundle, is_entry, load_bundle, read_entry, record_file
from circuitscope_core.config import AttributionConfig, PruneConfig, TraceConfig
from circuitscope_core.errors import BundleError, CircuitScopeError
from circuitscope_core.export import graph_to_json
from circuitscope_core.graph import NodeKind
from circuitscope_core.tracing import Trace, trace
from circuitscope_core.values import one_line

N_FEATURES = 10
"""Features of each graph that the table lists."""


@one_line
@dataclass(frozen=True)
class PromptTraced:
    """One prompt of many is done."""

    number: int
    """The number of the prompt, from 0, in the order in which prompts were given."""
    n_prompts: int
    prompt: str
    graph: str
    """Name of the file with its graph; empty where there is none."""
    error: str = ""
    """The reason why there is no graph, as a sentence; empty where there is one."""
    prediction: str = ""
    """The most likely next token, or the answer that was explained."""
    probability: float = 0.0
    scores: dict[str, float] = field(default_factory=dict)
    n_nodes: int = 0
    """Nodes that pruning kept."""
    n_edges: int = 0


@dataclass(frozen=True)
class Work:
    """All that is the same for every prompt."""

    folder: Path
    """The bundle's."""
    device: str | None
    config: AttributionConfig
    prune: PruneConfig
    answer: GivenAnswer | None = None
    graphs: bool = True
    """Whether a file is written for each graph."""

    def open(self) -> Bundle:
        """Load the bundle."""
        return load_bundle(self.folder, device=self.device)

    def check(self) -> None:
        """Make sure that the bundle can be opened; a model that was added is not read for that.

        Raises:
            BundleError: If it is damaged, or the model's own folder is gone or another one.
        """
        if is_entry(self.folder):
            read_entry(self.folder).weights_folder()
        else:
            load_bundle(self.folder, device="cpu")

    @property
    def digest(self) -> str:
        """Return a hash of everything that decides a prompt's row: bundle and settings."""
        record = record_file(self.folder)
        if record is None:
            raise BundleError(f"{self.folder} is no bundle. Give the folder of one.")
        settings = [self.config.to_json(), self.prune.to_json(), repr(self.answer)]
        told = json.dumps(settings, sort_keys=True, default=str).encode()
        return hashlib.sha256(record.read_bytes() + told).hexdigest()


@dataclass(frozen=True)
class Answered:
    """The answer of a worker about one prompt."""

    text: str
    """The graph as JSON; empty where there is none."""
    row: dict[str, Any]
    """Fields of ``PromptTraced``."""
    features: tuple[dict[str, Any], ...] = ()
    """The kept features with the most influence, most first."""


def trace_prompt(bundle: Bundle, prompt: str, work: Work) -> Answered:
    """Return a prompt's graph as JSON and what the table says of it."""
    try:
        found = trace(bundle, prompt, TraceConfig(work.config, work.prune), answer=work.answer)
        text = ""
        if work.graphs:
            text = json.dumps(graph_to_json(found, supernodes=found.supernodes))
    except CircuitScopeError as error:
        return Answered("", {"error": str(error)})
    graph = found.graph
    best = int(torch.as_tensor(graph.logit_probabilities).argmax())
    said, probability = graph.logit_texts[best], float(graph.logit_probabilities[best])
    if graph.answer is not None:
        said, probability = graph.answer.text, graph.answer.probability
    row = {
        "prediction": said,
        "probability": probability,
        "scores": {name: float(value) for name, value in vars(found.scores).items()},
        "n_nodes": found.pruned.n_nodes,
        "n_edges": found.pruned.n_edges,
    }
    return Answered(text, row, tuple(strongest(found)))


def strongest(found: Trace) -> list[dict[str, Any]]:
    """Return the kept features with the most influence, most first."""
    circuit = found.circuit
    rows = circuit.rows_of(NodeKind.FEATURE)
    order = circuit.influence[rows].argsort(descending=True, stable=True)[:N_FEATURES]
    return [
        {
            "layer": int(circuit.layers[row]),
            "position": int(circuit.positions[row]),
            "feature": int(circuit.features[row]),
            "token": circuit.token_texts[int(circuit.positions[row])],
            "label": circuit.labels[row],
            "influence": float(circuit.influence[row]),
            "activation": float(circuit.activations[row]),
        }
        for row in rows[order].tolist()
    ]


def plain_row(done: PromptTraced, answered: Answered, digest: str) -> dict[str, Any]:
    """Return a prompt's row of the table as plain data."""
    return {**asdict(done), "features": list(answered.features), "work": digest}
