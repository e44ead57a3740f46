"""Features by prompts: which of them works in several prompts, and how much it does in each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from circuitscope_core.arguments import checked
from circuitscope_core.circuit import Circuit, Kept, circuit_of
from circuitscope_core.errors import GraphError
from circuitscope_core.graph import NodeKind

if TYPE_CHECKING:
    import pandas as pd

RowsBy = Literal["feature", "label"]
Value = Literal["bits", "influence", "activation"]
Name = tuple[int, int, str]
"""Layer, number and label of a row; number -1 where a row stands for all features of a label."""


@dataclass(frozen=True)
class Cell:
    """The part that a row's features play in one prompt."""

    bits: float | None
    """Bits by which the answer moves when one of them alone is switched off, the largest; None
    where that was not computed."""
    influence: float
    """Share of the output that passes through them, 0 to 1."""
    activation: float
    """The strongest."""
    tokens: tuple[str, ...]
    """The tokens at which they are kept."""


@dataclass(frozen=True)
class MatrixRow:
    """A feature, or all features of one label and layer, over several prompts."""

    layer: int
    feature: int
    """-1 where the row stands for a label."""
    label: str
    cells: tuple[Cell | None, ...]
    """One for each prompt; None where its graph does not keep the feature."""

    @property
    def n_prompts(self) -> int:
        """The number of prompts whose graphs keep it."""
        return sum(cell is not None for cell in self.cells)

    @property
    def mean_bits(self) -> float:
        """The mean of its bits over all prompts; a prompt that does not keep it counts as 0."""
        return sum((cell.bits or 0.0) if cell else 0.0 for cell in self.cells) / len(self.cells)


@dataclass(frozen=True)
class FeatureMatrix:
    """Features by prompts."""

    prompts: tuple[str, ...]
    answers: tuple[str, ...]
    """The likeliest output of each."""
    rows: tuple[MatrixRow, ...]
    """Rows of features, those in most prompts first; of equals, those that do most."""

    def to_pandas(self, value: Value = "bits") -> "pd.DataFrame":
        """Return a table with a row for each feature and a column for each prompt.

        Columns of prompts are named by number, prompt and answer, so that two never share a name.
        """
        import pandas as pd

        named = zip(self.prompts, self.answers, strict=True)
        columns = [f"{number} {prompt} → {said}" for number, (prompt, said) in enumerate(named, 1)]
        known = [
            {
                "label": row.label,
                "layer": row.layer,
                "feature": row.feature,
                "prompts": row.n_prompts,
                "mean": row.mean_bits,
                **{
                    name: getattr(cell, value) if cell else None
                    for name, cell in zip(columns, row.cells, strict=True)
                },
            }
            for row in self.rows
        ]
        return pd.DataFrame(known)


@checked
def feature_matrix(graphs: Sequence[Kept], rows_by: RowsBy = "feature") -> FeatureMatrix:
    """Set the kept features of several prompts' graphs side by side.

    Args:
        graphs: Traces, pruned graphs or circuits of one model, at least two.
        rows_by: A row for each ``feature``, or for all features of one ``label`` in a layer, which
            are often parts of one thing; features without a label stay alone.

    Raises:
        GraphError: If fewer than two graphs were given.

    Example:
        >>> import circuitscope_core as cs
        >>> bundle = cs.load_bundle("models/demo")
        >>> prompts = ["The National Digital Group (N", "The National Health Group (N"]
        >>> matrix = cs.feature_matrix([cs.trace(bundle, prompt) for prompt in prompts])
        >>> matrix.rows[0].n_prompts
        2
    """
    circuits = [circuit_of(graph) for graph in graphs]
    if len(circuits) < 2:
        raise GraphError(f"{len(circuits)} graphs were given; a matrix compares at least two.")
    found: dict[Name, list[Cell | None]] = {}
    for number, circuit in enumerate(circuits):
        for name, rows in _rows_of(circuit, rows_by).items():
            found.setdefault(name, [None] * len(circuits))[number] = _cell(circuit, rows)
    every = (MatrixRow(*name, tuple(cells)) for name, cells in found.items())
    order = sorted(every, key=lambda row: (-row.n_prompts, -row.mean_bits, row.layer, row.feature))
    prompts = tuple(circuit.prompt for circuit in circuits)
    return FeatureMatrix(prompts, tuple(map(_answer, circuits)), tuple(order))


def _rows_of(circuit: Circuit, rows_by: RowsBy) -> dict[Name, list[int]]:
    """Return the circuit's rows behind each row of the matrix."""
    found: dict[Name, list[int]] = {}
    for row in circuit.rows_of(NodeKind.FEATURE).tolist():
        label, node = circuit.labels[row], circuit.node(row)
        alone = rows_by == "feature" or not label
        name = (node.layer, node.feature, label) if alone else (node.layer, -1, label)
        found.setdefault(name, []).append(row)
    return found


def _cell(circuit: Circuit, rows: Sequence[int]) -> Cell:
    bits = [float(circuit.ablation_bits[row]) for row in rows]
    known = [value for value in bits if value == value]
    return Cell(
        max(known, default=None),
        float(circuit.influence[list(rows)].sum()),
        max((float(circuit.activations[row]) for row in rows), key=abs),
        tuple(circuit.token_texts[circuit.node(row).position] for row in rows),
    )


def _answer(circuit: Circuit) -> str:
    rows = circuit.rows_of(NodeKind.LOGIT).tolist()
    chances = circuit.probabilities.nan_to_num(-1.0)
    return circuit.names[max(rows, key=lambda row: (float(chances[row]), -row))]
