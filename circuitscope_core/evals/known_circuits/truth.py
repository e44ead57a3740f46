"""The edges of a program that carry something on an input, by weights and activations alone.

Nothing here knows features, transcoders or graphs: a plain forward pass in numpy, followed back
from the output by the compiler's own list of edges.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuitscope_core.arguments import checked
from circuitscope_core.evals.known_circuits.component_edges import (
    EMBED,
    OUTPUT,
    POSITIONS,
    ComponentEdge,
    head_name,
    mlp_name,
)
from circuitscope_core.evals.known_circuits.program import CompiledProgram

NOTHING = 1e-4
"""Compiled values are 0, or at least 1 divided by the number of tokens; attention that was not
meant is below 1e-6."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Part:
    """A part that writes by itself, at one position: an embedding, or a neuron."""

    component: str
    position: int
    neuron: int = -1
    """The neuron's number in its MLP; -1 for embeddings."""


@dataclass(frozen=True)
class _Reader:
    """A reader for one position: the output, a neuron, or a head's query and keys."""

    component: str
    position: int
    neuron: int = -1


@dataclass(frozen=True)
class _Route:
    """A way from a part to a reader: through heads, or straight."""

    edges: tuple[ComponentEdge, ...]
    heads: tuple[_Reader, ...]
    """The heads on it, each for the position that it wrote to."""
    part: _Part
    values: Array
    """The values that arrive in each of the directions that are read."""


@dataclass(frozen=True)
class _Pass:
    """One forward pass, component by component."""

    embedded: dict[str, Array]
    """The vectors of tokens and positions in the first stream ``[n_pos, d_model]``."""
    before: dict[str, Array]
    """The stream that each head or MLP reads ``[n_pos, d_model]``."""
    patterns: dict[str, Array]
    """Each head's attention ``[n_pos, n_pos]``, queries first."""
    neurons: dict[str, Array]
    """Each MLP's activations ``[n_pos, d_mlp]``."""


@checked
def live_edges(program: CompiledProgram, token_ids: Sequence[int]) -> frozenset[ComponentEdge]:
    """Return the true edges behind the output at the last position that carry something.

    Starting from the output and going back: an edge is live where a part of its source wrote a
    value other than 0 into the edge's variable, and what reads it there has a weight other than 0.
    Parts are the variables of an embedding, and the neurons of an MLP: two that cancel are both
    there, since the answer hangs on both. These readers count: the output, the neurons that
    are themselves read, heads that carry one of these parts; a query or a key where its product
    with some key, or with the query, is not 0. An edge that the compiler made and all parts of
    which carry exactly 0 on the input is not live.

    Args:
        program: The program.
        token_ids: The input, the opening token first.
    """
    done = _run(program, token_ids)
    live: set[ComponentEdge] = set()
    waiting = [_Reader(OUTPUT, len(token_ids) - 1)]
    seen = set(waiting)
    while waiting:
        for route in _routes_into(program, done, waiting.pop()):
            if np.abs(route.values).max() <= NOTHING:
                continue
            live.update(route.edges)
            found = {*route.heads, *_read_of(route.part)} - seen
            seen |= found
            waiting += found
    return frozenset(live)


def live_node_edges(program: CompiledProgram, token_ids: Sequence[int]) -> frozenset[ComponentEdge]:
    """Return what a graph whose nodes are tokens, features and outputs can show of the circuit.

    As ``live_edges``, with attention frozen: queries and keys are not followed, what a head carried
    counts as an edge from the head's source to whatever reads the head, and position embeddings
    are no nodes. A node's edge is one number: what it sends on several routes, or a token in
    several variables, counts as the sum.
    """
    done = _run(program, token_ids)
    live: set[ComponentEdge] = set()
    waiting = [_Reader(OUTPUT, len(token_ids) - 1)]
    seen = set(waiting)
    while waiting:
        reader = waiting.pop()
        sums: dict[_Part, Array | float] = defaultdict(float)
        for route in _routes_into(program, done, reader):
            if route.part.component != POSITIONS:
                sums[route.part] = sums[route.part] + route.values
        slot = "unembed" if reader.component == OUTPUT else "mlp_in"
        for part, values in sums.items():
            if np.abs(values).max() > NOTHING:
                live.add(ComponentEdge(part.component, reader.component, slot))
                found = set(_read_of(part)) - seen
                seen |= found
                waiting += found
    return frozenset(live)


def _read_of(part: _Part) -> tuple[_Reader, ...]:
    """Return what a part reads in turn: a neuron does, an embedding does not."""
    if part.neuron < 0:
        return ()
    return (_Reader(part.component, part.position, part.neuron),)


def _routes_into(program: CompiledProgram, done: _Pass, reader: _Reader) -> Iterator[_Route]:
    """Yield all that arrives where something reads: for a head, at its query and its keys."""
    name, position = reader.component, reader.position
    if name == OUTPUT:
        read = np.eye(program.d_model)[:, list(program.output_dimensions)]
        yield from _routes(program, done, (name, "unembed"), read, position)
    elif reader.neuron >= 0:
        read = _of_mlp(program, name, "W1")[:, [reader.neuron]]
        yield from _routes(program, done, (name, "mlp_in"), read, position)
    else:
        query_weights, key_weights = _of_head(program, name, "Wq"), _of_head(program, name, "Wk")
        stream = done.before[name]
        visible = range(position + 1 if program.causal else len(stream))
        keys = stream[list(visible)] @ key_weights
        yield from _routes(program, done, (name, "q"), query_weights @ keys.T, position)
        query = key_weights @ (stream[position] @ query_weights)
        for place in visible:
            yield from _routes(program, done, (name, "k"), query[:, None], place)


def _routes(
    program: CompiledProgram, done: _Pass, reads: tuple[str, str], read: Array, position: int
) -> Iterator[_Route]:
    """Yield what arrives at a position by edges of the compiler's.

    Args:
        program: The program.
        done: Its pass.
        reads: Component and slot of what reads.
        read: The directions of the stream that are read there, ``[d_model, n]``.
        position: Where.
    """
    for item in program.edges:
        edge = item.edge
        if (edge.dst, edge.slot) != reads:
            continue
        wanted = np.zeros_like(read)
        dimensions = list(program.dimensions[item.variable])
        wanted[dimensions] = read[dimensions]
        if not wanted.any():
            continue
        if edge.src in done.embedded:
            values = done.embedded[edge.src][position] @ wanted
            yield _Route((edge,), (), _Part(edge.src, position), values)
        elif edge.src in done.neurons:
            written = done.neurons[edge.src][position][:, None] * _of_mlp(program, edge.src, "W2")
            for number in np.flatnonzero(written.any(axis=1)).tolist():
                part = _Part(edge.src, position, number)
                yield _Route((edge,), (), part, written[number] @ wanted)
        else:
            yield from _through_head(program, done, edge, wanted, position)


def _through_head(
    program: CompiledProgram, done: _Pass, edge: ComponentEdge, wanted: Array, position: int
) -> Iterator[_Route]:
    """Yield what a head brought to a position from those that it attends to."""
    layer, head = edge.src[1:].split("H")
    carried = program.weights[f"l{layer}.attn.Wo"][int(head)].astype(np.float64) @ wanted
    carried = _of_head(program, edge.src, "Wv") @ carried
    pattern, own = done.patterns[edge.src][position], _Reader(edge.src, position)
    for key in np.flatnonzero(pattern > NOTHING).tolist():
        for route in _routes(program, done, (edge.src, "v"), pattern[key] * carried, key):
            edges, heads = (*route.edges, edge), (*route.heads, own)
            yield _Route(edges, heads, route.part, route.values)


def _run(program: CompiledProgram, token_ids: Sequence[int]) -> _Pass:
    """Run the program and keep what every component read and did."""
    n_pos = len(token_ids)
    weights = {name: array.astype(np.float64) for name, array in program.weights.items()}
    embedded = {EMBED: weights["W_E"][list(token_ids)], POSITIONS: weights["W_pos"][:n_pos]}
    before: dict[str, Array] = {}
    patterns: dict[str, Array] = {}
    neurons: dict[str, Array] = {}
    stream = embedded[EMBED] + embedded[POSITIONS]
    for layer in range(program.n_layers):
        brought = np.zeros_like(stream)
        for head in range(program.n_heads):
            name = head_name(layer, head)
            q, k, v = (stream @ _of_head(program, name, part) for part in ("Wq", "Wk", "Wv"))
            scores = q @ k.T / program.d_head**0.5
            if program.causal:
                scores[np.triu_indices(n_pos, 1)] = -np.inf
            shares = np.exp(scores - scores.max(axis=1, keepdims=True))
            patterns[name] = shares / shares.sum(axis=1, keepdims=True)
            before[name] = stream
            brought = brought + patterns[name] @ v @ weights[f"l{layer}.attn.Wo"][head]
        stream = stream + brought
        name = mlp_name(layer)
        before[name] = stream
        neurons[name] = np.maximum(stream @ weights[f"l{layer}.mlp.W1"], 0)
        stream = stream + neurons[name] @ weights[f"l{layer}.mlp.W2"]
    return _Pass(embedded, before, patterns, neurons)


def _of_head(program: CompiledProgram, name: str, part: str) -> Array:
    layer, head = name[1:].split("H")
    return program.weights[f"l{layer}.attn.{part}"][:, int(head)].astype(np.float64)


def _of_mlp(program: CompiledProgram, name: str, part: str) -> Array:
    return program.weights[f"l{name[1:-3]}.mlp.{part}"].astype(np.float64)
