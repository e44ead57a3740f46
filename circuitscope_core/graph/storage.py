"""An attribution graph as one file: tensors in safetensors, texts as JSON in its header.

The adjacency is written as its edges, row by row, so that a file is as large as the graph is full.
"""

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.errors import GraphError, GraphFileError
from circuitscope_core.files import place_of, written
from circuitscope_core.graph.alternatives import Alternatives
from circuitscope_core.graph.attribution_graph import AttributionGraph
from circuitscope_core.graph.fitting import check_tensors
from circuitscope_core.graph.graph_parts import GraphTargets, NeuronChoice
from circuitscope_core.graph.lazy_memory import lazy_zeros

FORMAT = "circuitscope-graph"
FORMAT_VERSION = 1
COLUMNS = (
    "features",
    "activations",
    "error_vectors",
    "token_ids",
    "logit_token_ids",
    "logit_probabilities",
    "bias",
    "pre_activations",
)
TARGETS = ("directions", "layers", "positions")
CHOICE = ("n_candidates", "share_of_squares", "folded", "against")
OF_NEURONS = ("effects", "other_activations")
ALTERNATIVES = ("token_ids", "probabilities", "positions", "effects")
TOKENS = "targets.tokens"
"""The tokens of targets; files that were written before targets knew them have none."""
REST = "rest"
"""The sums of features that are no nodes, in files of graphs that leave active features out."""


def save_graph(graph: AttributionGraph, path: str | Path) -> Path:
    """Write a graph as one safetensors file, whole or not at all.

    Raises:
        GraphFileError: If the file cannot be written.
    """
    target = place_of(path)
    edges = graph.edges()
    row_counts = torch.bincount(edges.targets, minlength=graph.n_nodes)
    tensors = {name: getattr(graph, name).contiguous() for name in COLUMNS}
    tensors |= {
        "edges.row_counts": row_counts,
        "edges.sources": edges.sources.to(torch.int32),
        "edges.weights": edges.weights,
    }
    if graph.targets is not None:
        tensors |= _named("targets", graph.targets, TARGETS)
        if graph.targets.tokens is not None:
            tensors[TOKENS] = graph.targets.tokens
    if graph.alternatives is not None:
        tensors |= _named("alternatives", graph.alternatives, ALTERNATIVES)
    if graph.rest is not None:
        tensors[REST] = graph.rest
    texts = {
        "version": FORMAT_VERSION,
        "prompt": graph.prompt,
        "token_texts": graph.token_texts,
        "logit_texts": graph.logit_texts,
        "n_active_features": graph.n_active_features,
    }
    if graph.choice is not None:
        texts["choice"] = {name: getattr(graph.choice, name) for name in CHOICE}
        tensors |= _named("neurons", graph.choice, OF_NEURONS)
    with written(target, GraphFileError, "The graph") as partial:
        save_file(tensors, partial, metadata={FORMAT: json.dumps(texts)})
    return target


@checked
def load_graph(path: str | Path) -> AttributionGraph:
    """Read a graph that ``AttributionGraph.save`` wrote.

    Raises:
        GraphFileError: If the file cannot be read, is no such file, or its parts do not fit
            together.
    """
    path = place_of(path)
    try:
        with safe_open(path, framework="pt") as file:
            texts = _texts(path, (file.metadata() or {}).get(FORMAT))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, struct.error) as error:
        raise GraphFileError(f"The graph in {path} cannot be read: {error}") from error
    needed = {*COLUMNS, "edges.row_counts", "edges.sources", "edges.weights"}
    given = {*(f"targets.{name}" for name in TARGETS), TOKENS} & set(tensors)
    beside = {f"alternatives.{name}" for name in ALTERNATIVES} & set(tensors)
    own = {f"neurons.{name}" for name in OF_NEURONS} if "choice" in texts else set()
    needed |= own
    if missing := sorted(needed - set(tensors)):
        raise GraphFileError(f"The graph in {path} lacks {missing[0]}; save it again.")
    if unknown := sorted(set(tensors) - needed - given - beside - {REST}):
        raise GraphFileError(f"The graph in {path} has {unknown[0]}, which no graph has.")
    try:
        token_texts, logit_texts = (
            _strings(texts, name) for name in ("token_texts", "logit_texts")
        )
        check_tensors(tensors, {"n_pos": token_texts, "n_logits": logit_texts})
        return AttributionGraph(
            adjacency=_adjacency(tensors),
            **{name: tensors[name] for name in COLUMNS},
            token_texts=token_texts,
            logit_texts=logit_texts,
            prompt=str(texts["prompt"]),
            n_active_features=int(texts["n_active_features"]),
            targets=_targets(tensors) if given else None,
            choice=_choice(texts.get("choice"), tensors),
            alternatives=_alternatives(tensors) if beside else None,
            rest=tensors.get(REST),
        )
    except (GraphError, KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise GraphFileError(f"The graph in {path} does not fit together: {error}") from error


def _named(group: str, value: object, names: Sequence[str]) -> dict[str, Tensor]:
    """Return some tensors of a value by the names that they have in a file."""
    return {f"{group}.{name}": getattr(value, name).contiguous() for name in names}


def _strings(texts: dict[str, Any], name: str) -> tuple[str, ...]:
    """Return a list of texts from a file's header."""
    found = texts[name]
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise ValueError(f"{name} is no list of texts")
    return tuple(found)


def _targets(tensors: dict[str, Tensor]) -> GraphTargets:
    """Return the vectors of the outputs."""
    parts = {name: tensors[f"targets.{name}"] for name in TARGETS}
    return GraphTargets(**parts, tokens=tensors.get(TOKENS))


def _alternatives(tensors: dict[str, Tensor]) -> Alternatives:
    """Return the tokens that outputs are told from."""
    return Alternatives(*(tensors[f"alternatives.{name}"] for name in ALTERNATIVES))


def _choice(record: dict[str, Any] | None, tensors: dict[str, Tensor]) -> NeuronChoice | None:
    """Return how neurons were chosen, where the features are a model's own."""
    if record is None:
        return None
    return NeuronChoice(
        n_candidates=int(record["n_candidates"]),
        share_of_squares=float(record["share_of_squares"]),
        folded=bool(record["folded"]),
        against=tuple(map(int, record["against"])),
        **{name: tensors[f"neurons.{name}"] for name in OF_NEURONS},
    )


def _texts(path: str | Path, header: str | None) -> dict[str, Any]:
    try:
        texts = json.loads(header or "")
        version = texts["version"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise GraphFileError(
            f"{path} is no graph of CircuitScope's; give a file that graph.save() wrote."
        ) from error
    if version != FORMAT_VERSION:
        raise GraphFileError(
            f"The graph in {path} has the format version {version!r}; only version "
            f"{FORMAT_VERSION} can be read. Save it again with this version."
        )
    found: dict[str, Any] = texts
    return found


def _adjacency(tensors: dict[str, Tensor]) -> Tensor:
    """Return the matrix of the edges; rows without edges take no memory."""
    counts = tensors["edges.row_counts"]
    sources, weights = tensors["edges.sources"].long(), tensors["edges.weights"]
    if int(counts.sum()) != len(sources):
        raise ValueError(f"{int(counts.sum())} edges are counted and {len(weights)} are there")
    n = len(counts)
    if len(sources) and not 0 <= int(sources.min()) <= int(sources.max()) < n:
        raise ValueError(f"an edge comes from a node outside 0 to {n - 1}")
    adjacency = lazy_zeros(n, n)
    targets = torch.arange(n).repeat_interleave(counts)
    adjacency.index_put_((targets, sources), weights)
    return adjacency
