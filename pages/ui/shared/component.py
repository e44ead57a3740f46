"""The graph canvas and the token row as Streamlit components that send events back.

Streamlit has two kinds of component. The second kind stands in the page itself; the first in a
frame, which also works in older versions and where a page may not load scripts from blobs.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st
import streamlit.components.v1 as framed
from packaging.version import Version

from circuitscope_core.export import (
    CANVAS_FOLDER,
    STYLE_SHEET,
    Opening,
    classic_script,
    join_modules,
    read_canvas_file,
    read_vis_network,
)
from pages.ui.shared.state import State

HEIGHT = 650
FIRST_IN_PAGE = Version("1.56")
"""Before it, Streamlit's own tests of an app fail where a component stands in the page."""
KIND = "CIRCUITSCOPE_COMPONENTS"
"""Environment variable: ``page`` or ``frame``, where the choice by version is not wanted."""


@dataclass(frozen=True)
class Part:
    """A module of the canvas that a component shows."""

    name: str
    module: str
    maker: str
    """The function in it that makes the part."""
    needs_vis: bool = False


GRAPH = Part("graph", "graph_part.js", "graphPart", needs_vis=True)
TOKENS = Part("tokens", "tokens.js", "tokensPart")


def stands_in_page() -> bool:
    """Tell which kind of component is used here."""
    wanted = os.environ.get(KIND, "")
    if wanted in ("page", "frame"):
        return wanted == "page"
    return Version(st.__version__) >= FIRST_IN_PAGE


@st.cache_resource(show_spinner=False)
def component_in_frame(part: Part) -> Callable[..., Any]:
    """Declare a component of the first kind, once for the whole server.

    Such a component is one folder with an ``index.html``; this one is a temporary folder.
    """
    folder = Path(tempfile.mkdtemp(prefix="circuitscope-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    script = classic_script(part.module, "frame_host.js", run=f"hostInFrame({part.maker})")
    if part.needs_vis:
        script = f"{read_vis_network()}\n;\n{script}"
    (folder / "part.js").write_text(script, encoding="utf-8")
    shutil.copyfile(CANVAS_FOLDER / "frame.html", folder / "index.html")
    shutil.copyfile(CANVAS_FOLDER / STYLE_SHEET, folder / STYLE_SHEET)
    return framed.declare_component(f"circuitscope_{part.name}", path=str(folder))


@st.cache_resource(show_spinner=False)
def component_in_page(part: Part) -> Callable[..., Any]:
    """Declare a component of the second kind, once for the whole server."""
    script = join_modules(part.module, "page_host.js")
    script = f"{script}\nexport default hostInPage({part.maker})"
    if part.needs_vis:  # a module has no ``this``, which the library puts its name into
        library = f"(function () {{\n{read_vis_network()}\n}}).call(globalThis)"
        script = f"if (!globalThis.vis) {library}\n{script}"
    return st.components.v2.component(
        f"circuitscope_{part.name}",
        html='<div class="cs-root"></div>',
        css=read_canvas_file(STYLE_SHEET),
        js=script,
    )


def draw_part(part: Part, key: str, arguments: dict[str, Any]) -> Any:
    """Draw a component and return what it sent last, or None.

    A value sent by the first kind is there in every later run as well, one sent by the second kind
    in a single run: events are told apart by their ``nonce``.
    """
    if stands_in_page():
        result = component_in_page(part)(key=key, data=arguments, on_event_change=lambda: None)
        return result.event
    return component_in_frame(part)(key=key, default=None, **arguments)


def draw_graph(
    text: str,
    opening: State,
    *,
    key: str = "graph_canvas",
    answers: bool = True,
    changes: Mapping[str, tuple[float, float]] | None = None,
    told: Mapping[str, Any] | None = None,
) -> Any:
    """Draw a graph and return the canvas's last few events, or None.

    A click must not send the whole graph again: the arguments have to stay the same, byte for
    byte, as long as only the canvas changes the state.

    Args:
        text: The view's JSON.
        opening: What is selected, pinned and shown when the canvas first appears, or once its
            ``serial`` is another; later on the canvas keeps its own.
        key: Tells one canvas from another.
        answers: Whether the page answers questions about edges.
        changes: What became of nodes after an intervention, as shares of their activation: measured
            and predicted.
        told: Other arguments of the canvas: ``height`` in pixels, 0 for all that the page gives,
            ``canUndo``, ``canRedo``, ``pinnedScores``, and whether the page takes ``edits`` of
            supernodes and labels where it does not answer.
    """
    arguments = {
        "text": text,
        "height": HEIGHT,
        "side": opening.side,
        "answers": answers,
        "edits": answers,
        **(told or {}),
        "opening": opening_of(opening).to_json(opening.serial),
        "changes": dict(changes or {}),
    }
    return draw_part(GRAPH, key, arguments)


def opening_of(state: State) -> Opening:
    """Return the choices that the canvas opens with."""
    return Opening(state.selected, state.pinned, state.places, state.view, state.tab)


def draw_tokens(
    tokens: list[str],
    heat: list[float] | None = None,
    most: float = 1.0,
    *,
    kinds: list[str] | None = None,
    key: str = "prompt_tokens",
) -> None:
    """Draw tokens as a row of chips.

    Args:
        tokens: Their texts.
        heat: A value of at least 0 for each, shown as colour.
        most: The value with the full colour.
        kinds: Words for each token that its chip is styled by: special, part, template.
        key: Tells one row from another.
    """
    row = {"tokens": tokens, "heat": heat or [], "most": most, "kinds": kinds or []}
    draw_part(TOKENS, key, row)
