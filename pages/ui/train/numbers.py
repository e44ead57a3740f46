"""A question for a number: one that is out of range is said there, never passed over.

A number field with limits of its own keeps what is out of them to itself: the page would go on
with the number before.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from pages.ui.shared.text import plain

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Unfinished:
    """A form that cannot be sent yet."""

    reason: str
    """A sentence for the place beside the button."""


def ask_number(
    place: Any, label: str, limits: tuple[Number, Number, Number], value: Number, key: str
) -> Number | Unfinished:
    """Return a number; one that is out of range is told below the field.

    Args:
        place: Part of the page.
        label: Of the field.
        limits: The lowest number, the highest one, and the step of the field's buttons.
        value: Before anything was typed.
        key: Of the field.
    """
    low, high, step = limits
    given: Number | None = place.number_input(label, value=value, step=step, key=key)
    if given is not None and low <= given <= high:
        return given
    said = "empty" if given is None else f"{given:,}"
    place.error(plain(f"{label} is {said}; it must be from {low:,} to {high:,}."))
    return Unfinished(f"{label}: the number is out of range.")


def first_unfinished(answers: Iterable[object]) -> Unfinished | None:
    """Return the first answer that is none, if there is one."""
    return next((answer for answer in answers if isinstance(answer, Unfinished)), None)
