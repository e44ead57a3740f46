"""The tokens of two prompts in shared columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import count, zip_longest
from typing import Any


@dataclass(frozen=True)
class Column:
    """A shared token position: its place in each prompt, None where a prompt has none."""

    a: int | None
    b: int | None


def align(a: Sequence[str], b: Sequence[str]) -> tuple[Column, ...]:
    """Lay the tokens of two prompts side by side.

    Their first tokens share a column, since both open the prompt, and so do their last, since the
    outputs hang there. Between them words are matched, then tokens within words that replace each
    other; what replaces something else shares its columns, beginnings first. ``align(b, a)`` is
    the mirror image.

    Args:
        a: Texts of one prompt's tokens, at least one.
        b: Texts of the other's.
    """
    if list(b) < list(a):  # the matcher is not symmetric, so it is always asked in one order
        return tuple(Column(column.b, column.a) for column in align(b, a))
    n_ends = 1 if min(len(a), len(b)) > 1 else 0
    end_a, end_b = len(a) - n_ends, len(b) - n_ends
    columns = [Column(0, 0)]
    places_a, places_b = count(1), count(1)
    for words in _side_by_side(_words(a[1:end_a]), _words(b[1:end_b])):
        for in_a, in_b in _side_by_side(*(word or () for word in words)):
            column = Column(
                None if in_a is None else next(places_a), None if in_b is None else next(places_b)
            )
            columns.append(column)
    return (*columns, Column(end_a, end_b)) if n_ends else tuple(columns)


def _side_by_side(a: Sequence[Any], b: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Pair what two sequences have in common, and what replaces what; None for what is left."""
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    for _, from_a, to_a, from_b, to_b in matcher.get_opcodes():
        yield from zip_longest(a[from_a:to_a], b[from_b:to_b])


def _words(tokens: Sequence[str]) -> list[tuple[str, ...]]:
    """Split tokens into runs of letters and digits, and single other tokens."""
    words: list[tuple[str, ...]] = []
    for number, token in enumerate(tokens):
        if number and tokens[number - 1][-1:].isalnum() and token[:1].isalnum():
            words[-1] = (*words[-1], token)
        else:
            words.append((token,))
    return words
