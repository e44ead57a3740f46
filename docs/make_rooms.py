"""Draw docs/rooms.svg: the rooms of circuitscope_core, joined by their imports.

Usage: python docs/make_rooms.py
"""

import ast
import colorsys
import math
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "circuitscope_core"
TARGET = ROOT / "docs" / "rooms.svg"
DOORS = {"__init__", "__main__"}
CAPTION = (
    "Each room imports rooms above it only. A line leads from a room to those that import it;",
    "imports that follow from others are not drawn. A slash marks a folder.",
)
WIDTH, MARGIN, TOP, ROW, HEIGHT = 980, 40, 84, 58, 28
LETTER, LANE, GAP = 7.1, 4.0, 12.0
SWEEPS = 40


@dataclass(frozen=True)
class Lane:
    """A room's line where it passes a floor on its way to a lower one."""

    room: str
    floor: int


Item = str | Lane
Links = list[tuple[Item, Item]]


def room_of(path: Path) -> str:
    """Return the room that a file of the core belongs to."""
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def read_front_door() -> dict[str, str]:
    """Return the room of each name that the package itself offers."""
    tree = ast.parse((CORE / "__init__.py").read_text(encoding="utf-8"))
    return {
        alias.asname or alias.name: node.module.split(".")[1]
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module and "." in node.module
        for alias in node.names
    }


def rooms_used(path: Path, front_door: dict[str, str]) -> set[str]:
    """Return the rooms that a file imports, directly or as ``cs.name``."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    short_names = {
        alias.asname
        for node in nodes
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == CORE.name
    }
    used = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{CORE.name}."):
            used.add((node.module or "").split(".")[1])
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in short_names
        ):
            used.add(front_door.get(node.attr, node.attr))
    return used


def read_imports() -> dict[str, set[str]]:
    """Return the other rooms that each room imports."""
    front_door = read_front_door()
    imports: dict[str, set[str]] = {}
    for path in sorted(CORE.rglob("*.py")):
        if room_of(path) not in DOORS:
            imports.setdefault(room_of(path), set()).update(rooms_used(path, front_door))
    return {room: (used & imports.keys()) - {room} for room, used in imports.items()}


def floors_of(imports: dict[str, set[str]]) -> dict[str, int]:
    """Return each room's floor, which is one below the lowest room that it imports."""
    floors: dict[str, int] = {}

    def floor(room: str) -> int:
        if room not in floors:
            floors[room] = 1 + max((floor(name) for name in sorted(imports[room])), default=-1)
        return floors[room]

    for room in imports:
        floor(room)
    return floors


def needed_imports(imports: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Return the imports that do not follow from others: imported room, importing room."""

    def reached(room: str) -> set[str]:
        return imports[room].union(*(reached(name) for name in imports[room]))

    every = {room: reached(room) for room in imports}
    return [
        (name, room)
        for room in sorted(imports)
        for name in sorted(imports[room])
        if not any(name in every[other] for other in imports[room])
    ]


def route(floors: dict[str, int], arrows: list[tuple[str, str]]) -> tuple[list[list[Item]], Links]:
    """Return the items of each floor, and the links between items of neighbouring floors.

    All lines that leave one room share a trunk, and leave it above the rooms that they lead to.
    """
    rows: list[list[Item]] = [[] for _ in range(max(floors.values()) + 1)]
    for room in sorted(floors):
        rows[floors[room]].append(room)
    links: Links = []
    for room in sorted(floors):
        followers = [to for name, to in arrows if name == room]
        last = max((floors[to] for to in followers), default=0)
        trunk: list[Item] = [room]
        for floor in range(floors[room] + 1, last):
            rows[floor].append(Lane(room, floor))
            trunk.append(Lane(room, floor))
        links += list(pairwise(trunk))
        links += [(trunk[floors[to] - floors[room] - 1], to) for to in followers]
    return rows, links


def neighbours(links: Links) -> tuple[dict[Item, list[Item]], dict[Item, list[Item]]]:
    """Return the items above and those below each item."""
    above: dict[Item, list[Item]] = {}
    below: dict[Item, list[Item]] = {}
    for one, other in links:
        above.setdefault(other, []).append(one)
        below.setdefault(one, []).append(other)
    return above, below


def count_crossings(rows: list[list[Item]], links: Links) -> int:
    """Return how many pairs of links cross."""
    at = {item: number for row in rows for number, item in enumerate(row)}
    floor = {item: number for number, row in enumerate(rows) for item in row}
    ends = [(floor[one], at[one], at[other]) for one, other in links]
    return sum(
        f == g and (a - c) * (b - d) < 0
        for number, (f, a, b) in enumerate(ends)
        for g, c, d in ends[:number]
    )


def reorder(rows: list[list[Item]], links: Links) -> list[list[Item]]:
    """Return the floors with their items in the order that crosses fewest links.

    Each floor in turn is sorted by the mean of its neighbours' places, downwards and upwards.
    """
    above, below = neighbours(links)
    best, fewest = rows, count_crossings(rows, links)
    for sweep in range(SWEEPS):
        near = above if sweep % 2 == 0 else below
        at = {item: (n + 0.5) / len(row) for row in rows for n, item in enumerate(row)}
        rows = [list(row) for row in rows]
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wish = {item: mean([at[one] for one in near.get(item, [item])]) for item in row}
            row.sort(key=wish.__getitem__)
            at.update({item: (n + 0.5) / len(row) for n, item in enumerate(row)})
        crossings = count_crossings(rows, links)
        if crossings < fewest:
            best, fewest = rows, crossings
    return best


def mean(values: list[float]) -> float:
    """Return the mean of some numbers."""
    return math.fsum(values) / len(values)  # the same in every version of Python


def label(room: str) -> str:
    """Return a room's name, with a slash where it is a folder."""
    return f"{room}/" if (CORE / room).is_dir() else room


def width_of(item: Item) -> float:
    """Return the width that an item takes."""
    return LANE if isinstance(item, Lane) else 18 + LETTER * len(label(item))


def settle(row: list[Item], wishes: dict[Item, float]) -> dict[Item, float]:
    """Return the places nearest to those wished for that keep order and distance on one floor."""
    offsets, reach = [], 0.0
    for number, item in enumerate(row):
        if number:
            reach += (width_of(row[number - 1]) + width_of(item)) / 2 + GAP
        offsets.append(reach)
    blocks: list[tuple[float, int, int]] = []  # items that touch: mean wish, weight, number
    for item, offset in zip(row, offsets, strict=True):
        wish, weight, size = wishes[item] - offset, 3 if isinstance(item, Lane) else 1, 1
        while blocks and blocks[-1][0] > wish:
            earlier, other, n = blocks.pop()
            wish = (earlier * other + wish * weight) / (other + weight)
            weight, size = other + weight, n + size
        blocks.append((wish, weight, size))
    least = MARGIN + width_of(row[0]) / 2
    most = WIDTH - MARGIN - width_of(row[-1]) / 2 - offsets[-1]
    starts = [min(max(wish, least), most) for wish, _, size in blocks for _ in range(size)]
    return {item: x + offset for item, x, offset in zip(row, starts, offsets, strict=True)}


def place(rows: list[list[Item]], links: Links) -> dict[Item, float]:
    """Return each item's centre, near those of the items it is linked with."""
    above, below = neighbours(links)
    places: dict[Item, float] = {}
    for row in rows:
        step = (WIDTH - 2 * MARGIN) / len(row)
        places.update(settle(row, {item: MARGIN + (n + 0.5) * step for n, item in enumerate(row)}))
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wishes = {}
            for item in row:
                near = above.get(item, []) + below.get(item, []) or [item]
                lanes: list[Item] = [one for one in near if isinstance(one, Lane)]
                near = lanes if lanes and isinstance(item, Lane) else near  # keeps trunks straight
                wishes[item] = mean([places[one] for one in near])
            places.update(settle(row, wishes))
    return places


def colours(floor: int, n_floors: int) -> tuple[str, str]:
    """Return the tint of a floor's boxes and the colour of the lines that leave them."""
    hue = 0.38 + 0.5 * floor / max(1, n_floors - 1)
    return colour(hue, 0.92, 0.45), colour(hue, 0.50, 0.38)


def colour(hue: float, lightness: float, saturation: float) -> str:
    """Return a colour as SVG writes it."""
    parts = colorsys.hls_to_rgb(hue, lightness, saturation)
    return "#" + "".join(f"{round(255 * part):02X}" for part in parts)


def draw_lines(rows: list[list[Item]], links: Links, places: dict[Item, float]) -> list[str]:
    """Return the lines as SVG, one path for all that leave a room."""
    above, _ = neighbours(links)
    floor = {item: number for number, row in enumerate(rows) for item in row}
    paths: dict[str, list[str]] = {}
    heads: dict[str, list[str]] = {}
    for one, other in links:
        room = one.room if isinstance(one, Lane) else one
        x, top = places[one], TOP + ROW * floor[one] + HEIGHT
        to_x, bottom = places[other], TOP + ROW * floor[other]
        if isinstance(other, str):
            entries = sorted(above[other], key=places.__getitem__)
            to_x += 14 * (entries.index(one) - (len(entries) - 1) / 2)
            heads.setdefault(room, []).append(
                f"M{to_x - 3:.1f} {bottom - 6}L{to_x:.1f} {bottom}L{to_x + 3:.1f} {bottom - 6}z"
            )
        start = f"M{x:.1f} {top - HEIGHT}V{top}" if isinstance(one, Lane) else f"M{x:.1f} {top}"
        middle = (top + bottom) / 2
        paths.setdefault(room, []).append(
            f"{start}C{x:.1f} {middle} {to_x:.1f} {middle} {to_x:.1f} {bottom}"
        )
    return [
        f'<g stroke="{colours(floor[room], len(rows))[1]}"><path d="{"".join(paths[room])}" '
        f'fill="none" stroke-width="1.3"/><path d="{"".join(heads.get(room, []))}" '
        f'fill="{colours(floor[room], len(rows))[1]}"/></g>'
        for room in paths
    ]


def draw_boxes(rows: list[list[Item]], places: dict[Item, float]) -> list[str]:
    """Return the rooms as SVG."""
    parts = []
    for floor, row in enumerate(rows):
        tint, line = colours(floor, len(rows))
        for room in row:
            if isinstance(room, Lane):
                continue
            x, y, width = places[room], TOP + ROW * floor, width_of(room)
            parts.append(
                f'<rect x="{x - width / 2:.1f}" y="{y}" width="{width:.1f}" height="{HEIGHT}" '
                f'rx="6" fill="{tint}" stroke="{line}"/><text x="{x:.1f}" y="{y + 18}" '
                f'text-anchor="middle" fill="#22211C">{escape(label(room))}</text>'
            )
    return parts


def draw() -> str:
    """Return the picture, byte for byte the same for the same imports."""
    imports = read_imports()
    rows, links = route(floors_of(imports), needed_imports(imports))
    rows = reorder(rows, links)
    places = place(rows, links)
    height = TOP + ROW * (len(rows) - 1) + HEIGHT + 28
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12.5">',
        "<title>Rooms of circuitscope_core: each imports only rooms above it</title>",
        f'<rect x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="10" fill="#FBFAF6" '
        'stroke="#D9D6CB"/>',
    ]
    head += [
        f'<text x="{WIDTH / 2}" y="{30 + 19 * number}" text-anchor="middle" fill="#5B5A50">'
        f"{line}</text>"
        for number, line in enumerate(CAPTION)
    ]
    body = [*draw_lines(rows, links, places), *draw_boxes(rows, places)]
    return "\n".join([*head, *body, "</svg>"]) + "\n"


if __name__ == "__main__":
    TARGET.write_text(draw(), encoding="utf-8")
