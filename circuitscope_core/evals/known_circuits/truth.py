"""Which of a program's edges carry something on an input: from weights and activations alone.

Nothing here knows features, transcoders or graphs: a plain forward pass in numpy, in which every
component's writes are kept apart, and the compiler's own list of edges.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from circuitscope_core.evals.known_circuits.edges import (
    EMBED,
    OUTPUT,
    POSITIONS,
    ComponentEdge,
    head_name,
    mlp_name,
)
from circuitscope_core.evals.known_circuits.program import CompiledProgram, VariableEdge

NOTHING = 1e-4
"""Compiled values are 0, or at least 1 divided by the number of tokens; attention that was not
meant is below 1e-6."""

Array = NDArray[np.float64]
Reader = tuple[str, int]
"""A component and the position that it reads for."""


@dataclass(frozen=True)
class _Pass:
    """One forward pass, component by component."""

    writes: dict[str, Array]
    """``[n_pos, d_model]``."""
    before: dict[str, Array]
    """The stream that each head or MLP reads ``[n_pos, d_model]``."""
    patterns: dict[str, Array]
    """Each head's attention ``[n_pos, n_pos]``, queries first."""


def live_edges(program: CompiledProgram, token_ids: Sequence[int]) -> frozenset[ComponentEdge]:
    """Return the true edges behind the output at the last position that carry something.

    Starting from the output and going back: an edge is live where its source wrote a value other
    than 0 into the edge's variable, the destination reads the variable there with a weight other
    than 0, and the destination takes part at that position. What a destination reads counts:
    for an MLP, through a neuron that is active; for a value, where the head attends; for a query
    or a key, where the product with some key, or the query, is not 0. An edge that the compiler
    made and that carries exactly 0 on the input is not live.

    Args:
        program: The program.
        token_ids: The input, the opening token first.
    """
    done = _run(program, token_ids)
    live: set[ComponentEdge] = set()
    waiting: list[Reader] = [(OUTPUT, len(token_ids) - 1)]
    seen = set(waiting)
    while waiting:
        for edge, position in _sources(program, done, waiting.pop()):
            live.add(edge)
            source = (edge.src, position)
            if source not in seen:
                seen.add(source)
                waiting.append(source)
    return frozenset(live)


def live_node_edges(program: CompiledProgram, token_ids: Sequence[int]) -> frozenset[ComponentEdge]:
    """Return what a graph whose nodes are tokens, features and outputs can show of the circuit.

    As ``live_edges``, with attention frozen: queries and keys are not followed, what a head carried
    counts as an edge from the head's source to whatever reads the head, and position embeddings
    are no nodes.
    """
    done = _run(program, token_ids)
    live: set[ComponentEdge] = set()
    waiting: list[Reader] = [(OUTPUT, len(token_ids) - 1)]
    seen = set(waiting)
    while waiting:
        entered = list(_sources(program, done, waiting.pop()))
        while entered:
            edge, position = entered.pop()
            if "H" in edge.src:
                carried = _sources(program, done, (edge.src, position))
                entered += [
                    (replace(edge, src=inner.src), place)
                    for inner, place in carried
                    if inner.slot == "v"
                ]
            elif edge.src != POSITIONS:
                live.add(edge)
                source = (edge.src, position)
                if source not in seen:
                    seen.add(source)
                    waiting.append(source)
    return frozenset(live)


def _sources(
    program: CompiledProgram, done: _Pass, reader: Reader
) -> Iterator[tuple[ComponentEdge, int]]:
    """Yield what a component reads for a position: live edges, and where each source wrote."""
    for item in program.edges:
        if item.edge.dst == reader[0]:
            for position in _live_positions(program, done, item, reader[1]):
                yield item.edge, position


def _live_positions(
    program: CompiledProgram, done: _Pass, item: VariableEdge, reads_for: int
) -> Iterator[int]:
    """Yield the positions at which a source's variable is read and is not 0."""
    written = np.zeros_like(done.writes[item.edge.src])
    where = list(program.dimensions[item.variable])
    written[:, where] = done.writes[item.edge.src][:, where]
    slot, name = item.edge.slot, item.edge.dst
    if slot == "unembed":
        parts = np.abs(written[:, list(program.output_dimensions)]).max(axis=1)
        found = np.arange(len(parts)) == reads_for
    elif slot == "mlp_in":
        weights = _of_mlp(program, name, "W1")
        active = done.before[name][reads_for] @ weights > NOTHING
        used = np.abs(_of_mlp(program, name, "W2")).max(axis=1) > 0
        parts = (np.abs(written @ weights) * (active & used)).max(axis=1)
        found = np.arange(len(parts)) == reads_for
    elif slot == "v":
        parts = np.abs(written @ _of_head(program, name, "Wv")).max(axis=1)
        found = done.patterns[name][reads_for] > NOTHING
    else:
        query_weights, key_weights = _of_head(program, name, "Wq"), _of_head(program, name, "Wk")
        visible = np.arange(len(written)) <= reads_for if program.causal else ...
        if slot == "q":
            keys = done.before[name] @ key_weights
            parts = np.abs(written @ query_weights @ keys[visible].reshape(-1, keys.shape[1]).T)
            parts = parts.max(axis=1)
            found = np.arange(len(written)) == reads_for
        else:
            query = done.before[name][reads_for] @ query_weights
            parts = np.abs(written @ key_weights @ query)
            found = np.zeros(len(written), dtype=bool)
            found[visible] = True
    yield from np.flatnonzero(found & (parts > NOTHING)).tolist()


def _run(program: CompiledProgram, token_ids: Sequence[int]) -> _Pass:
    """Run the program and keep what every component wrote."""
    n_pos = len(token_ids)
    weights = {name: array.astype(np.float64) for name, array in program.weights.items()}
    writes = {EMBED: weights["W_E"][list(token_ids)], POSITIONS: weights["W_pos"][:n_pos]}
    before: dict[str, Array] = {}
    patterns: dict[str, Array] = {}
    stream = writes[EMBED] + writes[POSITIONS]
    for layer in range(program.n_layers):
        heads = {}
        for head in range(program.n_heads):
            name = head_name(layer, head)
            q, k, v = (stream @ _of_head(program, name, part) for part in ("Wq", "Wk", "Wv"))
            scores = q @ k.T / program.d_head**0.5
            if program.causal:
                scores[np.triu_indices(n_pos, 1)] = -np.inf
            shares = np.exp(scores - scores.max(axis=1, keepdims=True))
            patterns[name] = shares / shares.sum(axis=1, keepdims=True)
            before[name] = stream
            heads[name] = patterns[name] @ v @ weights[f"l{layer}.attn.Wo"][head]
        writes |= heads
        stream = stream + sum(heads.values())
        name = mlp_name(layer)
        before[name] = stream
        hidden = np.maximum(stream @ weights[f"l{layer}.mlp.W1"], 0)
        writes[name] = hidden @ weights[f"l{layer}.mlp.W2"]
        stream = stream + writes[name]
    return _Pass(writes, before, patterns)


def _of_head(program: CompiledProgram, name: str, part: str) -> Array:
    layer, head = name[1:].split("H")
    return program.weights[f"l{layer}.attn.{part}"][:, int(head)].astype(np.float64)


def _of_mlp(program: CompiledProgram, name: str, part: str) -> Array:
    return program.weights[f"l{name[1:-3]}.mlp.{part}"].astype(np.float64)
