"""One HTML file with the same canvas as the app, which needs no network and no server."""

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from circuitscope_core.arguments import checked
from circuitscope_core.circuit import Kept
from circuitscope_core.errors import CircuitScopeError
from circuitscope_core.export.canvas import (
    STYLE_SHEET,
    classic_script,
    read_canvas_file,
    read_vis_network,
)
from circuitscope_core.export.files import export_text
from circuitscope_core.export.opening import Opening, WalkStep
from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.global_weights import GlobalWeights
from circuitscope_core.supernodes import Supernodes
from circuitscope_core.tokenizer import Tokenizer
from circuitscope_core.view import GraphView, layout_graph


@runtime_checkable
class HasCards(Protocol):
    """A bundle, as far as an exported page needs to know it."""

    @property
    def tokenizer(self) -> Tokenizer:
        """Turns the cards' token ids into text."""

    @property
    def feature_cards(self) -> FeatureCards | None:
        """The cards of the features; None where there are none."""

    @property
    def global_weights(self) -> GlobalWeights | None:
        """The interactions of features over the corpus; None where they were not measured."""


@checked
def export_html(
    kept: Kept,
    bundle: HasCards,
    path: str | Path,
    *,
    supernodes: Supernodes | None = None,
) -> Path:
    """Write a circuit as one HTML file, whole or not at all.

    Raises:
        CircuitScopeError: If pyvis, which carries the canvas library, is missing.
        GraphFileError: If the file cannot be written.
    """
    return export_text(Path(path), render_html(kept, bundle, supernodes=supernodes))


def render_html(kept: Kept, bundle: HasCards, *, supernodes: Supernodes | None = None) -> str:
    """Return a circuit as one HTML page; see ``export_html``."""
    parts = (bundle.tokenizer, bundle.feature_cards, supernodes, bundle.global_weights)
    return render_view(layout_graph(kept, *parts))


def export_view(view: GraphView, path: str | Path) -> Path:
    """Write a laid-out graph as one HTML file, whole or not at all; see ``export_html``."""
    return export_text(Path(path), render_view(view))


def render_view(view: GraphView, opening: Opening | None = None) -> str:
    """Return the page of a laid-out graph.

    Args:
        view: The graph.
        opening: Choices that it opens with; none where None.
    """
    data = _embed("graph-data", view.to_text())
    if opening:
        data += _embed("graph-opening", json.dumps(opening.to_json()))
    return _page(view.prompt, data)


def render_walk(steps: Sequence[WalkStep]) -> str:
    """Return a page that leads through graphs step by step, each with a caption.

    Args:
        steps: At least one; a graph that several show is in the page once.

    Raises:
        CircuitScopeError: If there is no step.
    """
    if not steps:
        raise CircuitScopeError("A walk-through needs at least one step.")
    texts = list(dict.fromkeys(step.view.to_text() for step in steps))
    rows = [
        {
            "caption": step.caption,
            "view": texts.index(step.view.to_text()),
            "opening": step.opening.to_json(),
            "changes": {name: list(change) for name, change in step.changes.items()},
        }
        for step in steps
    ]
    data = _embed("graph-data", texts[0])
    walk = {"graphs": texts[1:], "steps": rows}
    return _page(steps[0].view.prompt, data + _embed("graph-walk", json.dumps(walk)))


def _page(prompt: str, data: str) -> str:
    """Return a page with its data.

    A content security policy lets exactly these scripts and this style run, and nothing load.
    """
    scripts = [read_vis_network(), classic_script("standalone.js", run="startPage()")]
    style = read_canvas_file(STYLE_SHEET)
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"script-src {' '.join(map(_hash, scripts))}; style-src {_hash(style)}"
    )
    body = "\n".join(f"<script>{script}</script>" for script in scripts)
    title = html.escape(prompt.encode("utf-8", "replace").decode())
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


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
