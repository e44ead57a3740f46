"""How the project's values are shown: in one line, whatever they hold."""

from dataclasses import fields
from typing import Any, TypeVar

from torch import Tensor, nn

LONGEST_TEXT, LONGEST_LINE = 40, 160
"""Characters of a text within a value's line, and of the line."""

UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))

Class = TypeVar("Class", bound=type)


def one_line(cls: Class) -> Class:
    """Give a dataclass a ``repr`` of one line: sizes in the place of contents.

    Example:
        >>> from dataclasses import dataclass
        >>> @one_line
        ... @dataclass
        ... class Point:
        ...     name: str
        ...     parts: tuple[int, ...]
        >>> Point("a" * 100, tuple(range(50)))
        Point(name='aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…', parts=50 items)
    """
    cls.__repr__ = _show  # type: ignore[method-assign,assignment]
    return cls


def _show(value: Any) -> str:
    parts = (f"{item.name}={_brief(getattr(value, item.name))}" for item in fields(value))
    line = f"{type(value).__name__}({', '.join(parts)})"
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 2]}…)"


def _brief(value: Any) -> str:
    """Return a part of a value: numbers and short texts as they are, else the size."""
    if isinstance(value, Tensor):
        return repr(value.item()) if value.ndim == 0 else f"{list(value.shape)}"
    if isinstance(value, str):
        return repr(value if len(value) <= LONGEST_TEXT else value[: LONGEST_TEXT - 1] + "…")
    if isinstance(value, nn.Module):
        return type(value).__name__
    if isinstance(value, tuple | list | dict | set | frozenset) and len(value) > 3:
        return f"{len(value):,} items"
    text = repr(value)
    return text if "\n" not in text and len(text) <= LONGEST_TEXT else type(value).__name__


def in_bytes(count: int) -> str:
    """Return a size in the largest unit that it fills.

    Example:
        >>> in_bytes(1_500_000)
        '1.5 MB'
    """
    return next(
        (f"{count / size:.1f} {unit}" for size, unit in UNITS if count >= size), f"{count} B"
    )
