"""One HTML file with the same canvas as the app, which needs no network and no server."""

import base64
import hashlib
import html
import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, runtime_checkable

from circuitscope_core.errors import CircuitScopeError
from circuitscope_core.export.files import write_text
from circuitscope_core.export.opening import Opening
from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.global_weights import GlobalWeights
from circuitscope_core.pruning import PrunedGraph
from circuitscope_core.supernodes import Supernodes
from circuitscope_core.tokenizer import Tokenizer
from circuitscope_core.view import GraphView, layout_graph

CANVAS_FOLDER = Path(__file__).resolve().parents[1] / "canvas"
"""The canvas's own files, which the app's component is made of too."""
CANVAS_SCRIPTS = (
    "base.js",
    "draw.js",
    "svg.js",
    "picture.js",
    "card.js",
    "panel.js",
    "frame.js",
    "tour.js",
    "input.js",
    "graph.js",
)
"""In the order in which they must run, after vis-network."""
STYLE_SHEET = "graph.css"
VIS_NETWORK = "vis-network.min.js"
OPEN = """
CircuitScope.view.update({
  text: document.getElementById('graph-data').textContent,
  opening: JSON.parse(document.getElementById('graph-opening').textContent),
  dark: matchMedia('(prefers-color-scheme: dark)').matches,
})
"""
"""Runs after the page's own start, which opens the graph with nothing chosen."""


@runtime_checkable
class HasCards(Protocol):
    """A bundle, as far as an exported page needs to know it."""

    @property
    def tokenizer(self) -> Tokenizer:
        """Turns the cards' token ids into text."""

    @property
    def feature_cards(self) -> FeatureCards:
        """What the features respond to."""

    @property
    def global_weights(self) -> GlobalWeights | None:
        """What they do to each other over the corpus."""


def find_vis_network() -> Path:
    """Return vis-network as it lies in the installed pyvis package, the newest version in it.

    pyvis itself is not imported: it would load IPython.

    Raises:
        CircuitScopeError: If pyvis or the file in it is missing.
    """
    spec = find_spec("pyvis")
    folders = spec.submodule_search_locations if spec else None
    found = [
        path for folder in folders or () for path in Path(folder).glob(f"**/vis-*/{VIS_NETWORK}")
    ]
    if not found:
        raise CircuitScopeError(
            "The graph canvas needs vis-network from the package pyvis, which is not installed. "
            "Run: pip install -r requirements.txt"
        )
    return max(found, key=_version_of)


def _version_of(path: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", path.parent.name))


def export_html(
    pruned: PrunedGraph,
    bundle: HasCards,
    path: str | Path,
    *,
    supernodes: Supernodes | None = None,
) -> Path:
    """Write a pruned graph as one HTML file, whole or not at all.

    Raises:
        CircuitScopeError: If pyvis, which carries the canvas library, is missing.
    """
    return write_text(Path(path), render_html(pruned, bundle, supernodes=supernodes))


def render_html(
    pruned: PrunedGraph, bundle: HasCards, *, supernodes: Supernodes | None = None
) -> str:
    """Return a pruned graph as one HTML page; see ``export_html``."""
    parts = (bundle.tokenizer, bundle.feature_cards, supernodes, bundle.global_weights)
    return render_view(layout_graph(pruned, *parts))


def export_view(view: GraphView, path: str | Path) -> Path:
    """Write a laid-out graph as one HTML file, whole or not at all; see ``export_html``."""
    return write_text(Path(path), render_view(view))


def render_view(view: GraphView, opening: Opening | None = None) -> str:
    """Return the page of a laid-out graph.

    A content security policy lets exactly these scripts and this style run, and nothing load.

    Args:
        view: The graph.
        opening: Choices that it opens with; none where None.
    """
    sources = [find_vis_network(), *(CANVAS_FOLDER / name for name in CANVAS_SCRIPTS)]
    scripts = [_read(path) for path in [*sources, CANVAS_FOLDER / "standalone.js"]]
    if opening:
        scripts.append(OPEN)
    style = _read(CANVAS_FOLDER / STYLE_SHEET)
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"script-src {' '.join(map(_hash, scripts))}; style-src {_hash(style)}"
    )
    body = "\n".join(f"<script>{script}</script>" for script in scripts)
    data = _embed("graph-data", view.to_text())
    if opening:
        data += _embed("graph-opening", json.dumps(opening.to_json()))
    title = html.escape(view.prompt.encode("utf-8", "replace").decode())
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title} - CircuitScope</title>\n<style>{style}</style>\n</head>\n"
        f'<body class="cs-page">\n<div id="root"></div>\n{data}\n{body}\n</body>\n</html>\n'
    )


def _embed(name: str, text: str) -> str:
    """Return JSON as an element, without any character that could end or open markup."""
    for character in "<>&":  # JSON itself already writes U+2028 and U+2029 as escapes
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _read(path: Path) -> str:
    """Read a script or style; HTML turns CR LF into LF, which would change its hash."""
    return path.read_text(encoding="utf-8").replace("\r\n", "\n")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
