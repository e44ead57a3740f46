"""A walk-through as one parameter of an address: places that were visited, with captions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pages.ui.shared.packing import pack, unpack

MOST_STEPS = 60
LONGEST_CAPTION = 240


@dataclass(frozen=True)
class Stage:
    """One step: the address of what is seen, and one sentence on it."""

    caption: str
    address: tuple[tuple[str, str], ...]


def write_walk(stages: tuple[Stage, ...]) -> str:
    """Return a walk-through as text; empty where it has no step."""
    rows = [[stage.caption, dict(stage.address)] for stage in stages[:MOST_STEPS]]
    return pack(rows) if rows else ""


def read_walk(text: str) -> tuple[Stage, ...] | None:
    """Return the steps that a text holds; None where it holds none that make sense."""
    rows = unpack(text)
    if not isinstance(rows, list) or not 0 < len(rows) <= MOST_STEPS:
        return None
    stages = [_stage(row) for row in rows]
    return None if None in stages else tuple(stage for stage in stages if stage is not None)


def _stage(row: Any) -> Stage | None:
    if not isinstance(row, list) or len(row) != 2:
        return None
    caption, address = row
    if not isinstance(caption, str) or not isinstance(address, Mapping):
        return None
    if not all(isinstance(value, str) for value in address.values()):
        return None
    kept = {name: value for name, value in address.items() if name not in ("walk", "step")}
    return Stage(" ".join(caption.split())[:LONGEST_CAPTION], tuple(sorted(kept.items())))
