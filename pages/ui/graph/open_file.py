"""A graph from a file, shown in the place of the prompt's and kept in the session alone."""

import hashlib
from dataclasses import dataclass, replace
from functools import partial

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.export import slugify
from pages.ui.graph.canvas_events import news
from pages.ui.graph.file_tools import draw_label, draw_tools
from pages.ui.graph.opened_graph import (
    FileWork,
    Opened,
    ShownFile,
    apply_events,
    describe_groups,
    describe_scores,
    first_work,
    json_of_file,
    page_of_file,
    show_file,
)
from pages.ui.shared.component import draw_graph
from pages.ui.shared.errors import draw_error
from pages.ui.shared.session import get_state
from pages.ui.shared.text import one_line, plain

KEY, SHOWN = "circuitscope_file", "circuitscope_file_shown"
LONGEST_PROMPT, LONGEST_NAME = 200, 60
"""Characters of a file's prompt and name on the page."""
MOST_RECENT, MOST_RECENT_BYTES = 8, 64 * 1024**2
"""Files that a session keeps, to go back to."""


@dataclass(frozen=True)
class Recent:
    """A file that was opened in this session."""

    name: str
    data: bytes

    @property
    def key(self) -> str:
        """Tells it from others, also of the same name."""
        return hashlib.sha256(self.data + self.name.encode("utf-8", "replace")).hexdigest()[:16]


@dataclass(frozen=True)
class Inbox:
    """The state of the file uploader."""

    opened: Opened | None = None
    work: FileWork | None = None
    """The visitor's, on the file that is open."""
    refused: str = ""
    """Why the last one was not opened; empty where it was."""
    seen: str = ""
    """The upload that this is about."""
    n_accepted: int = 0
    beside: int = 0
    """The state's serial when the file was opened: what asks for another graph closes the file."""
    recent: tuple[Recent, ...] = ()
    """The last one first."""


@dataclass
class LatestWork:
    """The present work on a file, for downloads, which are written outside of the page's script."""

    opened: Opened
    work: FileWork | None = None
    shown: ShownFile | None = None

    def now(self) -> tuple[FileWork, ShownFile]:
        """Return the work and its picture; those that the file opens with before any were drawn."""
        work = self.work or first_work(self.opened, 1)
        return work, self.shown or show_file(self.opened, work)


def get_inbox() -> Inbox:
    """Return the session's inbox."""
    inbox: Inbox = st.session_state.setdefault(KEY, Inbox())
    return inbox


def change_inbox(**changes: object) -> None:
    """Replace some of the inbox."""
    st.session_state[KEY] = replace(get_inbox(), **changes)  # type: ignore[arg-type]


def opened_file() -> Opened | None:
    """Return the file to show; None where the prompt's graph was asked for after it."""
    inbox = get_inbox()
    return inbox.opened if inbox.beside == get_state().serial else None


def read_upload(name: str, data: bytes) -> Opened:
    """Check a file.

    Raises:
        GraphFileError: If it cannot be opened; the message names the reasons.
    """
    return Opened(name, data, cs.parse_graph_json(data))


def receive(inbox: Inbox, upload: str, name: str, data: bytes) -> Inbox:
    """Return the inbox after an upload: a file that is refused leaves what is shown as it is."""
    try:
        opened = read_upload(name, data)
    except cs.CircuitScopeError as error:
        short = one_line(name, LONGEST_NAME)
        return replace(inbox, refused=f"{short}: {error}", seen=upload)
    n_accepted = inbox.n_accepted + 1
    return Inbox(
        opened,
        first_work(opened, n_accepted),
        n_accepted=n_accepted,
        beside=get_state().serial,
        recent=remember(inbox.recent, Recent(name, data)),
    )


def remember(recent: tuple[Recent, ...], newest: Recent) -> tuple[Recent, ...]:
    """Return the files that are kept, the newest first; the oldest go where they are too many."""
    kept: list[Recent] = []
    for item in (newest, *(old for old in recent if old != newest)):
        n_bytes = sum(len(other.data) for other in kept) + len(item.data)
        if len(kept) < MOST_RECENT and n_bytes <= MOST_RECENT_BYTES:
            kept.append(item)
    return tuple(kept)


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
        draw_recent(inbox, place)
        if upload is None:
            change_inbox(refused="", seen="")
            return
        if upload.file_id == inbox.seen:
            st.error(plain(inbox.refused))  # one reason a line: its dashes make a list
            return
        with st.spinner("Reading the file …"):
            data = upload.getvalue()
            st.session_state[KEY] = receive(inbox, upload.file_id, upload.name, data)
        st.rerun()


def draw_recent(inbox: Inbox, place: str) -> None:
    """Offer the files that were opened before in this session."""
    if not inbox.recent:
        return
    st.caption("Opened in this session, and kept until it ends:")
    for item in inbox.recent:
        label = f"{one_line(item.name, LONGEST_NAME)}, {size_of(len(item.data))}"
        key = f"graph_file_recent_{place}_{item.key}"
        if st.button(plain(label), key=key, width="stretch"):
            st.session_state[KEY] = receive(inbox, "", item.name, item.data)
            st.rerun()


def size_of(n_bytes: int) -> str:
    """Return a file's size in words."""
    return f"{n_bytes / 1024**2:.1f} MB" if n_bytes >= 1024**2 else f"{n_bytes / 1024:.1f} kB"


def draw_opened(opened: Opened) -> None:
    """Draw the graph of a file, and the ways back, on and out of it."""
    latest = LatestWork(opened)
    with st.container(horizontal=True, key="graph_top"):
        st.text(describe(opened), width="stretch")
        if st.button(
            "Back to the graph of the prompt",
            icon=":material/arrow_back:",
            key="graph_file_close",
        ):
            change_inbox(opened=None, work=None)
            st.rerun()
        draw_opener("opened")
        draw_downloads(latest)
    draw_file(latest)


@st.fragment
def draw_file(latest: LatestWork) -> None:
    """Draw the controls and the graph; a click in it runs only this part of the page again."""
    opened = latest.opened
    before = get_inbox().work or first_work(opened, get_inbox().n_accepted)
    with st.container(horizontal=True, key="graph_tools"):
        work = draw_tools(opened, before, last_shown(before.number))
        about = st.popover("About", icon=":material/info:")
        label = st.container(width="stretch")
    with st.container(key="graph_file_notes"):  # a place of its own: the canvas keeps its place
        try:
            shown = shown_now(opened, work)
        except cs.CircuitScopeError as error:
            draw_error(error)
            work = work.change(cards=None)  # cards are read when they are drawn, may be damaged
            shown = shown_now(opened, work)
    told = {"height": 0, "canUndo": bool(work.past), "edits": True}
    with st.container(key="workbench"):
        message = draw_graph(
            shown.text,
            work.opening,
            key="graph_file_canvas",
            answers=False,
            told=told,
        )
    after = apply_events(work, shown, news(work.state, message))
    with label:
        after = draw_label(after, shown)
    change_inbox(work=after)
    latest.work, latest.shown = after, shown
    if after.opening != work.opening:
        st.rerun()
    about.caption(f"{describe_groups(after, shown)} {describe_scores(opened, after, shown)}")
    about.caption(
        "Shares, influence and paths are computed from the links in the file; what was pruned "
        "before it was written is not in it."
        + ("" if work.cards else " Feature cards do not travel with a graph’s JSON.")
    )


def last_shown(number: int) -> ShownFile | None:
    """Return the picture of a file that was drawn last; None where it was another file's."""
    kept = st.session_state.get(SHOWN)
    return kept[1] if kept is not None and kept[0][0] == number else None


def shown_now(opened: Opened, work: FileWork) -> ShownFile:
    """Return the picture of a file; a click that does not change it computes nothing."""
    chosen = (work.node_threshold, work.edge_threshold, work.similarity, work.labels)
    wanted = (work.number, work.state.groups, *chosen, id(work.cards))
    kept = st.session_state.get(SHOWN)
    if kept is None or kept[0] != wanted:
        with st.spinner("Drawing the graph …"):
            kept = (wanted, show_file(opened, work))
        st.session_state[SHOWN] = kept
    shown: ShownFile = kept[1]
    return shown


def draw_downloads(latest: LatestWork) -> None:
    """Offer the graph as a page and as JSON, each with what was made of it.

    A file is written when it is asked for: the canvas changes the work after this part was drawn.
    """
    stem = slugify(latest.opened.name.removesuffix(".json"))
    st.download_button(
        "Save as page",
        partial(write_page, latest),
        file_name=f"{stem}.html",
        mime="text/html",
        icon=":material/download:",
        help="One file with this graph to explore; works without a network.",
        on_click="ignore",
        key="graph_file_page",
    )
    st.download_button(
        "Save as JSON",
        partial(write_json, latest),
        file_name=f"{stem}.json",
        mime="application/json",
        icon=":material/download:",
        help="The file with your labels, supernodes and pins, and with the nodes and links that "
        "are shown. Everything else in it stays as it was.",
        on_click="ignore",
        key="graph_file_json",
    )


def write_page(latest: LatestWork) -> str:
    """Return the picture as one HTML page."""
    work, shown = latest.now()
    return page_of_file(work, shown)


def write_json(latest: LatestWork) -> str:
    """Return the file with what was made of it."""
    work, shown = latest.now()
    return json_of_file(latest.opened, work, shown)


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
