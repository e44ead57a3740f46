"""The steps that a visitor took on a graph, each of which can be undone and done again.

A step is the address that it led to: what an address does not hold, such as the open tab or the
width of a column, is no step.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

LONGEST = 200
"""Steps that are remembered; the oldest are forgotten."""
NO_STEP = ("tab",)
"""Parameters of an address that are no step."""

Place = tuple[tuple[str, str], ...]
"""The parameters of an address, sorted."""


@dataclass(frozen=True)
class Relabel:
    """A label that was written with a step, and the one before it; labels are in no address."""

    layer: int
    feature: int
    before: str
    after: str


@dataclass(frozen=True)
class Stop:
    """A place on the trail, and the label that was written on the way to it."""

    place: Place
    relabel: Relabel | None = None


@dataclass(frozen=True)
class Trail:
    """The places that a visitor came by, and where the visitor stands."""

    stops: tuple[Stop, ...] = ()
    at: int = -1

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return self.at > 0

    @property
    def can_redo(self) -> bool:
        """Whether a step was taken back."""
        return self.at + 1 < len(self.stops)

    @property
    def stop(self) -> Stop | None:
        """The present place; None before the first."""
        return self.stops[self.at] if self.stops else None


def place_of(address: Mapping[str, str]) -> Place:
    """Return the part of an address that a step changes."""
    return tuple(sorted((name, value) for name, value in address.items() if name not in NO_STEP))


def went_to(trail: Trail, address: Mapping[str, str], relabel: Relabel | None = None) -> Trail:
    """Return the trail after a step; steps that were taken back are forgotten then.

    Where the address is that of the place before or after, the visitor went back or forward there,
    as the browser's buttons do. An address that is the present one is no step.
    """
    place = place_of(address)
    if relabel is None:
        for at in (trail.at, trail.at - 1, trail.at + 1):
            if 0 <= at < len(trail.stops) and trail.stops[at].place == place:
                return replace(trail, at=at)
    stops = (*trail.stops[: trail.at + 1], Stop(place, relabel))[-LONGEST:]
    return Trail(stops, len(stops) - 1)


def settled(trail: Trail, address: Mapping[str, str]) -> Trail:
    """Return the trail with another address of the present place: what follows from its step."""
    if trail.stop is None:
        return went_to(trail, address)
    stops = list(trail.stops)
    stops[trail.at] = replace(trail.stop, place=place_of(address))
    return replace(trail, stops=tuple(stops))


def undone(trail: Trail) -> Trail:
    """Return the trail with the last step taken back."""
    return replace(trail, at=trail.at - 1) if trail.can_undo else trail


def redone(trail: Trail) -> Trail:
    """Return the trail with the next step taken again."""
    return replace(trail, at=trail.at + 1) if trail.can_redo else trail
