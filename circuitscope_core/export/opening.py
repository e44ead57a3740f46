"""The choices that a graph opens with: selection, pins, positions, view."""

from dataclasses import dataclass
from typing import Any


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
