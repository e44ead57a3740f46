"""The graph canvas as a Streamlit component that sends clicks back."""

import atexit
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st
import streamlit.components.v1 as components

from circuitscope_core.export import CANVAS_FOLDER, VIS_NETWORK, find_vis_network
from pages.ui.state import State

HEIGHT = 650


@st.cache_resource(show_spinner=False)
def component(name: str, page: str) -> Callable[..., Any]:
    """Declare a component whose page lies in the canvas folder, once for the whole server.

    A component is one folder with an ``index.html``: the canvas's files and vis-network, which
    lies in the installed pyvis, are put together in a temporary one.
    """
    folder = Path(tempfile.mkdtemp(prefix="circuitscope-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(CANVAS_FOLDER, folder, dirs_exist_ok=True)
    shutil.copyfile(find_vis_network(), folder / VIS_NETWORK)
    shutil.copyfile(CANVAS_FOLDER / page, folder / "index.html")
    return components.declare_component(name, path=str(folder))


def draw_graph(
    text: str, opening: State, *, key: str = "graph_canvas", answers: bool = True
) -> Any:
    """Draw a graph and return the canvas's last event, or None.

    A click must not send the whole graph again: the arguments have to stay the same, byte for
    byte, as long as only the canvas changes the state.

    Args:
        text: The view's JSON.
        opening: What is selected, pinned and shown when the canvas first appears, or once its
            ``serial`` is another; later on the canvas keeps its own.
        key: Tells one canvas from another.
        answers: Whether the page answers questions about edges and edits of supernodes.
    """
    return component("circuitscope_graph", "index.html")(
        text=text,
        height=HEIGHT,
        opening={
            "serial": opening.serial,
            "selected": opening.selected,
            "pinned": list(opening.pinned),
            "places": [list(place) for place in opening.places],
            "view": opening.view,
        },
        canUndo=bool(opening.grouping.past),
        answers=answers,
        key=key,
        default=None,
    )


def draw_tokens(
    tokens: list[str],
    heat: list[float] | None = None,
    most: float = 1.0,
    *,
    key: str = "prompt_tokens",
) -> None:
    """Draw tokens as a row of chips.

    Args:
        tokens: Their texts.
        heat: A value of at least 0 for each, shown as colour.
        most: The value with the full colour.
        key: Tells one row from another.
    """
    component("circuitscope_tokens", "tokens.html")(
        tokens=tokens, heat=heat or [], most=most, key=key, default=None
    )
