"""Draw the rooms of the core as they import each other: docs/rooms.svg.

Usage: python docs/make_rooms.py
"""

import ast
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "circuitscope_core"
TARGET = ROOT / "docs" / "rooms.svg"
WIDTH, ROW, TOP, HEIGHT, GAP = 980, 62, 62, 30, 10
TINTS = ("#E8F0EA", "#E6EEF5", "#F3ECDD", "#F2E6E6", "#ECE8F3")


def rooms_and_imports():
    """Return each room's rooms that it imports, doors aside."""
    found = {}
    for path in sorted(CORE.rglob("*.py")):
        room = path.relative_to(CORE).parts[0].removesuffix(".py")
        if room in ("__init__", "__main__"):
            continue
        names = found.setdefault(room, set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                parts = node.module.split(".")
                if parts[0] == "circuitscope_core" and len(parts) > 1 and parts[1] != room:
                    names.add(parts[1])
    return found


def floors_of(imports):
    """Return each room's floor: one above the highest room that it imports."""
    floors = {}

    def floor(room):
        if room not in floors:
            floors[room] = 1 + max((floor(name) for name in imports[room]), default=-1)
        return floors[room]

    for room in imports:
        floor(room)
    return floors


def needed_arrows(imports):
    """Return imports that do not follow from others: the transitive reduction."""

    def reached(room):
        return imports[room].union(*(reached(name) for name in imports[room]))

    every = {room: reached(room) for room in imports}
    return [
        (room, name)
        for room in sorted(imports)
        for name in sorted(imports[room])
        if not any(name in every[other] for other in imports[room] if other != name)
    ]


def place(floors, arrows):
    """Return each room's box: floors from the top down, each row ordered by what it imports."""
    boxes = {}
    for level in range(max(floors.values()) + 1):
        row = sorted(room for room in floors if floors[room] == level)

        def wish(room):
            below = [boxes[name][0] for one, name in arrows if one == room and name in boxes]
            return (sum(below) / len(below) if below else WIDTH / 2, room)

        row.sort(key=wish)
        widths = [14 + 7.2 * len(room) for room in row]
        x = (WIDTH - sum(widths) - GAP * (len(row) - 1)) / 2
        for room, width in zip(row, widths, strict=True):
            boxes[room] = (round(x + width / 2, 1), TOP + level * ROW, round(width, 1))
            x += width + GAP
    return boxes


def draw():
    """Return the picture, byte for byte the same for the same imports."""
    imports = rooms_and_imports()
    floors, arrows = floors_of(imports), needed_arrows(imports)
    boxes = place(floors, arrows)
    height = TOP + ROW * max(floors.values()) + HEIGHT + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="12.5">',
        "<title>Rooms of circuitscope_core: each imports only rooms above it</title>",
        f'<rect width="{WIDTH}" height="{height}" rx="10" fill="#FBFAF6"/>',
        f'<text x="{WIDTH / 2}" y="30" text-anchor="middle" fill="#5B5A50">Each room imports rooms '
        "above it only. Lines that follow from others are left out.</text>",
    ]
    for room, name in arrows:
        (x, y, _), (to_x, to_y, _) = boxes[room], boxes[name]
        bend = (y + to_y + HEIGHT) / 2
        parts.append(
            f'<path d="M{x} {y}C{x} {bend} {to_x} {bend} {to_x} {to_y + HEIGHT}" fill="none" '
            'stroke="#8A887C" stroke-opacity=".5"/>'
        )
    for room, (x, y, width) in boxes.items():
        tint = TINTS[floors[room] % len(TINTS)]
        parts.append(
            f'<rect x="{x - width / 2:.1f}" y="{y}" width="{width}" height="{HEIGHT}" rx="6" '
            f'fill="{tint}" stroke="#8A887C"/>'
            f'<text x="{x}" y="{y + 20}" text-anchor="middle" fill="#22211C">{escape(room)}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    TARGET.write_text(draw(), encoding="utf-8")
