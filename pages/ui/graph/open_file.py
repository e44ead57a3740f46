"""A graph from a file, shown in the place of the prompt's and kept in the session alone."""

from dataclasses import dataclass, replace

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.export import render_view, slugify
from circuitscope_core.graph_file import layout_graph_file
from circuitscope_core.view import GraphView
from pages.ui.shared.component import draw_graph
from pages.ui.shared.session import get_state
from pages.ui.shared.state import State
from pages.ui.shared.text import one_line, plain

KEY = "circuitscope_file"
LONGEST_PROMPT, LONGEST_NAME = 200, 60
"""Characters of a file's prompt and name on the page."""


@dataclass(frozen=True)
class Opened:
    """A graph file that was accepted, ready to be shown and taken away."""

    name: str
    file: cs.GraphFile
    view: GraphView
    text: str
    """The view's JSON."""
    page: str
    """The view as one HTML page."""


@dataclass(frozen=True)
class Inbox:
    """The state of the file uploader."""

    opened: Opened | None = None
    refused: str = ""
    """Why the last one was not opened; empty where it was."""
    seen: str = ""
    """The upload that this is about."""
    n_accepted: int = 0
    beside: int = 0
    """The state's serial when the file was opened: what asks for another graph closes the file."""


def get_inbox() -> Inbox:
    """Return the session's inbox."""
    inbox: Inbox = st.session_state.setdefault(KEY, Inbox())
    return inbox


def opened_file() -> Opened | None:
    """Return the file to show; None where the prompt's graph was asked for after it."""
    inbox = get_inbox()
    return inbox.opened if inbox.beside == get_state().serial else None


def read_upload(name: str, data: bytes) -> Opened:
    """Check and lay out a file.

    Raises:
        GraphFileError: If it cannot be opened; the message names the reasons.
    """
    file = cs.parse_graph_json(data)
    view = layout_graph_file(file)
    return Opened(name, file, view, view.to_text(), render_view(view))


def receive(inbox: Inbox, upload: str, name: str, data: bytes) -> Inbox:
    """Return the inbox after an upload: a file that is refused leaves what is shown as it is."""
    try:
        opened = read_upload(name, data)
    except cs.CircuitScopeError as error:
        short = one_line(name, LONGEST_NAME)
        return replace(inbox, refused=f"{short}: {error}", seen=upload)
    return Inbox(opened, n_accepted=inbox.n_accepted + 1, beside=get_state().serial)


def draw_opener(place: str) -> None:
    """Offer to open a file, and say why the last one was not.

    Args:
        place: Tells one uploader of a page from another.
    """
    inbox = get_inbox()
    with st.popover("Open a file", icon=":material/folder_open:"):
        st.caption(
            "A graph as JSON: downloaded here, written by circuit-tracer, or from Neuronpedia. "
            "It is shown in the place of the prompt’s graph and stored nowhere."
        )
        # a new key after each file that was accepted: an empty uploader, and memory given back
        key = f"graph_file_{place}_{inbox.n_accepted}"
        upload = st.file_uploader("Graph JSON", type=["json"], key=key)
        if upload is None:
            st.session_state[KEY] = replace(inbox, refused="", seen="")
            return
        if upload.file_id == inbox.seen:
            st.error(plain(inbox.refused))  # one reason a line: its dashes make a list
            return
        with st.spinner("Reading the file …"):
            data = upload.getvalue()
            st.session_state[KEY] = receive(inbox, upload.file_id, upload.name, data)
        st.rerun()


@st.fragment
def draw_opened(opened: Opened) -> None:
    """Draw the graph of a file; a click in it runs only this part of the page again."""
    said, back, opener, saver = st.columns([4.2, 2.1, 1.3, 1.3], vertical_alignment="center")
    said.text(describe(opened))
    if back.button(
        "Back to the graph of the prompt",
        icon=":material/arrow_back:",
        width="stretch",
        key="graph_file_close",
    ):
        st.session_state[KEY] = replace(get_inbox(), opened=None)
        st.rerun()
    with opener:
        draw_opener("opened")
    saver.download_button(
        "Save as page",
        opened.page,
        file_name=f"{slugify(opened.name.removesuffix('.json'))}.html",
        mime="text/html",
        icon=":material/download:",
        help="One file with this graph to explore; works without a network.",
        width="stretch",
        on_click="ignore",
        key="graph_file_page",
    )
    opening = State(
        pinned=opened.file.pinned,
        serial=get_inbox().n_accepted,
        view="groups" if opened.view.groups else "full",
    )
    draw_graph(opened.text, opening, key="graph_file_canvas", answers=False)
    st.caption(
        "Shares, influence and paths are computed from the links in the file; what was pruned "
        "before it was written is not in it. Feature cards do not travel with a graph’s JSON."
    )


def describe(opened: Opened) -> str:
    """Return a file's name, size and prompt as lines of plain text."""
    file = opened.file
    made_by = f", made by {one_line(file.generator, LONGEST_NAME)}" if file.generator else ""
    lines = [
        f"From a file: {one_line(opened.name, LONGEST_NAME)}",
        f"{len(file.nodes):,} nodes, {len(file.links):,} links{made_by}",
        f"Prompt: {one_line(file.prompt, LONGEST_PROMPT)}",
    ]
    return "\n".join(lines)
