"""The choices that a graph opens with: selection, pins, positions, view; and steps through them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from circuitscope_core.view import GraphView


@dataclass(frozen=True)
class Opening:
    """A selection, pins, positions and a view, by the ids of the picture's nodes."""

    selected: str = ""
    """Empty for none."""
    pinned: tuple[str, ...] = ()
    places: tuple[tuple[str, float, float], ...] = ()
    """Nodes that were dragged, each with its x and y."""
    view: str = "full"
    """``full``, ``groups`` or ``pinned``."""
    tab: str = ""
    """The tab beside the graph; empty for that of the card."""

    def to_json(self, serial: int = 1) -> dict[str, Any]:
        """Return what the canvas reads; it follows an opening whose serial is new to it."""
        return {
            "serial": serial,
            "selected": self.selected,
            "pinned": list(self.pinned),
            "places": [list(place) for place in self.places],
            "view": self.view,
            **({"tab": self.tab} if self.tab else {}),
        }


@dataclass(frozen=True, eq=False)
class WalkStep:
    """One step of a walk-through: a graph as somebody saw it, and what there is to see."""

    caption: str
    view: GraphView
    opening: Opening
    changes: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Measured and predicted change of nodes after an intervention, as shares of activation."""
