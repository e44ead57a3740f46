"""The faults of a file, in words."""

import math
from collections import Counter
from typing import Any

from circuitscope_core.errors import GraphFileError

MOST_NAMED, ALIKE = 10, 3
"""Reasons in a message; and of one kind, as long as there are others."""
LONGEST_VALUE = 60
"""Characters of a value that a message quotes."""
MISSING = object()
"""Stands for a value that is not there; None stands for JSON's null."""


class Problems:
    """Counts what is wrong and keeps the first reasons in words."""

    def __init__(self) -> None:
        self._kept: list[tuple[int, str]] = []
        """How many of its kind came before, and the reason."""
        self._n_of_kind: Counter[str] = Counter()

    def add(self, text: str, kind: str) -> None:
        """Note one thing that is wrong.

        Args:
            text: What, where, the value, and what to do.
            kind: The same for things that are wrong in the same way: of a kind that fills the file
                the first few are named, so that others are seen beside it.
        """
        before = self._n_of_kind[kind]
        self._n_of_kind[kind] += 1
        if before < MOST_NAMED:
            self._kept.append((before, text))

    def must(self, where: str, name: str, value: Any, rule: str) -> None:
        """Note a value that breaks a rule."""
        text = f"{where}: {name} is {shown(value)}; it must be {rule}."
        self.add(text, f"{where.split('[')[0]} {name}")

    def raise_if_any(self) -> None:
        """Refuse the file where anything is wrong.

        Raises:
            GraphFileError: With up to ten reasons, one a line, and a count of the rest.
        """
        n = self._n_of_kind.total()
        if n == 1:
            raise GraphFileError(f"The graph file cannot be opened. {self._kept[0][1]}")
        if n:
            order = sorted(range(len(self._kept)), key=lambda i: (self._kept[i][0] >= ALIKE, i))
            lines = [f"The graph file cannot be opened; {n:,} things are wrong:"]
            lines += [f"- {self._kept[i][1]}" for i in sorted(order[:MOST_NAMED])]
            if n > MOST_NAMED:
                lines.append(f"- and {n - MOST_NAMED:,} more.")
            raise GraphFileError("\n".join(lines))


def shown(value: Any) -> str:
    """Return a value of a JSON file for a message: short, in one line, without hidden letters."""
    if value is MISSING:
        return "missing"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "infinite"
    if isinstance(value, str):
        return repr(value if len(value) <= LONGEST_VALUE else value[: LONGEST_VALUE - 1] + "…")
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        text = repr(value)
        return text if len(text) <= LONGEST_VALUE else f"a number of {len(text):,} digits"
    return "a list" if isinstance(value, list) else "an object"
