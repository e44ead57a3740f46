"""The picture of a graph as SVG: the canvas's layout and colours, drawn without a browser."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape, quoteattr

from circuitscope_core.errors import GraphError
from circuitscope_core.export.canvas import PALETTE
from circuitscope_core.export.files import export_text, xml_text
from circuitscope_core.graph import NodeKind
from circuitscope_core.view import EdgeView, GraphView, NodeView, Picture

PictureName = Literal["full", "groups"]

RAMPS: dict[bool, tuple[str, ...]] = {
    False: tuple(PALETTE["ramps"]["light"]),
    True: tuple(PALETTE["ramps"]["dark"]),
}
"""Colours from lowers to raises, for light and dark pages; on a dark page, dark means none."""
CLAMP: float = PALETTE["clamp"]
"""Share of the target's input at which the ramp ends."""
EVEN: float = PALETTE["even_luminance"]
"""Luminance on which light and dark text stand out alike."""
Theme = dict[str, str]
THEMES: dict[bool, Theme] = {
    False: PALETTE["themes"]["light"],
    True: PALETTE["themes"]["dark"],
}
GHOST_OPACITY: dict[bool, float] = {
    False: PALETTE["ghost_opacity"]["light"],
    True: PALETTE["ghost_opacity"]["dark"],
}
"""Opacity of an edge that nothing sets off."""
MARGIN_LEFT, MARGIN_TOP, MARGIN_RIGHT = 86.0, 34.0, 30.0
UPRIGHT, SLANTED = 46.0, 90.0
"""Room under the graph for token labels of one or two letters, and for longer ones."""
RADIUS = 4.6
TILE_WIDTH, TILE_HEIGHT = 96.0, 22.0
LEAST_SHARE = 0.04
"""Edges between tiles are coloured from this share on."""
LONGEST_LABEL, LONGEST_TILE = 18, 17


def export_svg(
    view: GraphView,
    path: str | Path,
    *,
    picture: PictureName = "full",
    selected: str = "",
    dark: bool = False,
) -> Path:
    """Write a picture as one SVG file, whole or not at all; see ``render_svg``.

    Raises:
        GraphFileError: If the file cannot be written.
    """
    return export_text(Path(path), render_svg(view, picture=picture, selected=selected, dark=dark))


def render_svg(
    view: GraphView,
    *,
    picture: PictureName = "full",
    selected: str = "",
    way: Sequence[str] = (),
    dark: bool = False,
) -> str:
    """Return a picture of a graph as SVG without scripts, fonts or anything else from outside.

    Args:
        view: The laid-out graph.
        picture: All nodes, or supernodes merged.
        selected: Id of a node whose edges are coloured; unknown ids select nothing.
        way: Ids of nodes along which a line is drawn.
        dark: Use the dark theme.

    Raises:
        GraphError: If supernodes are asked for and the view has none.
    """
    drawn = view.full if picture == "full" else view.groups
    if drawn is None:
        raise GraphError("This view has no supernodes. Lay the graph out with supernodes first.")
    theme, tiles = THEMES[dark], picture != "full"
    by_id = {node.id: node for node in drawn.nodes}
    focus = by_id.get(selected)
    chosen = _chosen_edges(drawn, focus, tiles=tiles)
    links = _links_of(drawn, chosen, focus)
    upright = _is_upright(drawn)
    width = drawn.columns[-1].end + MARGIN_LEFT + MARGIN_RIGHT
    height = drawn.rows[-1].end + MARGIN_TOP + (UPRIGHT if upright else SLANTED)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{-MARGIN_LEFT:g} {-MARGIN_TOP:g} '
        f'{width:.1f} {height:.1f}" width="{width:.0f}" height="{height:.0f}" role="img" '
        'font-family="system-ui, sans-serif">',
        f"<title>{_text(view.prompt)}</title>",
        f'<rect x="{-MARGIN_LEFT:g}" y="{-MARGIN_TOP:g}" width="{width:.1f}" '
        f'height="{height:.1f}" fill="{theme["paper"]}"/>',
        *_backdrop(drawn, theme, upright=upright),
        _ghosts(drawn, theme, GHOST_OPACITY[dark], tiles=tiles),
        *(_edge(drawn, edge, dark=dark, tiles=tiles) for edge in chosen),
        _way([by_id[name] for name in way if name in by_id], theme, tiles=tiles),
        *(_node(node, theme, links.get(node.id), focus, dark=dark) for node in drawn.nodes),
        *(_label(node, theme) for node in drawn.nodes if _is_named(node, focus)),
        "</svg>\n",
    ]
    return "\n".join(part for part in parts if part)


def _text(text: str) -> str:
    return escape(xml_text(text))


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _is_upright(picture: Picture) -> bool:
    short = sum(len(column.label) <= 2 for column in picture.columns)
    return 2 * short >= len(picture.columns)


def _color(share: float, *, dark: bool) -> str:
    place = max(-CLAMP, min(CLAMP, share)) / (2 * CLAMP) + 0.5
    return RAMPS[dark][min(9, math.floor(place * 10))]


def luminance(color: str) -> float:
    """Return the relative luminance of ``#rrggbb``, 0 to 1.

    Source: WCAG 2.2, https://www.w3.org/TR/WCAG22/#dfn-relative-luminance
    """
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def text_on(color: str) -> str:
    """Return light or dark text, whichever stands out more on a colour."""
    ground = "dark_ground" if luminance(color) < EVEN else "light_ground"
    text: str = PALETTE["text_on"][ground]
    return text


def _backdrop(picture: Picture, theme: Theme, *, upright: bool) -> Iterable[str]:
    right, bottom = picture.columns[-1].end, picture.rows[-1].end
    last = len(picture.rows) - 1
    for number, row in enumerate(picture.rows):
        fill = theme["edge_band"] if number in (0, last) else theme["band"]
        yield (
            f'<rect x="0" y="{row.start:.1f}" width="{right:.1f}" '
            f'height="{row.end - row.start:.1f}" fill="{fill}"/>'
        )
    lines = [f"M0 {row.start:.1f}H{right:.1f}" for row in picture.rows[1:]]
    lines += [f"M{column.start:.1f} 0V{bottom:.1f}" for column in picture.columns[1:]]
    yield f'<path d="{"".join(lines)}" stroke="{theme["paper"]}" stroke-width="1.2" fill="none"/>'
    for row in picture.rows:
        middle = (row.start + row.end) / 2 + 4
        yield (
            f'<text x="-8" y="{middle:.1f}" font-size="12" text-anchor="end" '
            f'fill="{theme["dim"]}">{_text(row.label)}</text>'
        )
    for column in picture.columns:
        middle = (column.start + column.end) / 2
        if upright and len(column.label) <= 2:
            place = f'x="{middle:.1f}" y="{bottom + 18:.1f}" font-size="14" text-anchor="middle"'
            yield (
                f'<text {place} font-family="monospace" fill="{theme["ink"]}">'
                f"{_text(column.label)}</text>"
            )
        else:
            at = f"translate({middle + 3:.1f} {bottom + 12:.1f}) rotate(-45)"
            yield (
                f'<text transform="{at}" font-size="12" text-anchor="end" fill="{theme["ink"]}">'
                f"{_text(_shorten(column.label, LONGEST_LABEL))}</text>"
            )


def _route(source: NodeView, target: NodeView, *, bent: bool) -> str:
    start, end = f"M{source.x:.1f} {source.y:.1f}", f"{target.x:.1f} {target.y:.1f}"
    if not bent:
        return f"{start}L{end}"
    half = (target.y - source.y) / 2
    return (
        f"{start}C{source.x:.1f} {source.y + half:.1f} {target.x:.1f} {target.y - half:.1f} {end}"
    )


def _ghosts(picture: Picture, theme: Theme, ghost: float, *, tiles: bool) -> str:
    """Draw every edge faintly, as one path."""
    nodes = picture.nodes
    routes = (_route(nodes[e.source], nodes[e.target], bent=tiles) for e in picture.edges)
    opacity = ghost * max(0.4, min(1.0, math.sqrt(1000 / max(1, len(picture.edges)))))
    return (
        f'<path d="{"".join(routes)}" stroke="{theme["ghost"]}" stroke-opacity="{opacity:.3f}" '
        'stroke-width="0.8" fill="none"/>'
    )


def _chosen_edges(picture: Picture, focus: NodeView | None, *, tiles: bool) -> list[EdgeView]:
    """Return the edges to colour: the selected node's, or between tiles the strong ones."""
    nodes = picture.nodes
    if focus is not None:
        ends = ((edge, nodes[edge.source], nodes[edge.target]) for edge in picture.edges)
        return [edge for edge, source, target in ends if focus in (source, target)]
    return [edge for edge in picture.edges if abs(edge.share) > LEAST_SHARE] if tiles else []


def _links_of(
    picture: Picture, edges: Sequence[EdgeView], focus: NodeView | None
) -> dict[str, float]:
    """Return the share of the link with the selected node, by id of the node at its other end."""
    if focus is None:
        return {}
    nodes = picture.nodes
    return {
        (nodes[edge.target] if nodes[edge.source] is focus else nodes[edge.source]).id: edge.share
        for edge in edges
    }


def _edge(picture: Picture, edge: EdgeView, *, dark: bool, tiles: bool) -> str:
    """Draw one edge; dashes repeat the sign for those who do not see the colour."""
    route = _route(picture.nodes[edge.source], picture.nodes[edge.target], bent=tiles)
    dashes = ' stroke-dasharray="5 3"' if edge.share < 0 else ""
    width = max(0.7, 5 * math.sqrt(abs(edge.share)))
    return (
        f'<path d="{route}" stroke="{_color(edge.share, dark=dark)}" stroke-width="{width:.1f}" '
        f'stroke-opacity="0.85" fill="none"{dashes}/>'
    )


def _way(nodes: Sequence[NodeView], theme: Theme, *, tiles: bool) -> str:
    if len(nodes) < 2:
        return ""
    route = "".join(_route(source, target, bent=tiles) for source, target in pairwise(nodes))
    return f'<path d="{route}" stroke="{theme["focus"]}" stroke-width="2.4" fill="none"/>'


def _node(
    node: NodeView, theme: Theme, link: float | None, focus: NodeView | None, *, dark: bool
) -> str:
    """Draw a glyph or a tile, with its name as a tooltip."""
    fill = theme["tile"] if node.kind == "group" else theme["paper"]
    if link is not None:
        fill = _color(link, dark=dark)
    stroke, width = (theme["focus"], 2.4) if node is focus else (theme["ink"], 0.8)
    faint = ' opacity="0.32"' if focus is not None and link is None and node is not focus else ""
    sign = "" if link is None else f" ({link:+.1%} of the link)"
    paint = f'fill="{fill}" stroke="{stroke}" stroke-width="{width}"'
    return (
        f"<g{faint}><title>{_text(f'{node.label}, {node.detail}{sign}')}</title>"
        f"{_shape(node, paint)}{_inside(node, theme, link, dark=dark)}</g>"
    )


def _shape(node: NodeView, paint: str) -> str:
    x, y, r = node.x, node.y, RADIUS
    if node.members:
        left, top = x - TILE_WIDTH / 2, y - TILE_HEIGHT / 2
        place = f'x="{left:.1f}" y="{top:.1f}" width="{TILE_WIDTH:g}" height="{TILE_HEIGHT:g}"'
        return f'<rect {place} rx="4" {paint}/>'
    if node.kind in (NodeKind.TOKEN, NodeKind.LOGIT):
        return (
            f'<rect x="{x - r:.1f}" y="{y - r:.1f}" width="{2 * r:g}" height="{2 * r:g}" {paint}/>'
        )
    if node.kind == NodeKind.ERROR:
        d = 1.3 * r
        corners = f"M{x:.1f} {y - d:.1f}l{d:.2f} {d:.2f}l{-d:.2f} {d:.2f}l{-d:.2f} {-d:.2f}z"
        return f'<path d="{corners}" {paint}/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:g}" {paint}/>'


def _dot(node: NodeView, theme: Theme) -> str:
    """Return the dot in a neuron that is active above 0."""
    return f'<circle cx="{node.x:.1f}" cy="{node.y:.1f}" r="{RADIUS / 2:g}" fill="{theme["ink"]}"/>'


def _inside(node: NodeView, theme: Theme, link: float | None, *, dark: bool) -> str:
    """Return a tile's name, or the sign of a glyph's link."""
    ink = theme["ink"] if link is None else text_on(_color(link, dark=dark))
    if node.members:
        return (
            f'<text x="{node.x:.1f}" y="{node.y + 3.6:.1f}" font-size="10.5" text-anchor="middle" '
            f'fill="{ink}">{_text(_shorten(node.label, LONGEST_TILE))}</text>'
        )
    if link is None:
        return _dot(node, theme) if node.filled else ""
    if abs(link) < 0.02:
        return ""
    upright = f"M{node.x:.1f} {node.y - 2.2:.1f}v4.4" if link > 0 else ""
    return (
        f'<path d="M{node.x - 2.2:.1f} {node.y:.1f}h4.4{upright}" stroke={quoteattr(ink)} '
        'stroke-width="1.1"/>'
    )


def _is_named(node: NodeView, focus: NodeView | None) -> bool:
    return not node.members and (node.kind == NodeKind.LOGIT or node is focus)


def _label(node: NodeView, theme: Theme) -> str:
    """Draw an output's token or the selected node's name above it, with a halo of paper."""
    label, size, anchor = _shorten(node.label, 34), 11, "middle"
    if node.kind == NodeKind.LOGIT and node.probability is not None:
        label, size = _shorten(node.label.removeprefix("“").removesuffix("”"), LONGEST_LABEL), 13
        anchor = "middle" if len(label) <= 2 else "start"
    halo = f'stroke="{theme["paper"]}" stroke-width="3" paint-order="stroke"'
    turn = "" if anchor == "middle" else f' transform="rotate(-45 {node.x:.1f} {node.y - 10:.1f})"'
    return (
        f'<text x="{node.x:.1f}" y="{node.y - 10:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="{theme["ink"]}" {halo}{turn}>{_text(label)}</text>'
    )
