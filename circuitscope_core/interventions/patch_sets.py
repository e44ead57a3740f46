"""Nodes that are given the activations of another prompt, and as many drawn by chance."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuitscope_core.interventions.changes import Change, Intervention
from circuitscope_core.interventions.curve import PatchedNode
from circuitscope_core.values import one_line


@one_line
@dataclass(frozen=True)
class Patching:
    """Nodes to patch, strongest first."""

    places: Int[Tensor, "n 3"]
    """Layer, position and number of each."""
    own: Float[Tensor, " n"]
    """Activations in the prompt."""
    other: Float[Tensor, " n"]
    """Activations in the second prompt."""
    effects: Float[Tensor, " n"]
    """The effect of each node's change on the change of the answer."""
    changes: tuple[Change | None, ...]
    """None where nothing stands for a position in the second prompt."""
    drawn: tuple[Change | None, ...]
    """Changes of nodes drawn by chance, as many as there are or fewer."""

    def sets(self, sizes: Sequence[int]) -> list[list[Change]]:
        """Return the changes of the strongest nodes, a set for each of ``sizes``."""
        return [_there(self.changes[:size]) for size in sizes]

    def chance_sets(self, sizes: Sequence[int]) -> list[list[Change]]:
        """Return the changes of nodes drawn by chance, a set for each of ``sizes``."""
        return [_there(self.drawn[:size]) for size in sizes]

    @property
    def nodes(self) -> tuple[PatchedNode, ...]:
        """The nodes as plain values."""
        columns = (self.own.tolist(), self.other.tolist(), self.effects.tolist())
        rows = zip(self.places.tolist(), *columns, strict=True)
        return tuple(PatchedNode(*place, *values) for place, *values in rows)


def _there(changes: Sequence[Change | None]) -> list[Change]:
    return [change for change in changes if change is not None]


def changes_to(
    places: Int[Tensor, "n 3"],
    values: Float[Tensor, " n"],
    there: Bool[Tensor, " n"] | None = None,
) -> tuple[Change | None, ...]:
    """Return the changes that give nodes some activations; None for those that are not there."""
    known = [True] * len(places) if there is None else there.tolist()
    rows = zip(places.tolist(), values.tolist(), known, strict=True)
    return tuple(
        Intervention(layer, position, number, value) if stands else None
        for (layer, position, number), value, stands in rows
    )
