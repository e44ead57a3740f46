"""Compiled programs: transformers whose circuit is known since a compiler wrote their weights.

A program is two files beside each other. ``NAME.json`` says what every part reads and writes and
holds examples; ``NAME.npz`` holds the weights as plain arrays. Both are untrusted: no pickle is
read, and every shape is checked.
"""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from circuitscope_core.arguments import checked
from circuitscope_core.errors import CircuitError
from circuitscope_core.evals.known_circuits.component_edges import SLOTS, ComponentEdge
from circuitscope_core.files import place_of
from circuitscope_core.values import one_line

MAX_BYTES = 16 * 1024**2
"""Compiled programs are small; what is larger is something else."""
MAX_SIZE = 4_096
"""Most layers, heads, dimensions or tokens: what a file can make the loader allocate."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class VariableEdge:
    """One true edge: a component reads one variable that another component wrote."""

    edge: ComponentEdge
    variable: str


@dataclass(frozen=True)
class ProgramExample:
    """An input and what the program makes of it."""

    token_ids: tuple[int, ...]
    output: tuple[str, ...]
    """The output at each position, as text; the first one is that of the opening token."""


@one_line
@dataclass(frozen=True, eq=False)
class CompiledProgram:
    """A compiled transformer: ReLU MLPs without biases, learned positions, no normalisation."""

    name: str
    weights: Mapping[str, NDArray[np.float32]]
    n_layers: int
    n_heads: int
    d_head: int
    d_mlp: int
    d_model: int
    n_ctx: int
    causal: bool
    tokens: tuple[str, ...]
    """The input vocabulary, in the order of ids."""
    separator: str
    """The token that opens every input."""
    dimensions: Mapping[str, tuple[int, ...]]
    """Where each variable lies in the residual stream."""
    output_dimensions: tuple[int, ...]
    output_values: tuple[str, ...]
    """The value behind each of ``output_dimensions``; one empty text where it is a number."""
    edges: tuple[VariableEdge, ...]
    """All edges that the compiler made and that can carry something."""
    examples: tuple[ProgramExample, ...]

    @property
    def numeric(self) -> bool:
        """Whether the output is a number, read off one dimension."""
        return self.output_values == ("",)

    @property
    def true_edges(self) -> frozenset[ComponentEdge]:
        """The edges between components, whatever variable they carry."""
        return frozenset(item.edge for item in self.edges)


def find_programs(folder: str | Path) -> tuple[Path, ...]:
    """Return the JSON files of a folder that have weights beside them.

    Raises:
        CircuitError: If there are none.
    """
    paths = sorted(place_of(folder).glob("*.json"))
    found = tuple(path for path in paths if path.with_suffix(".npz").is_file())
    if not found:
        raise CircuitError(
            f"{folder} holds no compiled program; give a folder with NAME.json and NAME.npz."
        )
    return found


@checked
def load_program(path: str | Path) -> CompiledProgram:
    """Read and check a compiled program.

    Args:
        path: The JSON file; the weights are read from the ``.npz`` of the same name.

    Raises:
        CircuitError: If a file cannot be read, or something in it is missing or of another shape.
    """
    path = place_of(path)
    data = _read_json(path)
    config = _field(data, "config", dict, path)
    sizes = {
        ours: _size(config, theirs, path)
        for ours, theirs in (
            ("n_layers", "num_layers"),
            ("n_heads", "num_heads"),
            ("d_head", "key_size"),
            ("d_mlp", "mlp_hidden"),
            ("d_model", "d_model"),
            ("n_ctx", "max_seq_len"),
        )
    }
    if config.get("activation") != "relu" or config.get("layer_norm") is not False:
        raise CircuitError(f"{path}: only programs with ReLU and without layer_norm can be read.")
    tokens = _read_tokens(_field(data, "input_encoding", dict, path), path)
    labels = _field(data, "residual_labels", list, path)
    if len(labels) != sizes["d_model"] or not all(isinstance(label, str) for label in labels):
        raise CircuitError(f"{path}: residual_labels must be {sizes['d_model']} texts.")
    separator = config.get("bos")
    if separator not in tokens:
        raise CircuitError(f"{path}: the opening token {separator!r} is not in input_encoding.")
    dimensions = _group_labels(labels)
    output_dims, output_values = _read_outputs(data, sizes["d_model"], path)
    return CompiledProgram(
        name=str(data.get("program") or path.stem),
        weights=_read_weights(path.with_suffix(".npz"), sizes, len(tokens)),
        causal=_field(config, "causal", bool, path),
        tokens=tokens,
        separator=str(separator),
        dimensions=dimensions,
        output_dimensions=output_dims,
        output_values=output_values,
        edges=_read_edges(_field(data, "edges", list, path), sizes, set(dimensions), path),
        examples=_read_examples(data, len(tokens), sizes["n_ctx"], path),
        **sizes,
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CircuitError(f"{path} has more than {MAX_BYTES // 1024**2} MB; give a program.")
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise CircuitError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise CircuitError(f"{path} is no JSON of a compiled program: {error}.") from error
    if not isinstance(data, dict):
        raise CircuitError(f"{path} must hold an object with config, edges and examples.")
    return data


def _field(data: Mapping[str, Any], name: str, kind: type[Value], path: Path) -> Value:
    value = data.get(name)
    if not isinstance(value, kind):
        raise CircuitError(f"{path}: {name} is {value!r:.60}; it must be of type {kind.__name__}.")
    return value


def _size(config: Mapping[str, Any], name: str, path: Path) -> int:
    value = config.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MAX_SIZE:
        raise CircuitError(f"{path}: {name} is {value!r:.60}; it must be from 1 to {MAX_SIZE}.")
    return value


def _read_tokens(encoding: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    by_id = {number: token for token, number in encoding.items() if type(number) is int}
    if not encoding or sorted(by_id) != list(range(len(encoding))):
        raise CircuitError(f"{path}: input_encoding must give each token its own id, from 0 on.")
    return tuple(by_id[number] for number in range(len(by_id)))


def _group_labels(labels: list[str]) -> dict[str, tuple[int, ...]]:
    """Return each variable's dimensions: labels are ``variable`` or ``variable:value``."""
    found: dict[str, list[int]] = {}
    for number, label in enumerate(labels):
        found.setdefault(label.partition(":")[0], []).append(number)
    return {name: tuple(numbers) for name, numbers in found.items()}


def _read_outputs(
    data: Mapping[str, Any], d_model: int, path: Path
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    dims, values = (
        _field(data, "output_dims", list, path),
        _field(data, "output_values", list, path),
    )
    inside = all(type(number) is int and 0 <= number < d_model for number in dims)
    if not dims or len(dims) != len(values) or not inside:
        raise CircuitError(f"{path}: output_dims must name a dimension for each of output_values.")
    texts = tuple("" if value is None else _as_text(value) for value in values)
    if len(set(texts)) < len(texts) or ("" in texts and len(texts) > 1):
        raise CircuitError(f"{path}: output_values must differ from each other.")
    return tuple(dims), texts


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _read_edges(
    items: list[Any], sizes: Mapping[str, int], variables: set[str], path: Path
) -> tuple[VariableEdge, ...]:
    parts = {"embed", "pos_embed", "output"}
    for layer in range(sizes["n_layers"]):
        parts.add(f"L{layer}MLP")
        parts.update(f"L{layer}H{head}" for head in range(sizes["n_heads"]))
    edges = []
    for number, item in enumerate(items):
        names = ("src", "dst", "slot", "variable")
        known = isinstance(item, dict) and all(isinstance(item.get(name), str) for name in names)
        known = known and (
            item.get("src") in parts
            and item.get("dst") in parts
            and item.get("slot") in SLOTS
            and item.get("variable") in variables
        )
        if not known:
            raise CircuitError(
                f"{path}: edges[{number}] must have src and dst out of embed, pos_embed, LxHy, "
                f"LxMLP and output, a slot out of {', '.join(SLOTS)}, and a variable that "
                "residual_labels has."
            )
        if item.get("live", True):
            edge = ComponentEdge(item["src"], item["dst"], item["slot"])
            edges.append(VariableEdge(edge, item["variable"]))
    if not edges:
        raise CircuitError(f"{path}: edges names no live edge, so that there is no truth.")
    return tuple(edges)


def _read_examples(
    data: Mapping[str, Any], n_tokens: int, n_ctx: int, path: Path
) -> tuple[ProgramExample, ...]:
    examples = []
    for number, item in enumerate(_field(data, "examples", list, path)):
        ids = item.get("ids") if isinstance(item, dict) else None
        output = item.get("output") if isinstance(item, dict) else None
        right = isinstance(ids, list) and all(type(i) is int and 0 <= i < n_tokens for i in ids)
        if not right or not isinstance(output, list):
            raise CircuitError(f"{path}: examples[{number}] must have ids of tokens, and output.")
        ids = cast(list[int], ids)
        if not 2 <= len(ids) <= n_ctx or len(output) != len(ids):
            raise CircuitError(
                f"{path}: examples[{number}] has {len(ids)} ids and {len(output)} outputs; they "
                f"must be as many, from 2 to {n_ctx}."
            )
        examples.append(ProgramExample(tuple(ids), tuple(_as_text(value) for value in output)))
    return tuple(examples)


def weight_shapes(sizes: Mapping[str, int], n_tokens: int) -> dict[str, tuple[int, ...]]:
    """Return every weight's name in the file and its shape."""
    d_model, n_heads, d_head, d_mlp = (sizes[n] for n in ("d_model", "n_heads", "d_head", "d_mlp"))
    shapes: dict[str, tuple[int, ...]] = {
        "W_E": (n_tokens, d_model),
        "W_pos": (sizes["n_ctx"], d_model),
    }
    for layer in range(sizes["n_layers"]):
        for part in ("Wq", "Wk", "Wv"):
            shapes[f"l{layer}.attn.{part}"] = (d_model, n_heads, d_head)
        shapes[f"l{layer}.attn.Wo"] = (n_heads, d_head, d_model)
        shapes[f"l{layer}.mlp.W1"] = (d_model, d_mlp)
        shapes[f"l{layer}.mlp.W2"] = (d_mlp, d_model)
    return shapes


def _read_weights(
    path: Path, sizes: Mapping[str, int], n_tokens: int
) -> dict[str, NDArray[np.float32]]:
    shapes = weight_shapes(sizes, n_tokens)
    try:
        with zipfile.ZipFile(path) as archive:
            n_bytes = sum(item.file_size for item in archive.infolist())
        if n_bytes > MAX_BYTES:  # said before it is unpacked
            raise CircuitError(
                f"{path} unpacks to {n_bytes:,} bytes; at most {MAX_BYTES:,} are read."
            )
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise CircuitError(f"{path} cannot be read as arrays without pickle: {error}.") from error
    if set(arrays) != set(shapes):
        name = sorted(set(arrays) ^ set(shapes))[0]
        raise CircuitError(f"{path}: the weight {name} is missing or unknown.")
    for name, shape in shapes.items():
        array = arrays[name]
        if array.shape != shape or array.dtype.kind != "f" or not np.isfinite(array).all():
            raise CircuitError(
                f"{path}: the weight {name} has shape {array.shape} and type {array.dtype}; it "
                f"must be {shape}, of finite floating-point numbers."
            )
    return {name: array.astype(np.float32) for name, array in arrays.items()}
