"""Where nodes go: token columns and layer rows, each as large as its fullest cell."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from circuitscope_core.view.graph_view import Band

Cell = tuple[int, int]
"""Row (0 at the top) and column."""


@dataclass(frozen=True)
class Item:
    """Something to place in a cell."""

    cell: Cell
    width: float
    rank: float
    """Within a cell the highest rank stands at the right edge."""


@dataclass(frozen=True)
class Spacing:
    """Distances in a grid."""

    longest_line: float
    """The longest line of a cell; a cell with more continues in a second line."""
    line_height: float
    least_column: float = 17.0
    least_row: float = 58.0
    padding: float = 8.0
    proportion: float = 0.72
    """Layer rows are stretched until height / width reaches this."""


DEEP = 14
"""Rows from which on a picture is that of a deep model."""
DEEP_ROW = 34.0
"""The least height of a deep model's row that holds a node."""
EMPTY_ROW = 7.0
"""The height of a deep model's row that holds none: a stripe, which still shows the depth."""
WIDEST = 8.0
"""The columns of a picture that is higher than wide are widened by this factor at most."""


@dataclass(frozen=True)
class Grid:
    """Positions of the items, in their order, and the bands they lie in."""

    positions: tuple[tuple[float, float], ...]
    rows: tuple[Band, ...]
    columns: tuple[Band, ...]


def arrange(
    items: Sequence[Item],
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    spacing: Spacing,
) -> Grid:
    """Place items right-aligned in their cells.

    The top row keeps to one line: it holds the outputs, ordered by probability.
    """
    lines = {
        cell: break_lines(items, members, math.inf if cell[0] == 0 else spacing.longest_line)
        for cell, members in group_by_cell(items).items()
    }
    widths = [spacing.least_column] * len(column_labels)
    heights = least_heights({row for row, _ in lines}, len(row_labels), spacing)
    for (row, column), cell_lines in lines.items():
        widest = max(sum(items[item].width for item in line) for line in cell_lines)
        widths[column] = max(widths[column], widest + spacing.padding)
        heights[row] = max(heights[row], (len(cell_lines) + 1) * spacing.line_height)
    widths = widen(widths, sum(heights), spacing)
    columns = stack(widths, column_labels)
    rows = stack(stretch(heights, sum(widths), spacing), named_rows(heights, row_labels))
    positions: list[tuple[float, float]] = [(0.0, 0.0)] * len(items)
    for (row, column), cell_lines in lines.items():
        middle = (rows[row].start + rows[row].end) / 2
        for number, line in enumerate(cell_lines):
            y = middle + (number - (len(cell_lines) - 1) / 2) * spacing.line_height
            right = columns[column].end - spacing.padding / 2
            for item in line:
                positions[item] = (right - items[item].width / 2, y)
                right -= items[item].width
    return Grid(tuple(positions), rows, columns)


def least_heights(used: Collection[int], n_rows: int, spacing: Spacing) -> list[float]:
    """Return the least height of every row: a deep model's rows are lower, empty ones stripes.

    The rows of outputs and tokens are as in any model.
    """
    if n_rows < DEEP:
        return [spacing.least_row] * n_rows
    inner = [DEEP_ROW if row in used else EMPTY_ROW for row in range(1, n_rows - 1)]
    return [spacing.least_row, *inner, spacing.least_row]


def named_rows(heights: Sequence[float], labels: Sequence[str]) -> list[str]:
    """Return the rows' labels; stripes have none, since it would not fit."""
    return [
        "" if height <= EMPTY_ROW else label for height, label in zip(heights, labels, strict=True)
    ]


def widen(widths: Sequence[float], height: float, spacing: Spacing) -> list[float]:
    """Return columns of a picture that is not much higher than wide."""
    factor = min(WIDEST, max(1.0, height / spacing.proportion / sum(widths)))
    return [width * factor for width in widths]


def arrange_compactly(
    items: Sequence[Item],
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    spacing: Spacing,
) -> Grid:
    """Arrange with shorter lines where that lets the whole grid be seen larger."""
    lengths = [spacing.longest_line * part / 8 for part in range(8, 1, -1)]
    grids = (
        arrange(items, row_labels, column_labels, replace(spacing, longest_line=length))
        for length in lengths
    )
    return min(
        grids, key=lambda grid: max(grid.columns[-1].end, grid.rows[-1].end / spacing.proportion)
    )


def group_by_cell(items: Sequence[Item]) -> Mapping[Cell, list[int]]:
    """Return the items of each cell, highest rank first."""
    cells: dict[Cell, list[int]] = {}
    for index in sorted(range(len(items)), key=lambda index: (-items[index].rank, index)):
        cells.setdefault(items[index].cell, []).append(index)
    return cells


def break_lines(items: Sequence[Item], members: Iterable[int], limit: float) -> list[list[int]]:
    """Split a cell's items into lines that are no wider than the limit."""
    lines: list[list[int]] = [[]]
    used = 0.0
    for member in members:
        if lines[-1] and used + items[member].width > limit:
            lines.append([])
            used = 0.0
        lines[-1].append(member)
        used += items[member].width
    return lines


def stretch(heights: Sequence[float], width: float, spacing: Spacing) -> list[float]:
    """Return row heights that come closer to the wished proportion, none smaller than before.

    The rows of outputs and tokens stay as they are.
    """
    first, *inner, last = heights
    factor = max(1.0, (width * spacing.proportion - first - last) / max(1.0, sum(inner)))
    return [first, *(height * factor for height in inner), last]


def spread(
    items: Sequence[Item],
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    spacing: Spacing,
) -> Grid:
    """Place wide items as near to their column as their neighbours allow, in even columns.

    A row with more than one line holds continues in further lines, taking turns, so that each
    line is spread over the whole width.
    """
    rows_needed = (
        sum(item.width for item in items if item.cell[0] == row) for row in range(len(row_labels))
    )
    needed = max(spacing.longest_line / 2, *rows_needed)
    width = max(min(spacing.longest_line, needed), spacing.least_column * len(column_labels))
    columns = stack([width / len(column_labels)] * len(column_labels), column_labels)
    lines_of_row = [take_turns(items, row, width) for row in range(len(row_labels))]
    least = least_heights(
        {row for row, lines in enumerate(lines_of_row) if lines[0]}, len(row_labels), spacing
    )
    heights = [
        max(low, (len(lines) + 1) * spacing.line_height) if lines[0] else low
        for low, lines in zip(least, lines_of_row, strict=True)
    ]
    rows = stack(stretch(heights, width, spacing), named_rows(heights, row_labels))
    positions: list[tuple[float, float]] = [(0.0, 0.0)] * len(items)
    for row, lines in zip(rows, lines_of_row, strict=True):
        step = (row.end - row.start) / (len(lines) + 1)
        for number, line in enumerate(lines):
            wished = [_middle(columns[items[item].cell[1]]) for item in line]
            places = push_apart(wished, [items[item].width for item in line], width)
            for item, x in zip(line, places, strict=True):
                positions[item] = (x, row.start + (number + 1) * step)
    return Grid(tuple(positions), rows, columns)


def take_turns(items: Sequence[Item], row: int, limit: float) -> list[list[int]]:
    """Return a row's items from left to right, dealt out to as many lines as they need.

    The top row always has one line.
    """
    members = [index for index, item in enumerate(items) if item.cell[0] == row]
    members.sort(key=lambda index: (items[index].cell[1], items[index].rank, index))
    needed = sum(items[index].width for index in members)
    n_lines = 1 if row == 0 else max(1, math.ceil(needed / limit))
    return [members[number::n_lines] for number in range(n_lines)]


def push_apart(wished: Sequence[float], widths: Sequence[float], width: float) -> list[float]:
    """Return places from left to right without overlap, each near its wish and inside the width."""
    places: list[float] = []
    edge = 0.0
    for wish, size in zip(wished, widths, strict=True):
        places.append(max(wish, edge + size / 2))
        edge = places[-1] + size / 2
    edge = width
    for index in reversed(range(len(places))):
        places[index] = min(places[index], edge - widths[index] / 2)
        edge = places[index] - widths[index] / 2
    return places


def _middle(band: Band) -> float:
    return (band.start + band.end) / 2


def stack(sizes: Sequence[float], labels: Sequence[str]) -> tuple[Band, ...]:
    """Put bands one after the other."""
    bands = []
    start = 0.0
    for size, label in zip(sizes, labels, strict=True):
        bands.append(Band(start, start + size, label))
        start += size
    return tuple(bands)
